//! How close the quick heuristic gets on random instances.

mod support;

use memory_planner::{Budget, checker, lower_bound, solve};
use support::{SHAPES, median, random};

/// Within 2 % on the median. The benchmark goes on to 3000 buffers.
#[test]
fn quick_plans_are_close_to_the_lower_bound() {
    for shape in SHAPES {
        for (count, seeds) in [(30, 11), (100, 11), (300, 5), (1000, 1)] {
            let seeds = 0..seeds;
            let gaps_percent = seeds.map(|seed| {
                let problem = random(shape, count, seed);
                let solution = solve(&problem, &Budget::quick(problem.buffers.len())).unwrap();
                assert_eq!(checker::check(&problem, &solution.plan), Ok(()));
                let bound = lower_bound(&problem).unwrap()[0];
                (solution.height() as f64 / bound as f64 - 1.0) * 100.0
            });
            let gap_percent = median(gaps_percent);
            assert!(gap_percent <= 2.0, "{shape:?} {count}: {gap_percent} %");
        }
    }
}
