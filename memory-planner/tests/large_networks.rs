//! Networks of tens of thousands of buffers, and how well budgets of time are kept.

mod support;

use std::time::{Duration, Instant};

use memory_planner::{Budget, Buffer, BufferId, Problem, Relation, checker, lower_bound, solve};
use support::Random;
use support::generate::{GRAPHS, large_network};

#[test]
fn large_networks_are_planned_close_to_the_lower_bound() {
    for graph in GRAPHS {
        for (count, seed) in [
            (1042, 1),
            (18_692, 2),
            (28_526, 3),
            (62_185, 1),
            (100_000, 4),
        ] {
            let problem = large_network(graph, count, seed);
            let solution = solve(&problem, &Budget::thorough(count)).unwrap();
            assert_eq!(checker::check(&problem, &solution.plan), Ok(()));
            let bound = lower_bound(&problem).unwrap()[0];
            let gap_percent = (solution.height() as f64 / bound as f64 - 1.0) * 100.0;
            assert!(gap_percent <= 3.0, "{graph:?} {count}: {gap_percent} %");
        }
    }
}

/// Buffers of any size and length within `moments`, and relations between any of them.
fn any_problem(count: u32, relations: usize, moments: u64) -> Problem {
    let mut random = Random::new(5);
    let mut problem = Problem::with_capacity(u64::MAX);
    for index in 0..count {
        let start = random.below(moments) as u32;
        let live = start..start + 1 + random.below(moments.min(200)) as u32;
        let size = 1 + random.below(10_000);
        problem.add_buffer(Buffer::new(format!("b{index}"), live, size));
    }
    while problem.relations.len() < relations {
        let [a, b] = [0; 2].map(|_| BufferId(random.below(count.into()) as u32));
        let bytes = random.below(5000);
        if a != b {
            problem.relations.push(match random.below(2) {
                0 => Relation::MayAlias { a, b },
                _ => Relation::MayOverlap {
                    lower: a,
                    upper: b,
                    bytes,
                },
            });
        }
    }
    problem
}

/// The machine's other load is not known here, so the bar is far from the usual time:
/// a search that does not look at the time would go on for minutes.
#[test]
fn budgets_of_time_are_kept() {
    for (count, relations, moments) in [
        (8192, 4000, 100_000),
        (8192, 4000, 3),
        (100_000, 0, 100_000),
        (100_000, 0, 3),
        (100_000, 4000, 1000),
    ] {
        let problem = any_problem(count, relations, moments);
        let time = Duration::from_millis(200);
        let budget = Budget::steps(u64::MAX).with_time(time);
        let start = Instant::now();
        let solution = solve(&problem, &budget).unwrap();
        let elapsed = start.elapsed();
        assert_eq!(checker::check(&problem, &solution.plan), Ok(()));
        let over = elapsed.saturating_sub(time);
        eprintln!("{count} buffers, {relations} relations, {moments} moments: {over:?} over");
        assert!(over < Duration::from_secs(10), "{count}: {over:?}");
    }
}
