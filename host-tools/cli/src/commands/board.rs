//! The options of boards, of the way to one, and of a session with one.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use tadpool_boards::{Board, DEFAULT_BOARD};
use tadpool_compiler::compile::{Compiled, Model};
use tadpool_image::Interface;
use tadpool_operations::board_image::{BoardImage, Reach};
use tadpool_probe::session::Session;
use tadpool_probe::{Connection, Flashed, Options, RttLink, connect};

use super::progress::Bars;
use super::user_program;
use crate::print;

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
#[derive(Debug, Args)]
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
    #[arg(long, value_name = "SECONDS", default_value_t = Reach::TIMEOUT_S)]
    timeout: u64,
    /// Print the firmware's log.
    #[arg(long, short)]
    verbose: bool,
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
        Ok(BoardImage::build(interface, self.find(model)?, compiled)?)
    }

    /// A firmware of the user's own, which answers by `tadpool-link` and is to hold `model`.
    pub(crate) fn own(
        &self,
        elf: &Path,
        model: &Model,
        compiled: &Compiled,
    ) -> anyhow::Result<BoardImage> {
        let board = self.find(model)?;
        let bytes = user_program::read_for(elf, &board)?;
        Ok(BoardImage::own(elf, &bytes, board, compiled)?)
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

    /// The way to the board, and how long it is waited for.
    pub(crate) fn reach(&self) -> Reach {
        Reach {
            options: self.options(),
            timeout: self.timeout(),
        }
    }

    /// Prints the log that came so far to standard error, if that is asked for.
    pub(crate) fn show_log(
        &self,
        built: &BoardImage,
        session: &mut Session<RttLink>,
    ) -> anyhow::Result<()> {
        if self.verbose {
            for line in built.log_table()?.decode(&session.take_log()) {
                print::note(&line.to_string());
            }
        }
        Ok(())
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

/// Flashes the board of `built`.
pub(crate) fn flash(
    built: &BoardImage,
    probe: &ProbeArgs,
) -> anyhow::Result<(Connection, Flashed)> {
    let mut connection = connect(&built.board, &probe.options())?;
    let flashed = connection.flash(&built.image.path, &Bars::default())?;
    Ok((connection, flashed))
}
