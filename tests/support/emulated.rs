//! Programs on emulated boards.

use std::path::Path;
use std::time::Duration;

use tadpool::boards;
use tadpool::codegen::{Description, generate};
use tadpool::firmware::{self, Build, Interface};
use tadpool::program::{Arena, Program};
use tadpool::runner::probe::Options;
use tadpool::runner::trace::Trace;
use tadpool::runner::{self, Run};

/// Builds an image of `program` for a board, and compares what every step writes there
/// with what it writes on the host.
pub(crate) fn assert_same_bytes(program: &Program<'_>, board: &str, images: &[Vec<u8>]) {
    let firmware = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware");
    let kernels = firmware.join("kernels").display().to_string();
    let board = &boards::find(board).unwrap();
    let name = &board.name;
    let description = Description {
        name: "made".to_owned(),
        labels: (0..program.logits.size / 4)
            .map(|class| format!("class {class}"))
            .collect(),
    };
    let folder = tempfile::tempdir().unwrap();
    let generated = generate(program, &description, board.kernels.layout());
    generated
        .write_crate(
            folder.path(),
            &description,
            &format!("{{ path = {kernels:?} }}"),
        )
        .unwrap();
    let build = Build {
        firmware: &firmware,
        board,
        model: Some(folder.path()),
        interface: Interface::Requests,
    };
    let image = firmware::build(&build).unwrap_or_else(|error| panic!("{name}: {error}"));
    let run = Run {
        board,
        image: &image.path,
        model_hash: Some(generated.hash),
        timeout: Duration::from_secs(60),
    };
    let mut session = runner::start(&run, &Options::default(), &()).unwrap();
    for pixels in images {
        let host = Trace::simulate(program, pixels, &mut Arena::default()).unwrap();
        let found = session.infer(pixels).unwrap();
        let checksums = found.steps.iter().map(|step| step.checksum);
        let steps = program.steps.iter().zip(checksums.zip(&host.checksums));
        for (step, (found, expected)) in steps {
            assert_eq!(found, *expected, "{name}: {}", step.name);
        }
        assert_eq!(found.steps.len(), host.checksums.len());
        assert_eq!(found.logits, host.logits, "{name}");
    }
}
