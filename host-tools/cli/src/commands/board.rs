//! The board options, and the way from a compiled model to a session with a
//! board that runs it.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tadpool_boards::{Board, DEFAULT_BOARD, Runner};
use tadpool_compiler::compile::{Compiled, Model};
use tadpool_compiler::generate::Generated;
use tadpool_compiler::place::program::Program;
use tadpool_image::elf;
use tadpool_image::{Build, FirmwareImage, Interface};
use tadpool_kernels::checksum::fnv1a;
use tadpool_probe::Run;
use tadpool_probe::logs::LogTable;
use tadpool_probe::session::{Inference, Session};
use tadpool_probe::trace::{self, Trace, TraceError};
use tadpool_probe::{Connection, Flashed, Options, RttLink, connect};

use super::progress::Bars;
use super::user_program;
use crate::print;

/// Longest time for one answer of a board, in seconds, if none is given.
const TIMEOUT_S: u64 = 120;

/// Which board.
#[derive(Debug, Args)]
pub(crate) struct BoardArgs {
    /// A board by name (see `tadpool boards`) or a board file; the model
    /// description's board if not given.
    #[arg(long, value_name = "BOARD")]
    board: Option<String>,
    /// probe-rs' name of the chip: with `--board` instead of the board's; without, any chip
    /// is run as it comes out of reset.
    #[arg(long, value_name = "CHIP")]
    chip: Option<String>,
}

/// The way to a board.
#[derive(Debug, Default, Args)]
pub(crate) struct ProbeArgs {
    /// The debug probe, if there are several (see `tadpool probes`).
    #[arg(long, value_name = "VENDOR:PRODUCT[:SERIAL]")]
    probe: Option<String>,
    /// Speed of the debug probe's wires, instead of the board's.
    #[arg(long, value_name = "KHZ", value_parser = clap::value_parser!(u32).range(1..))]
    speed: Option<u32>,
    /// Attach while the chip's reset pin is held, which also reaches a chip whose
    /// program keeps debuggers out.
    #[arg(long)]
    under_reset: bool,
    /// Unlock a chip that is locked against debugging. Erases all of its flash.
    #[arg(long)]
    allow_erase: bool,
}

/// How a board is spoken to.
#[derive(Debug, Args)]
pub(crate) struct SessionArgs {
    #[command(flatten)]
    probe: ProbeArgs,
    /// Longest time for one answer of the board, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT_S)]
    timeout: u64,
    /// Print the firmware's log.
    #[arg(long, short)]
    verbose: bool,
}

/// A board's image for one model.
#[derive(Debug)]
pub(crate) struct BoardImage {
    pub(crate) board: Board,
    pub(crate) image: FirmwareImage,
    model_hash: u32,
    step_names: Vec<String>,
    /// Whether it is a firmware of the user's own.
    is_own: bool,
}

impl BoardArgs {
    pub(crate) fn find(&self, model: &Model) -> anyhow::Result<Board> {
        self.named_or(model.description.board.as_deref())
    }

    /// The board that was named, or else `described`, or else the default.
    pub(crate) fn named_or(&self, described: Option<&str>) -> anyhow::Result<Board> {
        let board = match (&self.board, &self.chip) {
            (None, Some(chip)) => tadpool_probe::board_of_chip(chip)?,
            (named, chip) => {
                let name = named.as_deref().or(described).unwrap_or(DEFAULT_BOARD);
                let board = tadpool_probe::find_board(name)?;
                match chip {
                    Some(chip) => tadpool_probe::with_chip(&board, chip)?,
                    None => board,
                }
            }
        };
        Ok(board)
    }

    /// Generates the model's crate for the board and builds the image.
    pub(crate) fn build(&self, model: &Model, compiled: &Compiled) -> anyhow::Result<BoardImage> {
        self.build_with(Interface::Requests, model, compiled)
    }

    /// As [`Self::build`]; the image answers `interface`.
    pub(crate) fn build_with(
        &self,
        interface: Interface,
        model: &Model,
        compiled: &Compiled,
    ) -> anyhow::Result<BoardImage> {
        BoardImage::build_with(interface, self.find(model)?, compiled)
    }

    /// A firmware of the user's own, which answers by `tadpool-link` and is to hold `model`.
    pub(crate) fn own(
        &self,
        elf: &Path,
        model: &Model,
        compiled: &Compiled,
    ) -> anyhow::Result<BoardImage> {
        let board = self.find(model)?;
        let generated = compiled.generate(board.kernels);
        let bytes = user_program::read_for(elf, &board)?;
        let image = FirmwareImage {
            path: elf.to_owned(),
            sizes: elf::sizes(elf, &bytes)?,
            audit: None,
        };
        Ok(BoardImage {
            is_own: true,
            ..BoardImage::of(board, image, &generated, compiled)
        })
    }
}

impl BoardImage {
    /// Generates the model's crate for `board` and builds the image.
    pub(crate) fn build(board: Board, compiled: &Compiled) -> anyhow::Result<Self> {
        Self::build_with(Interface::Requests, board, compiled)
    }

    fn build_with(interface: Interface, board: Board, compiled: &Compiled) -> anyhow::Result<Self> {
        let generated = compiled.generate_for(&board);
        let image = build_image(interface, &board, &generated, compiled)?;
        Ok(Self::of(board, image, &generated, compiled))
    }

    fn of(board: Board, image: FirmwareImage, generated: &Generated, compiled: &Compiled) -> Self {
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
}

/// Boards by name or file, or all that are built in if that is the only name.
pub(crate) fn find_boards(named: &[String]) -> anyhow::Result<Vec<Board>> {
    Ok(match named {
        [all] if all == "all" => tadpool_boards::names()
            .map(tadpool_boards::find)
            .collect::<Result<_, _>>()?,
        named => named
            .iter()
            .map(|name| tadpool_probe::find_board(name))
            .collect::<Result<Vec<_>, _>>()?,
    })
}

/// Builds the image of a model that was generated for a board.
pub(crate) fn build_image(
    interface: Interface,
    board: &Board,
    generated: &Generated,
    compiled: &Compiled,
) -> anyhow::Result<FirmwareImage> {
    Ok(tadpool_image::build(&Build {
        board,
        model: Some(tadpool_image::Model {
            generated,
            description: &compiled.description,
        }),
        interface,
    })?)
}

impl Default for SessionArgs {
    fn default() -> Self {
        Self {
            probe: ProbeArgs::default(),
            timeout: TIMEOUT_S,
            verbose: false,
        }
    }
}

impl SessionArgs {
    /// The way to the board.
    pub(crate) fn options(&self) -> Options {
        self.probe.options()
    }

    /// Whether there is a debug probe to reach a chip by, or one is named.
    pub(crate) fn has_probe(&self) -> bool {
        self.probe.probe.is_some() || !tadpool_probe::list().is_empty()
    }

    /// Longest time for one answer.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

impl ProbeArgs {
    pub(crate) fn options(&self) -> Options {
        Options {
            probe: self.probe.clone(),
            speed_khz: self.speed,
            chip: None,
            under_reset: self.under_reset,
            allow_erase: self.allow_erase,
            answer_time: None,
            emulator_arguments: Vec::new(),
        }
    }
}

impl BoardImage {
    /// Whether an emulator runs it, of which there may be many.
    pub(crate) fn is_emulated(&self) -> bool {
        matches!(self.board.runner, Runner::Qemu(_))
    }

    /// Flashes the board and starts it; it answers as this model.
    pub(crate) fn start(&self, args: &SessionArgs) -> anyhow::Result<Session<RttLink>> {
        self.start_by(args, &args.options())
    }

    /// The same in an emulator, started with `arguments` too.
    pub(crate) fn start_traced(
        &self,
        args: &SessionArgs,
        arguments: Vec<OsString>,
    ) -> anyhow::Result<Session<RttLink>> {
        let options = Options {
            emulator_arguments: arguments,
            ..Options::default()
        };
        self.start_by(args, &options)
    }

    fn start_by(&self, args: &SessionArgs, options: &Options) -> anyhow::Result<Session<RttLink>> {
        let run = Run {
            board: &self.board,
            image: &self.image.path,
            model_hash: Some(self.model_hash),
            is_own: self.is_own,
            timeout: args.timeout(),
        };
        let mut session = tadpool_probe::start(&run, options, &Bars::default())?;
        session.name_steps(self.step_names.clone());
        Ok(session)
    }

    /// Flashes the board.
    pub(crate) fn flash(&self, probe: &ProbeArgs) -> anyhow::Result<(Connection, Flashed)> {
        let mut connection = connect(&self.board, &probe.options())?;
        let flashed = connection.flash(&self.image.path, &Bars::default())?;
        Ok((connection, flashed))
    }

    /// FNV-1a of the image's file.
    pub(crate) fn hash(&self) -> anyhow::Result<u32> {
        Ok(fnv1a(&self.bytes()?))
    }

    /// The messages of the firmware's log.
    pub(crate) fn log_table(&self) -> anyhow::Result<LogTable> {
        Ok(LogTable::of(&self.image.path, &self.bytes()?)?)
    }

    /// Checks that the board wrote what the host did for `picture`, step by step.
    ///
    /// # Errors
    /// The first step that differs, and whether the flash or the kernels are to blame.
    pub(crate) fn check(
        &self,
        session: &mut Session<RttLink>,
        program: &Program<'_>,
        (host, board): (&Trace, &Inference),
        picture: &Path,
    ) -> Result<(), TraceError> {
        trace::check(program, host, board, picture)
            .map_err(|error| error.explained(session.transport_mut(), &self.image.path))
    }

    /// Prints the log that came so far to standard error, if that is asked for.
    pub(crate) fn show_log(
        &self,
        args: &SessionArgs,
        session: &mut Session<RttLink>,
    ) -> anyhow::Result<()> {
        if args.verbose {
            for line in self.log_table()?.decode(&session.take_log()) {
                print::note(&line.to_string());
            }
        }
        Ok(())
    }

    /// The image's file.
    pub(crate) fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        let path = &self.image.path;
        std::fs::read(path).with_context(|| path.display().to_string())
    }
}
