//! Solver against brute force on tiny problems, and against the checker on wild ones.

mod support;

use memory_planner::fuzzing::{check, check_result, tiny_problem, wild_problem};
use memory_planner::{Budget, PlanError, Problem, Proof};
use proptest::prelude::*;
use support::Random;
use support::brute_force::best_heights;

fn agrees_with_brute_force(problem: &Problem) {
    let best = best_heights(problem).map(|mut heights| {
        heights.reverse();
        heights
    });
    match check_result(problem, &Budget::steps(20_000)) {
        Ok(solution) => {
            let best = best.expect("brute force finds a plan too");
            let mut heights = solution.heights.clone();
            let mut bounds = solution.lower_bounds.clone();
            heights.reverse();
            bounds.reverse();
            if solution.proof == Proof::Optimal {
                assert_eq!(heights, best, "{problem:?}");
            }
            for region in 0..heights.len() {
                // A bound holds as long as no later region's height differs.
                if heights[..region] == best[..region] {
                    assert!(
                        bounds[region] <= best[region],
                        "{problem:?} {solution:?} {best:?}"
                    );
                }
            }
            let single = problem.regions.len() == 1;
            assert!(
                !single || solution.proof == Proof::Optimal,
                "not proved: {problem:?}"
            );
        }
        Err(PlanError::NoPlanFound { .. }) => {
            assert!(problem.regions.len() > 1, "not decided: {problem:?}");
        }
        Err(error) => assert_eq!(best, None, "{error}: {problem:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tiny_problems_agree_with_brute_force(bytes in prop::collection::vec(any::<u8>(), 0..48)) {
        agrees_with_brute_force(&tiny_problem(&bytes));
    }

    #[test]
    fn wild_problems_get_a_plan_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = check_result(&wild_problem(&bytes), &Budget::steps(300));
    }
}

/// The fuzz target's body, always for the same inputs.
#[test]
fn fuzz_target_holds_for_many_inputs() {
    let mut random = Random::new(7);
    for _ in 0..FUZZ_CASES {
        let length = 16 + random.below(144);
        let bytes: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        check(&bytes);
    }
}

const FUZZ_CASES: u32 = 40_000;
