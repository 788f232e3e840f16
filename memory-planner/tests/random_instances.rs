//! How close the quick heuristic gets on random instances.

mod support;

use memory_planner::{Budget, checker, lower_bound, solve};
use support::{SHAPES, Shape, median, random};

#[test]
fn quick_plans_are_close_to_the_lower_bound() {
    for shape in SHAPES {
        for (count, seeds) in [(30, 11), (100, 11), (300, 5), (1000, 1)] {
            assert_close(shape, count, seeds);
        }
    }
}

/// Alignments make the largest difference between instances.
#[test]
fn so_are_those_of_thousands_of_buffers() {
    for (shape, seeds) in [
        (Shape::Network, 1),
        (Shape::Uniform, 1),
        (Shape::Aligned, 11),
    ] {
        assert_close(shape, 3000, seeds);
    }
}

/// Within 2 % on the median. The benchmark takes more instances of each.
fn assert_close(shape: Shape, count: u32, seeds: u64) {
    let gaps_percent = (0..seeds).map(|seed| {
        let problem = random(shape, count, seed);
        let solution = solve(&problem, &Budget::quick(problem.buffers.len())).unwrap();
        assert_eq!(checker::check(&problem, &solution.plan), Ok(()));
        let bound = lower_bound(&problem).unwrap()[0];
        (solution.height() as f64 / bound as f64 - 1.0) * 100.0
    });
    let gap_percent = median(gaps_percent);
    assert!(gap_percent <= 2.0, "{shape:?} {count}: {gap_percent} %");
}
