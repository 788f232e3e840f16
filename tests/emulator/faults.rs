//! Faults of the firmware: caught, and reported with the place.

use std::time::Duration;

use tadpool_boards::{Board, Watchdog, WeightCheck};
use tadpool_image::seal::seal;
use tadpool_image::{Build, FirmwareImage, Interface};
use tadpool_probe::logs::LogTable;
use tadpool_probe::session::{Session, SessionError};
use tadpool_probe::trace::{Cause, TraceError};
use tadpool_probe::{RttLink, RunnerError};
use tadpool_protocol::{FaultKind, SelfTest};

use super::{emulated, image, on_host, picture, start, start_image, without_addresses};

/// An image of `board`, whose file is not one of those that are built in, and a session with it.
fn start_changed(board: &Board) -> (FirmwareImage, Session<RttLink>) {
    let build = Build {
        board,
        model: None,
        interface: Interface::SelfTests,
    };
    let image = tadpool_image::build(&build).unwrap();
    let session = start_image(board, &image.path, None, super::TIMEOUT).unwrap();
    (image, session)
}

/// How a fault that is asked for is reported.
fn fault(board: &str, test: SelfTest) -> (FaultKind, String) {
    let (_, mut session) = start(board);
    match session.self_test(test) {
        Err(error @ SessionError::Fault(_)) => {
            let text = error.to_string();
            let SessionError::Fault(fault) = error else {
                unreachable!()
            };
            (fault.report.kind, text)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_panic_is_reported() {
    let (kind, text) = fault(tadpool_boards::DEFAULT_BOARD, SelfTest::Panic);
    assert_eq!(kind, FaultKind::Panic);
    assert!(text.contains("the host asked for a panic"), "{text}");
}

#[test]
fn a_bad_address_is_reported() {
    let (kind, text) = fault(tadpool_boards::DEFAULT_BOARD, SelfTest::BadAddress);
    assert_eq!(kind, FaultKind::HardFault);
    assert!(text.contains("bfar 90000000"), "{text}");
    insta::assert_snapshot!("hard_fault", without_addresses(&text));
}

#[test]
fn the_stack_cannot_overflow_unnoticed() {
    for board in emulated() {
        let (kind, text) = fault(board, SelfTest::StackOverflow);
        assert_eq!(kind, FaultKind::StackOverflow, "{board}: {text}");
        if board == tadpool_boards::DEFAULT_BOARD {
            insta::assert_snapshot!("stack_overflow", without_addresses(&text));
        }
    }
}

/// Below the stack there may be memory, which an overflow must not reach: here a megabyte.
#[test]
fn the_memory_below_the_stack_is_closed() {
    const BELOW_BYTES: u32 = 1 << 20;
    let mut board = tadpool_boards::find(tadpool_boards::DEFAULT_BOARD).unwrap();
    let name = board.layout.ram.clone();
    let ram = board.memory.get_mut(&name).unwrap();
    ram.origin += BELOW_BYTES;
    ram.length -= BELOW_BYTES;
    let bottom = ram.origin;
    let (_, mut session) = start_changed(&board);
    let Err(SessionError::Fault(fault)) = session.self_test(SelfTest::StackOverflow) else {
        panic!("no fault");
    };
    assert_eq!(fault.report.kind, FaultKind::StackOverflow);
    let beyond = bottom - fault.report.registers.unwrap().sp;
    // A frame of the test's recursion, and what the processor saves.
    assert!(beyond <= 1024, "{beyond} bytes beyond the stack");
}

#[test]
fn a_fault_names_its_step() {
    let (_, mut session) = start(tadpool_boards::DEFAULT_BOARD);
    session.name_steps(vec!["stem".into(), "block".into()]);
    session.infer(&picture(3)).unwrap();
    // Outside an inference no step is to blame.
    match session.self_test(SelfTest::BadAddress) {
        Err(SessionError::Fault(fault)) => {
            assert_eq!((fault.report.step, fault.step), (None, None));
            assert!(fault.function.unwrap().contains("self_test"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hard_fault_names_the_step_it_happened_in() {
    let (_, mut session) = start(tadpool_boards::DEFAULT_BOARD);
    session.name_steps((0..9).map(|step| format!("name of step {step}")).collect());
    session
        .self_test(SelfTest::BadAddressAfter { step: 4 })
        .unwrap();
    let error = session.infer(&picture(4)).unwrap_err();
    let text = without_addresses(&error.to_string());
    let SessionError::Fault(fault) = error else {
        panic!("{error}");
    };
    assert_eq!(fault.report.kind, FaultKind::HardFault);
    assert_eq!(fault.report.step, Some(5));
    assert!(fault.report.registers.is_some());
    insta::assert_snapshot!("hard_fault_in_a_step", text);
}

#[test]
fn the_log_after_a_reset_tells_the_last_fault() {
    for (test, what) in [
        (SelfTest::Panic, "a panic"),
        (SelfTest::BadAddress, "a HardFault"),
        (SelfTest::StackOverflow, "an overflow of the stack"),
    ] {
        let (_, image) = image(tadpool_boards::DEFAULT_BOARD);
        let (_, mut session) = start(tadpool_boards::DEFAULT_BOARD);
        let table = LogTable::of(&image.path, &std::fs::read(&image.path).unwrap()).unwrap();
        let expected = format!("the last run ended by {what}");
        let has_told = |log: &[u8]| {
            let lines = table.decode(log);
            lines.iter().any(|line| line.message.starts_with(&expected))
        };
        session.self_test(test).unwrap_err();
        assert!(!has_told(&session.take_log()), "{what}");
        let mut told = Vec::new();
        for _ in 0..2 {
            let link = session.into_transport();
            let link = link.restart(&image.path, super::TIMEOUT).unwrap();
            session = Session::start(link, super::TIMEOUT).unwrap();
            told.push(has_told(&session.take_log()));
        }
        assert_eq!(told, [true, false], "{what} is told once");
    }
}

#[test]
fn a_board_that_hangs_is_given_up() {
    let (board, image) = image(tadpool_boards::DEFAULT_BOARD);
    let timeout = Duration::from_secs(5);
    let mut session = start_image(&board, &image.path, None, timeout).unwrap();
    let error = session.self_test(SelfTest::Hang).unwrap_err();
    assert!(
        matches!(error, SessionError::Timeout { seconds: 5, .. }),
        "{error}"
    );
    insta::assert_snapshot!("hang", without_addresses(&error.to_string()));
}

/// An inference that hangs is ended by the watchdog, which names its step, and so does the log
/// of the next run.
#[test]
fn the_watchdog_ends_a_step_that_hangs() {
    let mut board = tadpool_boards::find(tadpool_boards::DEFAULT_BOARD).unwrap();
    board.watchdog = Some(Watchdog { limit_ms: 500 });
    let (image, mut session) = start_changed(&board);
    // It is fed between steps, and while the host or the clock is waited for.
    assert_eq!(
        session.infer(&picture(6)).unwrap().logits,
        on_host(&picture(6)).0
    );
    session.wait(Duration::from_secs(1)).unwrap();
    session.self_test(SelfTest::HangAfter { step: 4 }).unwrap();
    let error = session.infer(&picture(6)).unwrap_err();
    let text = error.to_string();
    let SessionError::Fault(fault) = error else {
        panic!("{text}");
    };
    assert_eq!(fault.report.kind, FaultKind::Watchdog, "{text}");
    assert_eq!(fault.report.step, Some(5));
    insta::assert_snapshot!("watchdog", text);
    let table = LogTable::of(&image.path, &std::fs::read(&image.path).unwrap()).unwrap();
    let link = session.into_transport();
    let link = link.restart(&image.path, super::TIMEOUT).unwrap();
    let mut session = Session::start(link, super::TIMEOUT).unwrap();
    let lines = table.decode(&session.take_log());
    let expected = "the last run ended by the watchdog, step 5: nothing went on for 500 ms";
    let is_told = lines.iter().any(|line| line.message.starts_with(expected));
    assert!(is_told, "{lines:?}");
}

/// Weights that change while the firmware runs are noticed before the next inference, or
/// within sixteen where each checks a sixteenth, from the first on.
#[test]
fn weights_that_change_are_noticed() {
    for (check, most) in [(WeightCheck::Inference, 1), (WeightCheck::Parts, 16)] {
        let mut board = tadpool_boards::find(tadpool_boards::DEFAULT_BOARD).unwrap();
        board.layout.check_weights = check;
        let (_, mut session) = start_changed(&board);
        for _ in 0..most {
            session.infer(&picture(7)).unwrap();
        }
        session.self_test(SelfTest::CorruptWeights).unwrap();
        let noticed = (1..=most).find_map(|count| match session.infer(&picture(7)) {
            Ok(_) => None,
            Err(SessionError::Fault(fault)) => Some((count, fault.report)),
            Err(error) => panic!("{error}"),
        });
        let (_, report) = noticed.unwrap_or_else(|| panic!("{check:?} notices nothing"));
        assert_eq!(report.kind, FaultKind::Weights);
        assert!(report.message.starts_with("CRC-32 "), "{report:?}");
    }
}

/// A weight that flips in the flash is told from a bug in the kernels.
#[test]
fn corrupted_weights_are_told_from_a_bug() {
    let weights = include_bytes!("../../firmware/model/src/weights.bin");
    let (board, image) = image(tadpool_boards::DEFAULT_BOARD);
    let mut bytes = std::fs::read(&image.path).unwrap();
    let middle = &weights[weights.len() / 2..][..64];
    let place = bytes.windows(64).position(|window| window == middle);
    bytes[place.unwrap()] ^= 0x40;
    let folder = tempfile::tempdir().unwrap();
    let corrupted = folder.path().join("corrupted.elf");
    std::fs::write(&corrupted, &bytes).unwrap();

    // At its start the firmware compares the CRC.
    match start_image(&board, &corrupted, None, super::TIMEOUT) {
        Err(RunnerError::Session(error)) => {
            insta::assert_snapshot!("corrupted_weights", without_addresses(&error.to_string()));
        }
        other => panic!("{other:?}"),
    }

    // What comes later, or with a CRC that matches, shows in the steps.
    seal(&corrupted, &mut bytes).unwrap();
    std::fs::write(&corrupted, bytes).unwrap();
    let mut session = start_image(&board, &corrupted, None, super::TIMEOUT).unwrap();
    let (_, expected) = on_host(&picture(5));
    let found = session.infer(&picture(5)).unwrap();
    let pairs = found.steps.iter().zip(&expected).enumerate();
    let (step, (found, host)) = pairs
        .into_iter()
        .find(|(_, (found, host))| found.checksum != **host)
        .unwrap();
    let mut explained = |flashed: &std::path::Path| {
        let error = TraceError::Step {
            image: "picture.png".into(),
            step,
            name: "block".to_owned(),
            board: found.checksum,
            host: *host,
            cause: Cause::Unknown,
        };
        let error = error.explained(session.transport_mut(), flashed);
        let text = error.to_string();
        let TraceError::Step { cause, .. } = error else {
            panic!("{text}");
        };
        (cause, text)
    };
    let (cause, text) = explained(&image.path);
    assert!(matches!(cause, Cause::Flash { .. }), "{text}");
    assert!(text.contains("its flash was corrupted"), "{text}");
    // The same bytes as were written: then it would be the kernels.
    let (cause, text) = explained(&corrupted);
    assert_eq!(cause, Cause::Kernels, "{text}");
}
