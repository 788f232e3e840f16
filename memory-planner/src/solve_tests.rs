use alloc::format;
use alloc::string::ToString;

use super::*;
use crate::checker::check;
use crate::problem::{Buffer, BufferId, MAX_BUFFERS, MAX_RELATIONS, Relation};

fn solved(problem: &Problem) -> Solution {
    let solution = solve(problem, &Budget::default()).unwrap();
    assert_eq!(check(problem, &solution.plan), Ok(()));
    assert_eq!(solution.plan.heights(problem), solution.heights);
    solution
}

fn arena(capacity: u64, buffers: &[(u32, u32, u64)]) -> Problem {
    let mut problem = Problem::with_capacity(capacity);
    for (index, &(start, end, size)) in buffers.iter().enumerate() {
        problem.add_buffer(Buffer::new(format!("b{index}"), start..end, size));
    }
    problem
}

#[test]
fn nothing_to_place() {
    let solution = solved(&arena(0, &[]));
    assert_eq!((solution.height(), solution.proof), (0, Proof::Optimal));
    assert_eq!(
        solve(&Problem::default(), &Budget::steps(0))
            .unwrap()
            .height(),
        0
    );
}

#[test]
fn ranges_that_touch_share_bytes() {
    let solution = solved(&arena(8, &[(0, 1, 8), (1, 2, 8)]));
    assert_eq!((solution.height(), solution.proof), (8, Proof::Optimal));
}

#[test]
fn the_exact_search_beats_the_peak_bound() {
    // Three pairs that are live together, and no plan at the peak of 5 bytes.
    let buffers = [
        (0, 2, 2),
        (1, 4, 3),
        (3, 6, 2),
        (5, 8, 3),
        (7, 9, 2),
        (0, 1, 3),
        (2, 3, 2),
    ];
    let solution = solved(&arena(100, &buffers));
    assert_eq!(solution.proof, Proof::Optimal);
}

#[test]
fn a_downsampling_lies_over_its_input() {
    let mut problem = arena(1000, &[(0, 2, 100), (1, 3, 50), (2, 4, 25)]);
    let ids = [BufferId(0), BufferId(1), BufferId(2)];
    for (lower, upper, bytes) in [(ids[1], ids[0], 40), (ids[2], ids[1], 20)] {
        problem.relations.push(Relation::MayOverlap {
            lower,
            upper,
            bytes,
        });
    }
    let solution = solved(&problem);
    assert_eq!((solution.height(), solution.proof), (110, Proof::Optimal));
}

#[test]
fn a_chain_in_place_needs_one_buffer() {
    let mut problem = Problem::with_capacity(1000);
    let ids: Vec<BufferId> = (0..20)
        .map(|step| problem.add_buffer(Buffer::new(format!("x{step}"), step..step + 2, 64)))
        .collect();
    for pair in ids.windows(2) {
        problem.relations.push(Relation::MayAlias {
            a: pair[0],
            b: pair[1],
        });
    }
    let scratch = problem.add_buffer(Buffer::new("scratch", 3..5, 10).aligned(16));
    let solution = solved(&problem);
    assert_eq!((solution.height(), solution.proof), (74, Proof::Optimal));
    assert_eq!(solution.plan.placements[scratch.index()].offset % 16, 0);
}

#[test]
fn contiguous_buffers_follow_each_other() {
    let mut problem = arena(100, &[(0, 1, 10), (5, 6, 7), (0, 9, 5)]);
    for (first, second) in [(0, 1), (1, 2)] {
        let (first, second) = (BufferId(first), BufferId(second));
        problem
            .relations
            .push(Relation::Contiguous { first, second });
    }
    assert_eq!(solved(&problem).height(), 22);
    let (first, second) = (BufferId(2), BufferId(0));
    problem
        .relations
        .push(Relation::Contiguous { first, second });
    let error = solve(&problem, &Budget::default()).unwrap_err();
    assert_eq!(
        error,
        PlanError::Contradiction {
            buffer: "b0".into()
        }
    );
}

#[test]
fn early_regions_are_filled_first() {
    let mut problem = arena(50, &[(0, 1, 40), (0, 1, 30), (0, 1, 10)]);
    let external = problem.add_region(Region {
        name: "external".into(),
        capacity: 1000,
    });
    let solution = solved(&problem);
    assert_eq!(solution.heights, [50, 30]);
    problem.buffers[2].regions = alloc::vec![external];
    let solution = solved(&problem);
    assert_eq!(solution.heights, [40, 40]);
    let (a, b) = (BufferId(1), BufferId(2));
    problem.relations.push(Relation::DifferentRegion { a, b });
    assert_eq!(solved(&problem).heights, [30, 50]);
}

/// Buffers that may alias but lie in different regions do not move together.
#[test]
fn aliases_in_different_regions_are_planned_apart() {
    let mut problem = arena(9, &[(3, 4, 1), (1, 4, 3), (1, 3, 3)]);
    problem.add_region(Region {
        name: "second".into(),
        capacity: 7,
    });
    let [a, b, c] = [0, 1, 2].map(BufferId);
    problem.relations = alloc::vec![
        Relation::MayAlias { a, b },
        Relation::DifferentRegion { a, b: c },
    ];
    let solution = solved(&problem);
    assert_eq!(solution.proof, Proof::Optimal);
    assert_eq!(solution.heights, [6, 1]);
}

#[test]
fn fixed_offsets_and_alignments_hold() {
    let mut problem = arena(64, &[(0, 4, 8), (0, 4, 8), (2, 6, 3)]);
    problem.buffers[0].fixed_offset = Some(8);
    problem.buffers[1].alignment = 16;
    problem.buffers[2].alignment = 4;
    let solution = solved(&problem);
    assert_eq!((solution.height(), solution.proof), (19, Proof::Optimal));
}

#[test]
fn what_cannot_fit_is_proved() {
    let error = solve(&arena(9, &[(0, 2, 5), (1, 3, 5)]), &Budget::default()).unwrap_err();
    let expected = PlanError::CapacityExceeded {
        region: "arena".into(),
        lower_bound: 10,
        capacity: 9,
    };
    assert_eq!(error, expected);
    assert_eq!(
        error.to_string(),
        "any plan needs 10 bytes, region `arena` has 9"
    );
    let error = solve(&arena(9, &[(0, 2, 10)]), &Budget::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "buffer `b0` needs 10 bytes, the largest region it may use has 9"
    );
}

#[test]
fn the_first_fit_is_reported_once() {
    let mut heights = Vec::new();
    let problem = arena(100, &[(0, 2, 10), (1, 3, 20), (2, 4, 10)]);
    let solution = solve_reporting(&problem, &Budget::default(), &mut |first| {
        assert_eq!(check(&problem, &first.plan), Ok(()));
        heights.push(first.height());
    });
    assert_eq!(heights.len(), 1);
    assert!(solution.unwrap().height() <= heights[0]);
}

#[test]
fn what_makes_no_sense_is_told_apart() {
    let text = |problem: &Problem| solve(problem, &Budget::default()).unwrap_err().to_string();
    assert_eq!(
        text(&arena(8, &[(3, 3, 1)])),
        "buffer `b0` has the empty live range [3, 3)"
    );
    assert_eq!(
        text(&arena(8, &[(4, 3, 1)])),
        "buffer `b0` has the inverted live range [4, 3)"
    );
    let mut problem = arena(8, &[(0, 1, 1), (0, 1, 1)]);
    let [a, b] = [BufferId(0), BufferId(1)];
    problem.relations = alloc::vec![Relation::MayAlias { a, b }; MAX_RELATIONS + 1];
    assert_eq!(
        text(&problem),
        "4097 relations, at most 4096 can be planned"
    );
    problem.relations.pop();
    assert_eq!(solved(&problem).height(), 1);
    problem.buffers = alloc::vec![Buffer::new("", 0..1, 1); MAX_BUFFERS + 1];
    assert_eq!(
        text(&problem),
        "131073 buffers, at most 131072 can be planned"
    );
}
