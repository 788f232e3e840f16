//! Programs on emulated boards.

use std::time::Duration;

use tadpool_boards::Board;
use tadpool_compiler::generate::{Choices, Description, Generated, generate, layout};
use tadpool_compiler::place::program::{Arena, Program};
use tadpool_image::{Build, Interface, Model};
use tadpool_probe::Options;
use tadpool_probe::Run;
use tadpool_probe::trace::Trace;

/// The generated crate of a program.
pub(crate) struct Written {
    pub(crate) generated: Generated,
    description: Description,
}

impl Written {
    /// The image to build for the board that the crate was written for.
    pub(crate) fn build<'a>(&'a self, board: &'a Board) -> Build<'a> {
        Build {
            board,
            model: Some(Model {
                generated: &self.generated,
                description: &self.description,
            }),
            interface: Interface::Requests,
        }
    }
}

/// The crate of a program for a board.
pub(crate) fn written(program: &Program<'_>, board: &Board) -> Written {
    let description = description(program);
    Written {
        generated: generate(
            program,
            &description,
            Choices {
                slots: board.layout.weight_slots,
                ..layout(board.kernels).into()
            },
        ),
        description,
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
        is_own: false,
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
