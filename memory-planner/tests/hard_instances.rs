//! MiniMalloc's eleven hard instances.

mod support;

use memory_planner::{Budget, Proof, checker, solve};
use support::{HARD, HARD_CAPACITY, hard};

#[test]
fn all_fit_their_capacity() {
    for name in HARD {
        let problem = hard(name);
        let solution = solve(&problem, &Budget::default().until_it_fits()).unwrap();
        assert_eq!(checker::check(&problem, &solution.plan), Ok(()));
        assert!(solution.height() <= HARD_CAPACITY, "{name}");
        // Some tenths of a second; `cargo bench` shows the time.
        assert!(solution.steps < 100_000, "{name}");
    }
}

#[test]
fn all_but_j_are_proved_optimal() {
    for name in HARD.into_iter().filter(|name| *name != "J") {
        let problem = hard(name);
        let solution = solve(&problem, &Budget::default()).unwrap();
        let expected = match name {
            "C" => 1_039_360,
            // The peak live bytes.
            "D" => 986_112,
            _ => HARD_CAPACITY,
        };
        assert_eq!(
            (solution.height(), solution.proof),
            (expected, Proof::Optimal),
            "{name}"
        );
    }
}

#[test]
fn one_byte_less_than_the_peak_is_refused() {
    let mut problem = hard("A");
    problem.regions[0].capacity -= 1;
    let error = solve(&problem, &Budget::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "any plan needs 1048576 bytes, region `arena` has 1048575"
    );
}

/// The same plans on every machine: a hash over all offsets. A change of the search
/// changes it, and only that.
#[test]
fn plans_are_the_same_everywhere() {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for name in HARD {
        let solution = solve(&hard(name), &Budget::steps(10_000).until_it_fits());
        for placement in solution
            .iter()
            .flat_map(|solution| &solution.plan.placements)
        {
            hash = (hash ^ placement.offset).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    assert_eq!(hash, PLANS);
}

const PLANS: u64 = 18_118_981_454_951_290_949;
