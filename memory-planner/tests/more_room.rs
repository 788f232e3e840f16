//! More room is never harder: what fits without a byte to waste fits where there are some.

mod support;

use std::ops::Range;

use memory_planner::{Budget, checker, solve};
use support::generate::perfect_packing;
use support::hard;

/// Capacities in thousandths of the height of the best plan.
const CAPACITIES: [u64; 5] = [1000, 1005, 1010, 1020, 1050];

/// About a second; steps, as time depends on what else a machine does.
const BUDGET: Budget = Budget::steps(300_000).until_it_fits();

/// How many of ten packings fit each capacity.
fn fitting(count: usize, height: u64, seeds: Range<u64>) -> [usize; CAPACITIES.len()] {
    CAPACITIES.map(|thousandths| {
        let fits = |&seed: &u64| {
            let mut problem = perfect_packing(count, height, seed);
            problem.regions[0].capacity = height * thousandths / 1000;
            let solution = solve(&problem, &BUDGET);
            if let Ok(solution) = &solution {
                assert_eq!(checker::check(&problem, &solution.plan), Ok(()));
            }
            solution.is_ok()
        };
        seeds.clone().filter(fits).count()
    })
}

#[test]
fn packings_of_500_buffers_fit_where_there_is_more_room() {
    assert_eq!(fitting(500, 1 << 20, 0..20), [20; 5]);
}

#[test]
fn so_do_those_of_other_sizes() {
    assert_eq!(fitting(100, 1 << 20, 0..10), [10; 5]);
    assert_eq!(fitting(250, 3_000_000, 10..20), [10; 5]);
    assert_eq!(fitting(1000, 1 << 20, 0..10), [10; 5]);
    assert_eq!(fitting(2000, 1 << 24, 0..3), [3; 5]);
}

/// These have no plan at the lower bound, or none that is known.
#[test]
fn hard_instances_fit_where_there_is_more_room() {
    for (name, height) in [("C", 1_039_360), ("D", 1_030_000), ("J", 1_035_000)] {
        for thousandths in CAPACITIES {
            let mut problem = hard(name);
            problem.regions[0].capacity = height * thousandths / 1000;
            let solution = solve(&problem, &BUDGET);
            assert!(solution.is_ok(), "{name}, {thousandths}: {solution:?}");
        }
    }
}
