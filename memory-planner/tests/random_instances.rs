//! How close the quick heuristic gets on random instances.

mod support;

use std::time::Instant;

use memory_planner::{Budget, checker, lower_bound, solve};
use support::{SHAPES, median, random};

/// Up to a thousand buffers within 2 %. Above that, one short search is not enough for
/// the shapes with mostly short live ranges; the bound says what is reached.
#[test]
fn quick_plans_are_close_to_the_lower_bound() {
    for shape in SHAPES {
        for (count, most_percent) in [(30, 2.0), (100, 2.0), (300, 2.0), (1000, 2.0), (3000, 6.0)] {
            // Few of the largest, so that the test stays short.
            let seeds = if count == 3000 { 0..3 } else { 0..11 };
            let gaps_percent = seeds.map(|seed| {
                let problem = random(shape, count, seed);
                let solution = solve(&problem, &Budget::quick(problem.buffers.len())).unwrap();
                assert_eq!(checker::check(&problem, &solution.plan), Ok(()));
                let bound = lower_bound(&problem).unwrap()[0];
                (solution.height() as f64 / bound as f64 - 1.0) * 100.0
            });
            let gap_percent = median(gaps_percent);
            assert!(
                gap_percent <= most_percent,
                "{shape:?} {count}: {gap_percent} %"
            );
        }
    }
}

/// Generous, as tests run on busy machines; `cargo bench` shows the real figure.
#[test]
fn a_thousand_buffers_are_planned_quickly() {
    let times_ms = (0..5).map(|seed| {
        let problem = random(SHAPES[0], 1000, seed);
        let start = Instant::now();
        solve(&problem, &Budget::quick(problem.buffers.len())).unwrap();
        start.elapsed().as_secs_f64() * 1e3
    });
    assert!(median(times_ms) < 500.0);
}
