//! The sizes and contents of images, and which are refused.
use std::path::Path;

use tadpool_boards::Board;
use tadpool_compiler::generate::{Description, Generated, StepWeights};
use tadpool_image::audit::{self, AuditError};
use tadpool_image::{Build, FirmwareError, Interface, Model};
use tadpool_probe::session::SessionError;
use tadpool_protocol::{Refusal, SelfTest};

use super::{TIMEOUT, emulated, image, on_host, picture, start_image};

#[test]
fn the_image_is_weighed() {
    let (_, image) = image(tadpool_boards::DEFAULT_BOARD);
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

#[test]
fn an_image_cannot_panic_and_needs_no_more_stack_than_it_has() {
    for name in emulated() {
        let board = &tadpool_boards::find(name).unwrap();
        let build = Build {
            board,
            model: None,
            interface: Interface::Requests,
        };
        let image = tadpool_image::build(&build).unwrap_or_else(|error| panic!("{name}: {error}"));
        let audit = image.audit.unwrap();
        for part in ["Reset", "DefaultHandler", "HardFault", "_defmt_write"] {
            assert!(audit.functions.iter().any(|name| name == part), "{audit:?}");
        }
        assert_eq!(audit.start_up_panics, [""; 0], "{name} has no HAL");

        let hash = Some(tadpool_model::MODEL_HASH);
        let mut session = start_image(board, &image.path, hash, TIMEOUT).unwrap();
        let measured = session.infer(&picture(5)).unwrap().stack_bytes;
        // What lies so far below the stack pointer counts as used where it is measured.
        let margin = 256;
        let stack = &audit.stacks[0];
        assert!(
            measured <= stack.needed_bytes() + margin,
            "{measured}: {stack:?}"
        );
        let inference = audit.inference_stack_bytes.unwrap();
        assert!(inference < measured, "{inference} {measured}");
    }
}

#[test]
fn the_audit_sees_panics_and_recursion() {
    let (_, image) = image(tadpool_boards::DEFAULT_BOARD);
    assert_eq!(image.audit, None, "it panics on demand");
    let bytes = std::fs::read(&image.path).unwrap();
    let audit = audit::image(&image.path, &bytes).unwrap();
    assert!(!audit.panics.is_empty(), "{audit:?}");
    let is_recursion = |problem: &String| problem.contains("calls itself");
    assert!(audit.unknown.iter().any(is_recursion), "{audit:?}");
}

#[test]
fn an_image_without_room_for_its_stack_is_refused() {
    let mut board = tadpool_boards::find(tadpool_boards::DEFAULT_BOARD).unwrap();
    board.layout.stack_bytes = 1024;
    board.budget.inference_stack_bytes = None;
    let build = Build {
        board: &board,
        model: None,
        interface: Interface::Requests,
    };
    match tadpool_image::build(&build) {
        Err(FirmwareError::Audit(AuditError::Stack { reserved: 1024, .. })) => {}
        other => panic!("{other:?}"),
    }
}

/// The model that the firmware carries.
fn carried() -> Generated {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware/model/src");
    let source = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let step_weights = |(name, bytes, macs): (&str, u64, u64)| StepWeights {
        name: name.to_owned(),
        bytes,
        macs,
    };
    Generated {
        model_rs: source("model.rs"),
        tables_rs: source("tables.rs"),
        weights: std::fs::read(folder.join("weights.bin")).unwrap(),
        step_weights: [
            ("STAGE1_BLOCK0_MLP_WEIGHTS", 2 * 4096, 2_097_152),
            ("STAGE3_BLOCK0_MLP_WEIGHTS", 2 * 65_536, 2_097_152),
            ("STAGE2_EMBEDDING_WEIGHTS", 18_432, 1_179_648),
        ]
        .map(step_weights)
        .into(),
        arena_bytes: tadpool_model::ARENA_BYTES,
        hash: tadpool_model::MODEL_HASH,
        has_section: false,
        has_slots: false,
    }
}

#[test]
fn weights_are_copied_as_far_as_there_is_room() {
    let mut board = tadpool_boards::find(tadpool_boards::DEFAULT_BOARD).unwrap();
    board.layout.copy_weights = true;
    board.budget.ram_bytes = Some(80 << 10);
    let generated = carried();
    let model = Some(Model {
        generated: &generated,
        description: &Description {
            name: tadpool_model::NAME.to_owned(),
            labels: Vec::new(),
        },
    });
    let build = |board: &Board| {
        let build = Build {
            board,
            model,
            interface: Interface::Requests,
        };
        tadpool_image::build(&build).unwrap_or_else(|error| panic!("{error}"))
    };
    let image = build(&board);
    // The two that are busiest; the large one has no room.
    assert_eq!(image.sizes.copied_weights_bytes, 2 * 4096 + 18_432);
    let mut session = start_image(&board, &image.path, None, TIMEOUT).unwrap();
    let picture = picture(9);
    assert_eq!(session.infer(&picture).unwrap().logits, on_host(&picture).0);

    board.layout.copy_weights = false;
    let plain = build(&board).sizes;
    assert_eq!(plain.copied_weights_bytes, 0);
    assert_eq!(plain.weights_bytes, image.sizes.weights_bytes);
    assert!(plain.ram_bytes() + image.sizes.copied_weights_bytes >= image.sizes.ram_bytes());
}

#[test]
fn another_model_takes_the_place_of_the_carried_one() {
    let mut generated = carried();
    generated.model_rs = (generated.model_rs).replace("NAME: &str = \"", "NAME: &str = \"copy of ");
    let description = Description {
        name: "a copy".to_owned(),
        labels: Vec::new(),
    };
    let board = &tadpool_boards::find(tadpool_boards::DEFAULT_BOARD).unwrap();
    let build = Build {
        board,
        model: Some(Model {
            generated: &generated,
            description: &description,
        }),
        interface: Interface::Requests,
    };
    let image = tadpool_image::build(&build).unwrap_or_else(|error| panic!("{error}"));
    let mut session = start_image(board, &image.path, None, TIMEOUT).unwrap();
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
fn an_image_of_another_model_is_never_taken_for_the_one() {
    let expected = tadpool_model::MODEL_HASH ^ 1;
    let mut generated = carried();
    generated.hash = expected;
    let description = Description {
        name: "another".to_owned(),
        labels: Vec::new(),
    };
    let build = Build {
        board: &tadpool_boards::find(tadpool_boards::DEFAULT_BOARD).unwrap(),
        model: Some(Model {
            generated: &generated,
            description: &description,
        }),
        interface: Interface::Requests,
    };
    match tadpool_image::build(&build) {
        Err(FirmwareError::WrongModel {
            found, expected: e, ..
        }) => assert_eq!((found, e), (tadpool_model::MODEL_HASH, expected)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_that_exceeds_a_budget_is_not_built() {
    let name = tadpool_boards::DEFAULT_BOARD;
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../host-tools/boards/boards/{name}.toml")),
    )
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let budget = |field: &str, bytes: usize| {
        let path = folder.path().join(format!("{name}-{field}.toml"));
        let text = text.split("[budget]").next().unwrap();
        let rest = "[busy_register]\naddress = 0x40028000\nmask = 1\n[counter]\nname = \"x\"\nfrequency_hz = 1\n\
                    [runner.qemu]\nmachine = \"mps2-an386\"\nicount_shift = 6\n";
        std::fs::write(
            &path,
            format!("{text}\n[budget]\n{field} = {bytes}\n{rest}"),
        )
        .unwrap();
        let board = &tadpool_boards::find(path.to_str().unwrap()).unwrap();
        let build = Build {
            board,
            model: None,
            interface: Interface::Requests,
        };
        match tadpool_image::build(&build).unwrap_err() {
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
