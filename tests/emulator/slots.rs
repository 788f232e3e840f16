//! Weights in slots, from end to end on an emulated board: flashed with the firmware, updated
//! without it, half-written, undone.

use tadpool_boards::{Board, Region};
use tadpool_compiler::layers::Op;
use tadpool_compiler::network::MetaFormer;
use tadpool_compiler::place::program::Arena;
use tadpool_compiler::place::schedule::ScheduleConfig;
use tadpool_compiler::quantize::precision::Precision;
use tadpool_image::slots::Update;
use tadpool_image::{FirmwareImage, build};
use tadpool_kernels::slots::Unusable;
use tadpool_probe::logs::LogTable;
use tadpool_probe::session::{Session, SessionError};
use tadpool_probe::slots::SlotError;
use tadpool_probe::trace::Trace;
use tadpool_probe::{Connection, Options, connect};
use tadpool_protocol::FaultKind;

use super::TIMEOUT;
use crate::support::emulated::{Written, written};
use crate::support::integer::{IMAGES, Quantized, images, place, quantize, quantized};
use crate::support::manifest;

/// The emulated board has 16 MB of RAM there, of which the virtual probe makes flash.
const SLOTS: Region = Region {
    origin: 0x2100_0000,
    length: 0x0004_0000,
};

fn board() -> Board {
    let mut board = tadpool_boards::find(tadpool_boards::DEFAULT_BOARD).unwrap();
    board.memory.insert("slots".into(), SLOTS);
    board.layout.weights = "slots".into();
    board.layout.weight_slots = true;
    tadpool_boards::check("board.toml".as_ref(), &board).unwrap();
    board
}

/// A network, and what is flashed of it.
struct Version {
    quantized: Quantized,
    crate_of_it: Written,
    image: FirmwareImage,
    update: Update,
}

impl Version {
    fn of(quantized: Quantized, board: &Board) -> Self {
        let crate_of_it = written(&quantized.program(), board);
        let image = build(&crate_of_it.build(board)).unwrap_or_else(|error| panic!("{error}"));
        let bytes = std::fs::read(&image.path).unwrap();
        Self {
            update: Update::of(&image.path, &bytes, board).unwrap(),
            quantized,
            crate_of_it,
            image,
        }
    }

    /// Whether a board that was started answers as this network does on the host.
    fn is_run_by(&self, session: &mut Session<tadpool_probe::RttLink>) -> bool {
        let program = self.quantized.program();
        let hash = Some(self.crate_of_it.generated.hash);
        session.check(None, hash).is_ok()
            && images(&self.quantized.network, 2).iter().all(|pixels| {
                let host = Trace::simulate(&program, pixels, &mut Arena::default()).unwrap();
                let found = session.infer(pixels).unwrap();
                let steps = found.steps.iter().map(|step| step.checksum);
                found.logits == host.logits && steps.eq(host.checksums)
            })
    }
}

/// As if it had been trained on: other matrices, other ranges.
fn trained_on(network: &MetaFormer) -> Quantized {
    let mut network = network.clone();
    for layer in &mut network.layers {
        let matrices = match &mut layer.op {
            Op::ChannelMlp(mlp) => vec![&mut mlp.fc1, &mut mlp.fc2],
            Op::Head(head) => vec![&mut head.linear],
            _ => Vec::new(),
        };
        for matrix in matrices {
            matrix.weight.reverse();
            matrix.bias.reverse();
        }
    }
    let model = quantize(&network, &Precision::int8(&network), IMAGES / 2).unwrap();
    place(network, model, &ScheduleConfig::default())
}

/// A session with the firmware after a reset, and what it logged at its start.
fn restarted(
    connection: Connection,
    image: &FirmwareImage,
) -> (Session<tadpool_probe::RttLink>, Vec<String>) {
    let link = connection.run(&image.path, TIMEOUT).unwrap();
    let mut session = Session::start(link, TIMEOUT).unwrap();
    let table = LogTable::of(&image.path, &std::fs::read(&image.path).unwrap()).unwrap();
    let lines = table.decode(&session.take_log());
    let lines = lines.into_iter().map(|line| line.message).collect();
    (session, lines)
}

#[test]
fn weights_are_updated_and_undone_apart_from_the_firmware() {
    let board = board();
    let [first_slot, second_slot] = board.slots().unwrap();
    let fixture = &manifest().model[0];
    let first = quantized(fixture, &ScheduleConfig::default());
    let second = Version::of(trained_on(&first.network), &board);
    let first = Version::of(first, &board);
    assert_eq!(first.update.program, second.update.program);
    assert_ne!(first.update.model_hash, second.update.model_hash);

    // All of the image, which the firmware of the first one is in from here on.
    let mut connection = connect(&board, &Options::default()).unwrap();
    connection.flash(&first.image.path, &()).unwrap();
    let (mut session, log) = restarted(connection, &first.image);
    assert!(first.is_run_by(&mut session), "{log:?}");
    assert!(
        log.iter()
            .any(|line| line.starts_with("weights of slot 0: update 1, "))
    );

    // The weights of the second one, without it.
    let mut connection = session.into_transport().into_connection();
    let (slots, _) = connection
        .update_weights(&board, &second.image.path, &second.update, &())
        .unwrap();
    assert_eq!((slots.used, slots.header().unwrap().update), (Some(1), 2));
    let (mut session, log) = restarted(connection, &first.image);
    assert!(second.is_run_by(&mut session), "{log:?}");
    assert!(
        log.iter()
            .any(|line| line.starts_with("weights of slot 1: update 2, "))
    );

    // Half of a third update: what was there goes on, and the next flash repairs it.
    let mut connection = session.into_transport().into_connection();
    let third = first.update.slot(0, 3);
    let half = &third[..third.len() / 2];
    connection
        .flash_bytes(first_slot.origin.into(), half, &())
        .unwrap();
    let slots = connection.slots(&board, &first.update).unwrap();
    assert!(matches!(slots.found[0], Err(Unusable::Corrupted { .. })));
    let (mut session, log) = restarted(connection, &first.image);
    assert!(second.is_run_by(&mut session), "{log:?}");
    let warning = "slot 0 of the weights is not used: half-written or corrupted";
    assert!(log.iter().any(|line| line == warning), "{log:?}");
    let mut connection = session.into_transport().into_connection();
    let (slots, _) = connection
        .update_weights(&board, &first.image.path, &first.update, &())
        .unwrap();
    assert_eq!((slots.used, slots.header().unwrap().update), (Some(0), 3));
    let (mut session, log) = restarted(connection, &first.image);
    assert!(first.is_run_by(&mut session), "{log:?}");

    // Back to the second one, and no further.
    let mut connection = session.into_transport().into_connection();
    let path = &first.image.path;
    let slots = connection
        .roll_back_weights(&board, path, &first.update)
        .unwrap();
    assert_eq!((slots.used, slots.header().unwrap().update), (Some(1), 2));
    match connection.roll_back_weights(&board, path, &first.update) {
        Err(error @ SlotError::NothingBefore(_)) => assert_eq!(
            error.to_string(),
            "there are no weights to return to: slot 0 is empty, slot 1 is update 2"
        ),
        other => panic!("{other:?}"),
    }
    let (mut session, log) = restarted(connection, &first.image);
    assert!(second.is_run_by(&mut session), "{log:?}");

    // Nothing whole is left: a fault that names both slots, until the next flash.
    let mut connection = session.into_transport().into_connection();
    connection
        .flash_bytes(second_slot.origin.into(), half, &())
        .unwrap();
    let link = connection.run(path, TIMEOUT).unwrap();
    let error = match Session::start(link, TIMEOUT) {
        Err(SessionError::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(error.report.kind, FaultKind::Weights);
    assert_eq!(
        error.report.message.as_str(),
        "slot 0: empty, slot 1: half-written or corrupted"
    );
}

/// Another network is refused before anything is written, and so is a board without slots.
#[test]
fn weights_of_another_network_are_refused() {
    let board = board();
    let fixture = &manifest().model[0];
    let first = Version::of(quantized(fixture, &ScheduleConfig::default()), &board);
    let tiled = ScheduleConfig {
        tile_tokens: 1,
        ..ScheduleConfig::default()
    };
    let other = Version::of(quantized(fixture, &tiled), &board);
    let mut connection = connect(&board, &Options::default()).unwrap();
    connection.flash(&first.image.path, &()).unwrap();
    let before = connection.slots(&board, &first.update).unwrap();
    match connection.update_weights(&board, &other.image.path, &other.update, &()) {
        Err(SlotError::OtherFirmware { .. }) => {}
        result => panic!("{result:?}"),
    }
    assert_eq!(connection.slots(&board, &first.update).unwrap(), before);
    let apart = tadpool_boards::find(tadpool_boards::DEFAULT_BOARD).unwrap();
    let bytes = std::fs::read(&first.image.path).unwrap();
    let error = Update::of(&first.image.path, &bytes, &apart).unwrap_err();
    assert!(error.to_string().contains("layout.weight_slots"), "{error}");
}
