//! Solver against brute force: tiny problems with several regions and every relation.
//!
//! Each run takes other problems and prints its seed; `PLANNER_SEED=<seed>` repeats it.

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use memory_planner::fuzzing::check_result;
use memory_planner::{
    Budget, Buffer, BufferId, PlanError, Problem, Proof, Region, RegionId, Relation,
};
use support::Random;
use support::brute_force::best_heights;

const PROBLEMS: u64 = 20_000;

#[test]
fn small_problems_agree_with_brute_force() {
    let seed = seed();
    eprintln!("PLANNER_SEED={seed}");
    let (mut solved, mut refused) = (0, 0);
    for index in 0..PROBLEMS {
        let problem = small_problem(&mut Random::new(seed.wrapping_add(index)));
        let best = best_heights(&problem);
        match check_result(&problem, &Budget::steps(50_000)) {
            Ok(solution) => {
                assert_eq!(solution.proof, Proof::Optimal, "{problem:?}");
                assert_eq!(Some(solution.heights), best, "{problem:?}");
                solved += 1;
            }
            Err(error @ (PlanError::NoPlanFound { .. } | PlanError::WrongPlan { .. })) => {
                panic!("{error}: {problem:?}")
            }
            Err(error) => {
                assert_eq!(best, None, "{error}: {problem:?}");
                refused += 1;
            }
        }
    }
    assert!(
        solved > PROBLEMS / 4 && refused > PROBLEMS / 100,
        "{solved} {refused}"
    );
}

fn seed() -> u64 {
    if let Ok(seed) = std::env::var("PLANNER_SEED") {
        return seed.parse().expect("PLANNER_SEED is a number");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // Six digits are easy to copy.
    u64::from(now.subsec_nanos()) % 1_000_000 * PROBLEMS
}

/// One to three regions and two to five buffers with up to five relations of all kinds.
fn small_problem(random: &mut Random) -> Problem {
    let mut problem = Problem::default();
    let regions = 1 + random.below(3);
    for index in 0..regions {
        problem.add_region(Region {
            name: format!("r{index}"),
            capacity: 3 + random.below(7),
        });
    }
    let count = 2 + random.below(4);
    for index in 0..count {
        let start = random.below(4) as u32;
        let live = start..start + 1 + random.below(4) as u32;
        let mut buffer = Buffer::new(format!("b{index}"), live, random.below(5));
        if random.below(4) == 0 {
            buffer.alignment = 1 << random.below(3);
        }
        if random.below(8) == 0 {
            buffer.fixed_offset = Some(random.below(3) * buffer.alignment);
        }
        if random.below(4) == 0 {
            buffer = buffer.in_region(RegionId(random.below(regions) as u32));
        }
        problem.add_buffer(buffer);
    }
    for _ in 0..random.below(6) {
        let a = BufferId(random.below(count) as u32);
        let b = BufferId(random.below(count) as u32);
        let bytes = random.below(6);
        if a != b {
            problem.relations.push(match random.below(8) {
                0..3 => Relation::MayAlias { a, b },
                3 | 4 => Relation::MayOverlap {
                    lower: a,
                    upper: b,
                    bytes,
                },
                5 => Relation::Contiguous {
                    first: a,
                    second: b,
                },
                _ => Relation::DifferentRegion { a, b },
            });
        }
    }
    problem
}
