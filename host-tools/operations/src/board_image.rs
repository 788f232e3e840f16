//! The image of a model for one board, and the way to a session with the board that runs it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tadpool_boards::{Board, Runner};
use tadpool_compiler::compile::Compiled;
use tadpool_compiler::generate::Generated;
use tadpool_compiler::place::program::Program;
use tadpool_compiler::progress::Progress;
use tadpool_image::elf;
use tadpool_image::{Build, FirmwareError, FirmwareImage, Interface};
use tadpool_kernels::checksum::fnv1a;
use tadpool_probe::logs::LogTable;
use tadpool_probe::session::{Inference, Session};
use tadpool_probe::trace::{self, Trace, TraceError};
use tadpool_probe::{Options, RttLink, Run, RunnerError};

use crate::OperationError;

/// How a board is reached, and how long it is waited for.
#[derive(Debug, Clone)]
pub struct Reach {
    /// The way to it.
    pub options: Options,
    /// Longest time for one answer.
    pub timeout: Duration,
}

impl Reach {
    /// Longest time for one answer, in seconds, if none is given.
    pub const TIMEOUT_S: u64 = 120;
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            options: Options::default(),
            timeout: Duration::from_secs(Self::TIMEOUT_S),
        }
    }
}

/// A board's image for one model.
#[derive(Debug)]
pub struct BoardImage {
    /// The board.
    pub board: Board,
    /// The image.
    pub image: FirmwareImage,
    model_hash: u32,
    step_names: Vec<String>,
    /// Whether it is a firmware of the user's own.
    is_own: bool,
}

/// Builds the image of a model that was generated for a board.
///
/// # Errors
/// A [`FirmwareError`]: no toolchain, no room, or an image that can do what it must not.
pub fn build_image(
    interface: Interface,
    board: &Board,
    generated: &Generated,
    compiled: &Compiled,
) -> Result<FirmwareImage, FirmwareError> {
    tadpool_image::build(&Build {
        board,
        model: Some(tadpool_image::Model {
            generated,
            description: &compiled.description,
        }),
        interface,
    })
}

impl BoardImage {
    /// Generates the model's crate for `board` and builds an image that answers `interface`.
    ///
    /// # Errors
    /// See [`build_image`].
    pub fn build(
        interface: Interface,
        board: Board,
        compiled: &Compiled,
    ) -> Result<Self, FirmwareError> {
        let generated = compiled.generate_for(&board);
        let image = build_image(interface, &board, &generated, compiled)?;
        Ok(Self::of(board, image, &generated, compiled))
    }

    /// A firmware of the user's own at `elf`, of these `bytes`, which answers by `tadpool-link`
    /// and is to hold `compiled`.
    ///
    /// # Errors
    /// It is no firmware.
    pub fn own(
        elf: &Path,
        bytes: &[u8],
        board: Board,
        compiled: &Compiled,
    ) -> Result<Self, OperationError> {
        let generated = compiled.generate(board.kernels);
        let image = FirmwareImage {
            path: elf.to_owned(),
            sizes: elf::sizes(elf, bytes).map_err(FirmwareError::Elf)?,
            audit: None,
        };
        Ok(Self {
            is_own: true,
            ..Self::of(board, image, &generated, compiled)
        })
    }

    /// An image that was built for `board` from what was `generated`.
    pub fn of(
        board: Board,
        image: FirmwareImage,
        generated: &Generated,
        compiled: &Compiled,
    ) -> Self {
        let program = compiled.program();
        let names = program.steps.iter().map(|step| step.name.to_string());
        Self {
            step_names: names.collect(),
            board,
            image,
            model_hash: generated.hash,
            is_own: false,
        }
    }

    /// Whether an emulator runs it, of which there may be many.
    pub fn is_emulated(&self) -> bool {
        matches!(self.board.runner, Runner::Qemu(_))
    }

    /// Flashes the board and starts it; it answers as this model.
    ///
    /// # Errors
    /// It cannot be reached or flashed, or does not answer as this model.
    pub fn start(
        &self,
        reach: &Reach,
        progress: &dyn Progress,
    ) -> Result<Session<RttLink>, RunnerError> {
        let run = Run {
            board: &self.board,
            image: &self.image.path,
            model_hash: Some(self.model_hash),
            is_own: self.is_own,
            timeout: reach.timeout,
        };
        let mut session = tadpool_probe::start(&run, &reach.options, progress)?;
        session.name_steps(self.step_names.clone());
        Ok(session)
    }

    /// The same in an emulator, started with `arguments` too.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn start_traced(
        &self,
        timeout: Duration,
        arguments: Vec<OsString>,
        progress: &dyn Progress,
    ) -> Result<Session<RttLink>, RunnerError> {
        let options = Options {
            emulator_arguments: arguments,
            ..Options::default()
        };
        self.start(&Reach { options, timeout }, progress)
    }

    /// FNV-1a of the image's file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn hash(&self) -> Result<u32, OperationError> {
        Ok(fnv1a(&self.bytes()?))
    }

    /// The messages of the firmware's log.
    ///
    /// # Errors
    /// The image cannot be read, or has no such messages.
    pub fn log_table(&self) -> Result<LogTable, OperationError> {
        Ok(LogTable::of(&self.image.path, &self.bytes()?)?)
    }

    /// Checks that the board wrote what the host did for `picture`, step by step.
    ///
    /// # Errors
    /// The first step that differs, and whether the flash or the kernels are to blame.
    pub fn check(
        &self,
        session: &mut Session<RttLink>,
        program: &Program<'_>,
        (host, board): (&Trace, &Inference),
        picture: &Path,
    ) -> Result<(), TraceError> {
        trace::check(program, host, board, picture)
            .map_err(|error| error.explained(session.transport_mut(), &self.image.path))
    }

    /// The image's file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn bytes(&self) -> Result<Vec<u8>, OperationError> {
        let path: &PathBuf = &self.image.path;
        std::fs::read(path).map_err(|source| OperationError::Read {
            path: path.clone(),
            source,
        })
    }
}
