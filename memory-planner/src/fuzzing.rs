//! The body of the fuzz target: random problems, solver against checker.
//!
//! Not part of the API. Tests run it too.

use alloc::format;
use alloc::vec::Vec;

use crate::checker;
use crate::{
    Budget, Buffer, BufferId, PlanError, Problem, Proof, Region, RegionId, Relation, Solution,
    lower_bound, solve,
};

/// Reads numbers from bytes; zeros once they are used up.
#[derive(Debug)]
pub struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u64 {
        let (first, rest) = self
            .0
            .split_first()
            .map_or((0, self.0), |(b, rest)| (*b, rest));
        self.0 = rest;
        u64::from(first)
    }

    /// A number of any magnitude.
    fn wild(&mut self) -> u64 {
        let low = self.byte();
        match self.byte() % 8 {
            0 => u64::MAX - low,
            1 => (1 << 40) - low.min(1),
            2 => low << 33,
            3 => low << 16,
            4 => 0,
            _ => low,
        }
    }

    fn id(&mut self, count: usize) -> BufferId {
        // Now and then one that does not exist.
        BufferId(u32::try_from(self.byte() % (count as u64 + 1)).unwrap_or(0))
    }
}

/// A problem of at most six buffers of a few bytes, small enough for brute force.
pub fn tiny_problem(bytes: &[u8]) -> Problem {
    let mut bytes = Bytes(bytes);
    let mut problem = Problem::default();
    let kinds = bytes.byte();
    // Half of the problems have one region.
    let regions = if kinds % 2 == 0 { 1 } else { 2 + kinds / 2 % 2 };
    for index in 0..regions {
        let most = if regions == 1 { 24 } else { 8 };
        let capacity = 1 + bytes.byte() % most;
        problem.add_region(Region {
            name: format!("r{index}"),
            capacity,
        });
    }
    let count = 1 + bytes.byte() % if regions == 1 { 6 } else { 4 };
    for index in 0..count {
        let (start, length) = (bytes.byte() % 6, 1 + bytes.byte() % 4);
        let live = start as u32..(start + length) as u32;
        let mut buffer = Buffer::new(format!("b{index}"), live, bytes.byte() % 6);
        let extra = bytes.byte();
        if kinds & 16 != 0 {
            buffer.alignment = 1 << (extra % 3);
        }
        if kinds & 32 != 0 && extra >= 224 {
            buffer.fixed_offset = Some(extra % 8 / buffer.alignment * buffer.alignment);
        }
        if regions > 1 && extra & 8 != 0 {
            buffer = buffer.in_region(RegionId(u32::try_from(extra % regions).unwrap_or(0)));
        }
        problem.add_buffer(buffer);
    }
    let relations = if kinds & 64 != 0 { bytes.byte() % 5 } else { 0 };
    for _ in 0..relations {
        let a = BufferId((bytes.byte() % count) as u32);
        let b = BufferId((bytes.byte() % count) as u32);
        let kind = bytes.byte();
        if a != b {
            problem.relations.push(relation(kind, a, b, kind / 4 % 8));
        }
    }
    problem
}

/// A problem of numbers of any magnitude, most of them senseless.
pub fn wild_problem(bytes: &[u8]) -> Problem {
    let mut bytes = Bytes(bytes);
    let mut problem = Problem::default();
    for index in 0..bytes.byte() % 4 {
        let capacity = bytes.wild();
        problem.add_region(Region {
            name: format!("r{index}"),
            capacity,
        });
    }
    let count = bytes.byte() as usize % 24;
    for index in 0..count {
        let start = bytes.wild() as u32;
        let live = start..start.wrapping_add(bytes.byte() as u32);
        let mut buffer = Buffer::new(format!("b{index}"), live, bytes.wild());
        let extra = bytes.byte();
        if extra & 1 != 0 {
            buffer.alignment = bytes.wild();
        }
        if extra & 6 == 6 {
            buffer.fixed_offset = Some(bytes.wild());
        }
        if extra & 24 == 24 {
            buffer = buffer.in_region(RegionId((extra >> 5) as u32));
        }
        problem.add_buffer(buffer);
    }
    for _ in 0..bytes.byte() % 16 {
        let (a, b, kind) = (bytes.id(count), bytes.id(count), bytes.byte());
        let reach = bytes.wild();
        problem.relations.push(relation(kind, a, b, reach));
    }
    problem
}

fn relation(kind: u64, a: BufferId, b: BufferId, bytes: u64) -> Relation {
    match kind % 4 {
        0 => Relation::MayAlias { a, b },
        1 => Relation::MayOverlap {
            lower: a,
            upper: b,
            bytes,
        },
        2 => Relation::Contiguous {
            first: a,
            second: b,
        },
        _ => Relation::DifferentRegion { a, b },
    }
}

/// The problem that a fuzz input stands for.
pub fn problem(bytes: &[u8]) -> Problem {
    match bytes.split_first() {
        Some((kind, rest)) if kind % 2 == 0 => tiny_problem(rest),
        Some((_, rest)) => wild_problem(rest),
        None => Problem::default(),
    }
}

/// Reads `bytes` as a CSV file; what is read has to survive being written and read again.
///
/// # Panics
/// If it does not.
#[cfg(feature = "csv")]
pub fn check_csv(bytes: &[u8]) {
    use crate::csv::{Offsets, problem, write_problem};

    let regions = || Problem::with_capacity(1000).regions;
    let Ok(read) = problem(bytes, regions(), Offsets::Fixed) else {
        return;
    };
    let again = crate::csv::parse(&write_problem(&read), regions(), Offsets::Fixed);
    assert_eq!(again.map(|again| again.buffers), Ok(read.buffers));
}

/// Solves a problem made from `bytes` and checks everything that can be checked without
/// knowing the best plan.
///
/// # Panics
/// If the solver is wrong.
pub fn check(bytes: &[u8]) {
    let problem = problem(bytes);
    let result = check_result(&problem, &Budget::steps(300));
    assert_eq!(
        result,
        solve(&problem, &Budget::steps(300)),
        "the same input, another plan"
    );
    let first = check_result(&problem, &Budget::steps(300).until_it_fits());
    assert_eq!(
        first.is_ok(),
        result.is_ok(),
        "a goal must not change what fits"
    );
}

/// Solves, and checks the plan and the figures of the solution.
///
/// # Panics
/// If the solver is wrong.
pub fn check_result(problem: &Problem, budget: &Budget) -> Result<Solution, PlanError> {
    let result = solve(problem, budget);
    if let Ok(solution) = &result {
        assert_eq!(checker::check(problem, &solution.plan), Ok(()));
        assert_eq!(solution.heights, solution.plan.heights(problem));
        let pairs = || solution.lower_bounds.iter().zip(&solution.heights);
        assert!(
            pairs().all(|(bound, height)| bound <= height),
            "{solution:?}"
        );
        let equal = pairs().all(|(bound, height)| bound == height);
        assert_eq!(equal, solution.proof == Proof::Optimal, "{solution:?}");
        let bounds: Vec<u64> = lower_bound(problem).unwrap_or_default();
        assert!(
            bounds
                .iter()
                .zip(&solution.heights)
                .all(|(bound, height)| bound <= height)
        );
    }
    result
}
