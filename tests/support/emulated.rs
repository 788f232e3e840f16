//! Programs on emulated boards.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tadpool_boards::Board;
use tadpool_compiler::generate::{Description, Generated, generate, layout};
use tadpool_compiler::place::program::{Arena, Program};
use tadpool_image::{Build, Interface};
use tadpool_probe::Options;
use tadpool_probe::Run;
use tadpool_probe::trace::Trace;
use tempfile::TempDir;

/// The generated crate of a program, in a folder of its own.
pub(crate) struct Written {
    generated: Generated,
    folder: TempDir,
    firmware: PathBuf,
}

impl Written {
    /// What to build for the board that the crate was written for.
    pub(crate) fn build<'a>(&'a self, board: &'a Board) -> Build<'a> {
        Build {
            firmware: &self.firmware,
            board,
            model: Some(self.folder.path()),
            interface: Interface::Requests,
        }
    }
}

/// Writes the crate of a program for a board.
pub(crate) fn written(program: &Program<'_>, board: &Board) -> Written {
    let firmware = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware");
    let kernels = firmware.join("kernels").display().to_string();
    let description = description(program);
    let folder = tempfile::tempdir().unwrap();
    let generated = generate(program, &description, layout(board.kernels));
    generated
        .write_crate(
            folder.path(),
            &description,
            &format!("{{ path = {kernels:?} }}"),
        )
        .unwrap();
    Written {
        generated,
        folder,
        firmware,
    }
}

/// A name for the program and its classes.
pub(crate) fn description(program: &Program<'_>) -> Description {
    Description {
        name: "made".to_owned(),
        labels: (0..program.logits.map_or(0, |logits| logits.size / 4))
            .map(|class| format!("class {class}"))
            .collect(),
    }
}

/// Builds an image of `program` for a board, and compares what every step writes there
/// with what it writes on the host. Returns the bytes of stack that were used.
pub(crate) fn assert_same_bytes(program: &Program<'_>, board: &str, images: &[Vec<u8>]) -> u32 {
    let board = &tadpool_boards::find(board).unwrap();
    let name = &board.name;
    let written = written(program, board);
    let build = written.build(board);
    let image = tadpool_image::build(&build).unwrap_or_else(|error| panic!("{name}: {error}"));
    let run = Run {
        board,
        image: &image.path,
        model_hash: Some(written.generated.hash),
        timeout: Duration::from_secs(60),
    };
    let mut session = tadpool_probe::start(&run, &Options::default(), &()).unwrap();
    let mut stack_bytes = 0;
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
        stack_bytes = stack_bytes.max(found.stack_bytes);
    }
    stack_bytes
}
