//! Traces: what each step of an inference wrote, on the host and on a board.

use std::fmt;
use std::path::{Path, PathBuf};

use tadpool_kernels::checksum::fnv1a;
use tadpool_kernels::{Fault, Observer};

use super::RttLink;
use super::session::Inference;
use tadpool_compiler::place::program::{Arena, Program};

/// Checksums of the maps that an inference wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// FNV-1a of the bytes of each step.
    pub checksums: Vec<u32>,
    /// The output, Q16.16.
    pub logits: Vec<i32>,
}

/// A board that does not compute what the host simulates.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// A step wrote other bytes.
    #[error(
        "`{}`: step {step} `{name}` wrote other bytes on the board ({board:08x}) than in the host \
         simulation ({host:08x}); {cause}",
        image.display()
    )]
    Step {
        /// The image.
        image: PathBuf,
        /// Number of the first step that differs.
        step: usize,
        /// Its place in the network.
        name: String,
        /// Checksum of what the board wrote.
        board: u32,
        /// Checksum of what the host wrote.
        host: u32,
        /// Why, as far as is known.
        cause: Cause,
    },
    /// Steps or logits do not match in number or value.
    #[error(
        "`{}`: the board ran {board} steps, or other logits came than the host simulation with \
         {host} steps wrote; build the image again",
        image.display()
    )]
    Shape {
        /// The image.
        image: PathBuf,
        /// Steps on the board.
        board: usize,
        /// Steps on the host.
        host: usize,
    },
}

/// Why a board wrote other bytes than the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Nobody looked.
    Unknown,
    /// The flash holds other bytes than the image.
    Flash {
        /// The first address where it does.
        address: u64,
    },
    /// The flash holds the image.
    Kernels,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the flash was corrupted, or the kernels have a bug"),
            Self::Flash { address } => write!(
                f,
                "its flash was corrupted: at {address:#010x} it no longer holds what was written; \
                 flash it again, and if that helps for a while only, the flash is worn out or \
                 something else writes to it"
            ),
            Self::Kernels => f.write_str(
                "the flash holds what was written, so this is a bug in the kernels of this board; \
                 please report it",
            ),
        }
    }
}

impl TraceError {
    /// The error with its cause: compares the flash behind `link` with `image`, which was
    /// written to it. If the flash cannot be read, the cause stays unknown.
    #[must_use]
    pub fn explained(mut self, link: &mut RttLink, image: &Path) -> Self {
        if let Self::Step { cause, .. } = &mut self {
            *cause = match link.flash_difference(image) {
                Ok(Some(address)) => Cause::Flash { address },
                Ok(None) => Cause::Kernels,
                Err(_) => Cause::Unknown,
            };
        }
        self
    }
}

impl Trace {
    /// Runs `program` on the host and takes down what each step writes.
    ///
    /// # Errors
    /// A [`Fault`] if the image has another size than the network's input.
    pub fn simulate(
        program: &Program<'_>,
        pixels: &[u8],
        arena: &mut Arena,
    ) -> Result<Self, Fault> {
        let mut checksums = Checksums::default();
        let logits = program.infer(pixels, arena, &mut checksums)?;
        Ok(Self {
            checksums: checksums.0,
            logits,
        })
    }
}

/// Checks that a board wrote what the host did, step by step.
///
/// # Errors
/// A [`TraceError`] that names the first step that differs.
pub fn check(
    program: &Program<'_>,
    host: &Trace,
    board: &Inference,
    image: &Path,
) -> Result<(), TraceError> {
    let steps = program.steps.iter().zip(&host.checksums).zip(&board.steps);
    for (number, ((step, &host), board)) in steps.enumerate() {
        if host != board.checksum {
            return Err(TraceError::Step {
                image: image.to_owned(),
                step: number,
                name: step.name.to_string(),
                board: board.checksum,
                host,
                cause: Cause::Unknown,
            });
        }
    }
    if host.checksums.len() != board.steps.len() || host.logits != board.logits {
        return Err(TraceError::Shape {
            image: image.to_owned(),
            board: board.steps.len(),
            host: host.checksums.len(),
        });
    }
    Ok(())
}

#[derive(Default)]
struct Checksums(Vec<u32>);

impl Observer for Checksums {
    fn step(&mut self, _step: usize, output: &[u8]) {
        self.0.push(fnv1a(output));
    }
}
