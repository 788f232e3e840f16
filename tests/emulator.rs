//! Images of emulated boards: what they compute, what they measure, and how
//! they fail.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use tadpool::boards::{self, Board, Runner};
use tadpool::firmware::audit;
use tadpool::firmware::{self as images, Build, FirmwareError, Image};
use tadpool::runner::emulator::{self, Emulator, EmulatorError};
use tadpool::runner::logs::LogTable;
use tadpool::runner::session::{Inference, Session, SessionError, Transport};
use tadpool_kernels::Observer;
use tadpool_kernels::checksum::fnv1a;
use tadpool_protocol::{FaultKind, MAX_FRAME, Refusal, Request, SelfTest, encode};

const TIMEOUT: Duration = Duration::from_secs(60);

fn firmware() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware")
}

/// Names of the boards that QEMU runs.
fn emulated() -> impl Iterator<Item = &'static str> {
    let is_emulated = |name: &&str| matches!(boards::find(name).unwrap().runner, Runner::Qemu(_));
    boards::names().filter(is_emulated)
}

/// Images are built one after the other, once each.
fn image(board: &str) -> (Board, &'static Image) {
    static IMAGES: [OnceLock<Image>; 32] = [const { OnceLock::new() }; 32];
    let index = boards::names().position(|name| name == board).unwrap();
    let board = boards::find(board).unwrap();
    let image = IMAGES[index].get_or_init(|| {
        static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock();
        let build = Build {
            firmware: &firmware(),
            board: &board,
            model: None,
            self_test: true,
        };
        images::build(&build).unwrap_or_else(|error| panic!("{error}"))
    });
    (board, image)
}

fn start(board: &str) -> (Board, Session<Emulator>) {
    let (board, image) = image(board);
    let hash = Some(tadpool_model::MODEL_HASH);
    let session = emulator::start(&board, &image.path, hash, TIMEOUT);
    (board, session.unwrap_or_else(|error| panic!("{error}")))
}

fn picture(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next)
        .take(tadpool_model::INPUT_BYTES)
        .collect()
}

/// What the host computes: the logits, and the checksum of each step.
fn on_host(picture: &[u8]) -> (Vec<i32>, Vec<u32>) {
    #[derive(Default)]
    struct Checksums(Vec<u32>);
    impl Observer for Checksums {
        fn step(&mut self, step: usize, output: &[u8]) {
            assert_eq!(step, self.0.len());
            self.0.push(fnv1a(output));
        }
    }
    let mut arena = Box::new(tadpool_model::Arena::new());
    arena.input_mut().copy_from_slice(picture);
    let mut checksums = Checksums::default();
    let logits = tadpool_model::infer_observed(&mut arena, &mut checksums).unwrap();
    (logits.to_vec(), checksums.0)
}

fn agrees_with_the_host(board: &str) {
    let (_, mut session) = start(board);
    for seed in 0..8 {
        let picture = picture(seed);
        let Inference { logits, steps, .. } = session.infer(&picture).unwrap();
        let checksums: Vec<u32> = steps.iter().map(|step| step.checksum).collect();
        assert_eq!((logits, checksums), on_host(&picture), "picture {seed}");
    }
    session.shut_down().unwrap();
}

#[test]
fn cortex_m4_computes_the_bytes_of_the_host() {
    agrees_with_the_host("qemu-mps2-an386");
}

#[test]
fn cortex_m7_computes_the_bytes_of_the_host() {
    agrees_with_the_host("qemu-mps2-an500");
}

#[test]
fn cortex_m33_computes_the_bytes_of_the_host() {
    agrees_with_the_host("qemu-mps2-an505");
}

#[test]
fn cortex_m55_computes_the_bytes_of_the_host() {
    agrees_with_the_host("qemu-mps3-an547");
}

#[test]
fn cortex_m3_computes_the_bytes_of_the_host() {
    agrees_with_the_host("qemu-mps2-an385");
}

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
    let (board, mut session) = start(boards::DEFAULT_BOARD);
    let ticks = session.wait(Duration::from_millis(10)).unwrap();
    let least = u64::from(board.counter.frequency_hz) / 100;
    assert!((least..least + 1000).contains(&ticks), "{ticks}");
}

#[test]
fn two_runs_cost_the_same() {
    let costs = || {
        let (_, mut session) = start(boards::DEFAULT_BOARD);
        session.infer(&picture(1)).unwrap()
    };
    assert_eq!(costs(), costs());
}

#[test]
fn steps_add_up_to_the_inference() {
    let (_, mut session) = start(boards::DEFAULT_BOARD);
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
    let (_, image) = image(boards::DEFAULT_BOARD);
    let (_, mut session) = start(boards::DEFAULT_BOARD);
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

#[test]
fn the_image_is_weighed() {
    let (_, image) = image(boards::DEFAULT_BOARD);
    let sizes = &image.sizes;
    let sections: u64 = sizes.sections.iter().map(|section| section.size).sum();
    assert_eq!(
        sections,
        sizes.flash_bytes() + sizes.zeroed_bytes,
        "{sizes:?}"
    );
    assert!(
        sizes.zeroed_bytes >= tadpool_model::ARENA_BYTES as u64,
        "{sizes:?}"
    );
    assert!(sizes.weights_bytes > 0 && sizes.code_bytes > 0, "{sizes:?}");
}

fn fault(test: SelfTest) -> (FaultKind, String) {
    let (_, mut session) = start(boards::DEFAULT_BOARD);
    session.infer(&picture(3)).unwrap();
    match session.self_test(test) {
        Err(error @ SessionError::Fault(_)) => {
            let text = error.to_string();
            let SessionError::Fault(report) = error else {
                unreachable!()
            };
            (report.kind, text)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_panic_is_reported() {
    let (kind, text) = fault(SelfTest::Panic);
    assert_eq!(kind, FaultKind::Panic);
    assert!(text.contains("the host asked for a panic"), "{text}");
}

#[test]
fn a_bad_address_is_reported() {
    let (kind, text) = fault(SelfTest::BadAddress);
    assert_eq!(kind, FaultKind::HardFault);
    assert!(text.contains("bfar 90000000"), "{text}");
}

#[test]
fn the_stack_cannot_overflow_unnoticed() {
    for board in emulated() {
        let (_, mut session) = start(board);
        match session.self_test(SelfTest::StackOverflow) {
            Err(SessionError::Fault(fault)) => {
                assert_eq!(fault.kind, FaultKind::StackOverflow, "{board}");
            }
            other => panic!("{board}: {other:?}"),
        }
    }
}

#[test]
fn a_board_that_hangs_is_given_up() {
    let (board, image) = image(boards::DEFAULT_BOARD);
    let timeout = Duration::from_secs(5);
    let mut session = emulator::start(&board, &image.path, None, timeout).unwrap();
    match session.self_test(SelfTest::Hang) {
        Err(SessionError::Timeout {
            request: "self test",
            seconds: 5,
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn broken_and_wrong_frames_are_refused_and_forgotten() {
    let (_, mut session) = start(boards::DEFAULT_BOARD);
    let mut refusal = |bytes: &[u8]| {
        session.transport_mut().send(bytes).unwrap();
        match session.wait(Duration::ZERO) {
            Err(SessionError::Refused { refusal, .. }) => {
                // The answer to the wait itself.
                session.discard_response().unwrap();
                refusal
            }
            other => panic!("{other:?}"),
        }
    };
    let frame = |request: &Request<'_>| encode(request, &mut [0; MAX_FRAME]).unwrap().to_vec();
    assert_eq!(refusal(&[1, 2, 3, 0]), Refusal::BrokenFrame);
    assert_eq!(
        refusal(&[&[7; 5000][..], &[0]].concat()),
        Refusal::BrokenFrame
    );
    let late = frame(&Request::Pixels {
        offset: 512,
        bytes: &[0; 16],
    });
    assert_eq!(
        refusal(&late),
        Refusal::BadOffset {
            expected: 0,
            found: 512
        }
    );
    let infer = frame(&Request::Infer { checksum: 0 });
    let expected = tadpool_model::INPUT_BYTES as u32;
    assert_eq!(
        refusal(&infer),
        Refusal::Incomplete {
            received: 0,
            expected
        }
    );
    let pixels = frame(&Request::Pixels {
        offset: 0,
        bytes: &[9; 100],
    });
    let infer = [pixels, infer].concat();
    assert_eq!(
        refusal(&infer),
        Refusal::Incomplete {
            received: 100,
            expected
        }
    );
    session.infer(&picture(4)).unwrap();
}

#[test]
fn a_picture_of_the_wrong_size_is_not_sent() {
    let (_, mut session) = start(boards::DEFAULT_BOARD);
    let error = session.infer(&[0; 5]).unwrap_err();
    assert!(
        matches!(error, SessionError::WrongSize { found: 5, .. }),
        "{error}"
    );
}

#[test]
fn an_image_that_is_not_there_or_not_the_right_one_is_told() {
    let (board, image) = image(boards::DEFAULT_BOARD);
    let start = |path: &Path, hash| emulator::start(&board, path, hash, TIMEOUT).unwrap_err();

    let error = start(Path::new("missing.elf"), None);
    assert!(matches!(error, EmulatorError::NoImage(_)), "{error}");

    let error = start(&image.path, Some(!tadpool_model::MODEL_HASH));
    let wrong_model = |error: &EmulatorError| {
        matches!(
            error,
            EmulatorError::Session(SessionError::WrongModel { .. })
        )
    };
    assert!(wrong_model(&error), "{error}");

    let other = Board {
        name: "other".into(),
        ..board.clone()
    };
    let error = emulator::start(&other, &image.path, None, TIMEOUT).unwrap_err();
    let wrong_board = matches!(
        error,
        EmulatorError::Session(SessionError::WrongBoard { .. })
    );
    assert!(wrong_board, "{error}");

    // A folder, and a file that QEMU cannot run.
    let error = start(Path::new("."), None);
    assert!(matches!(error, EmulatorError::NoImage(_)), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.elf");
    std::fs::write(&garbage, [0; 64]).unwrap();
    let error = start(&garbage, None);
    let gone = matches!(error, EmulatorError::Session(SessionError::Gone { .. }));
    assert!(gone, "{error}");
}

#[test]
fn an_inference_cannot_panic_and_has_a_bounded_stack() {
    let firmware = &firmware();
    for name in emulated() {
        let board = &boards::find(name).unwrap();
        let build = Build {
            firmware,
            board,
            model: None,
            self_test: false,
        };
        let audit = audit::inference(&build).unwrap_or_else(|error| panic!("{name}: {error}"));
        audit
            .check(board)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            audit
                .functions
                .iter()
                .any(|name| name == "tadpool_inference"),
            "{audit:?}"
        );

        let (_, mut session) = start(name);
        let measured = session.infer(&picture(5)).unwrap().stack_bytes;
        assert!(
            audit.stack_bytes.clone().unwrap() <= measured,
            "{measured}: {audit:?}"
        );
    }
}

#[test]
fn the_audit_sees_panics_and_recursion() {
    let (_, image) = image(boards::DEFAULT_BOARD);
    let bytes = std::fs::read(&image.path).unwrap();
    let audit = audit::audit(&image.path, &bytes, "main").unwrap();
    assert!(!audit.panics.is_empty(), "{audit:?}");
    assert!(audit.stack_bytes.is_err(), "{audit:?}");
}

#[test]
fn another_model_takes_the_place_of_the_committed_one() {
    let folder = tempfile::tempdir().unwrap();
    let model = firmware().join("model");
    std::fs::create_dir(folder.path().join("src")).unwrap();
    let kernels = firmware().join("kernels");
    let manifest = std::fs::read_to_string(model.join("Cargo.toml")).unwrap();
    let manifest = manifest.replace("../kernels", kernels.to_str().unwrap());
    std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    for entry in std::fs::read_dir(model.join("src")).unwrap() {
        let path = entry.unwrap().path();
        let copy = folder.path().join("src").join(path.file_name().unwrap());
        match path.extension().is_some_and(|extension| extension == "rs") {
            true => {
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.replace("NAME: &str = \"", "NAME: &str = \"copy of ");
                std::fs::write(copy, text).unwrap();
            }
            false => drop(std::fs::copy(&path, copy).unwrap()),
        }
    }
    let board = &boards::find(boards::DEFAULT_BOARD).unwrap();
    let build = Build {
        firmware: &firmware(),
        board,
        model: Some(folder.path()),
        self_test: false,
    };
    let image = images::build(&build).unwrap_or_else(|error| panic!("{error}"));
    let mut session = emulator::start(board, &image.path, None, TIMEOUT).unwrap();
    assert_eq!(
        session.hello().model.as_str(),
        format!("copy of {}", tadpool_model::NAME)
    );
    let picture = picture(6);
    assert_eq!(session.infer(&picture).unwrap().logits, on_host(&picture).0);
    match session.self_test(SelfTest::Panic) {
        Err(SessionError::Refused {
            refusal: Refusal::NoSelfTests,
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_that_exceeds_a_budget_is_not_built() {
    let name = boards::DEFAULT_BOARD;
    let text = std::fs::read_to_string(firmware().join(format!("boards/{name}.toml"))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let budget = |field: &str, bytes: usize| {
        let path = folder.path().join(format!("{name}-{field}.toml"));
        let text = text.split("[budget]").next().unwrap();
        let rest = "[counter]\nname = \"x\"\nfrequency_hz = 1\n\
                    [runner.qemu]\nmachine = \"mps2-an386\"\nicount_shift = 6\n";
        std::fs::write(
            &path,
            format!("{text}\n[budget]\n{field} = {bytes}\n{rest}"),
        )
        .unwrap();
        let board = &boards::find(path.to_str().unwrap()).unwrap();
        let build = Build {
            firmware: &firmware(),
            board,
            model: None,
            self_test: false,
        };
        match images::build(&build).unwrap_err() {
            FirmwareError::DoesNotFit {
                board,
                memory,
                overflow_bytes,
            } => {
                assert_eq!(board, name);
                assert!(overflow_bytes > 0);
                memory
            }
            other => panic!("{other}"),
        }
    };
    assert_eq!(budget("flash_bytes", 4096), "flash");
    assert_eq!(budget("ram_bytes", 16_384 + 2048), "RAM");
}
