//! The measurements and logs of emulated boards.

use std::time::Duration;
use tadpool_probe::logs::LogTable;
use tadpool_protocol::SelfTest;

use super::{emulated, image, picture, start};

#[test]
fn the_counter_counts_instructions() {
    for name in emulated() {
        let (board, mut session) = start(name);
        let mut instructions = |length| {
            let test = SelfTest::Loop {
                instructions: length,
            };
            board.cost(session.self_test(test).unwrap())
        };
        let around = instructions(2) - 2;
        assert!(around < 100, "{name}: {around}");
        // More than SysTick's period among them.
        for length in [200, 2_000, 2_000_000, 20_000_000] {
            let found = instructions(length) - around;
            // A tick is 5/8 of an instruction; SysTick's interrupt adds its own.
            let periods = u64::from(length) / 10_000_000;
            let exact = u64::from(length).saturating_sub(1)..=u64::from(length) + 1 + 30 * periods;
            assert!(exact.contains(&found), "{name}: {found} of {length}");
        }
    }
}

#[test]
fn waiting_takes_the_time_it_should() {
    let (board, mut session) = start(tadpool_boards::DEFAULT_BOARD);
    let ticks = session.wait(Duration::from_millis(10)).unwrap();
    let least = u64::from(board.counter.frequency_hz.unwrap()) / 100;
    assert!((least..least + 1000).contains(&ticks), "{ticks}");
}

#[test]
fn two_runs_cost_the_same() {
    let costs = || {
        let (_, mut session) = start(tadpool_boards::DEFAULT_BOARD);
        session.infer(&picture(1)).unwrap()
    };
    let (first, second) = (costs(), costs());
    assert_eq!(first.logits, second.logits);
    assert_eq!(first.steps.len(), second.steps.len());
    // A tick is shorter than an instruction: where it begins within one depends on how long
    // the host let the board wait.
    for (first, second) in first.steps.iter().zip(&second.steps) {
        assert_eq!(first.checksum, second.checksum);
        assert!(first.ticks.abs_diff(second.ticks) <= 1);
    }
}

#[test]
fn steps_add_up_to_the_inference() {
    let (_, mut session) = start(tadpool_boards::DEFAULT_BOARD);
    let inference = session.infer(&picture(2)).unwrap();
    let steps: u64 = inference.steps.iter().map(|step| step.ticks).sum();
    assert!(steps > 0 && steps <= inference.ticks, "{inference:?}");
    let stack_bytes = session.hello().stack_bytes;
    assert!(
        (1..stack_bytes).contains(&inference.stack_bytes),
        "{inference:?}"
    );
}

#[test]
fn the_log_is_decoded() {
    let (_, image) = image(tadpool_boards::DEFAULT_BOARD);
    let (_, mut session) = start(tadpool_boards::DEFAULT_BOARD);
    let table = LogTable::of(&image.path, &std::fs::read(&image.path).unwrap()).unwrap();
    let lines = table.decode(&session.take_log());
    let text = format!("{} on qemu-mps2-an386", tadpool_model::NAME);
    assert!(
        lines.iter().any(|line| line.message.starts_with(&text)),
        "{lines:?}"
    );
    assert!(
        lines.iter().all(|line| line.ticks.parse::<u64>().is_ok()),
        "{lines:?}"
    );
}
