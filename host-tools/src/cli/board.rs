//! The board options, and the way from a compiled model to a session with a
//! board that runs it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tadpool::boards::{self, Board, DEFAULT_BOARD};
use tadpool::codegen::Generated;
use tadpool::compile::{Compiled, Model};
use tadpool::firmware::{self, Build, Image};
use tadpool::runner::emulator::{self, Emulator};
use tadpool::runner::logs::LogTable;
use tadpool::runner::session::Session;

/// Which board, and where its firmware's source is.
#[derive(Debug, Args)]
pub(crate) struct BoardArgs {
    /// A board by name (see `tadpool boards`) or a board file; the model
    /// description's board if not given.
    #[arg(long, value_name = "BOARD")]
    board: Option<String>,
    /// The folder `firmware` of tadpool's repository.
    #[arg(long, value_name = "FOLDER", default_value = "firmware")]
    pub(crate) firmware: PathBuf,
}

/// How long a board may take for one answer.
#[derive(Debug, Args)]
pub(crate) struct SessionArgs {
    /// Longest time for one answer of the board, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
    /// Print the firmware's log.
    #[arg(long, short)]
    verbose: bool,
}

/// A board's image for one model.
#[derive(Debug)]
pub(crate) struct BoardImage {
    pub(crate) board: Board,
    pub(crate) image: Image,
    model_hash: u32,
}

impl BoardArgs {
    pub(crate) fn find(&self, model: &Model) -> anyhow::Result<Board> {
        let name = self
            .board
            .as_deref()
            .or(model.description.board.as_deref())
            .unwrap_or(DEFAULT_BOARD);
        Ok(boards::find(name)?)
    }

    /// Generates the model's crate for the board and builds the image.
    pub(crate) fn build(&self, model: &Model, compiled: &Compiled) -> anyhow::Result<BoardImage> {
        let board = self.find(model)?;
        let generated = compiled.generate(board.kernels.layout());
        let name = format!("{}-{}", model.description.name, board.name);
        let folder = self.firmware()?.join("target/models").join(name);
        self.write_crate(&generated, compiled, &folder)?;
        self.build_crate(board, &generated, &folder)
    }

    /// Builds the image of a generated crate.
    pub(crate) fn build_crate(
        &self,
        board: Board,
        generated: &Generated,
        folder: &Path,
    ) -> anyhow::Result<BoardImage> {
        let image = firmware::build(&Build {
            firmware: self.firmware()?,
            board: &board,
            model: Some(folder),
            self_test: false,
        })?;
        Ok(BoardImage {
            board,
            image,
            model_hash: generated.hash,
        })
    }

    /// Writes the generated crate, with the kernels' place relative to it.
    pub(crate) fn write_crate(
        &self,
        generated: &Generated,
        compiled: &Compiled,
        folder: &Path,
    ) -> anyhow::Result<()> {
        let kernels = std::path::absolute(self.firmware()?.join("kernels"))?;
        let relative = pathdiff::diff_paths(&kernels, std::path::absolute(folder)?)
            .unwrap_or(kernels)
            .display()
            .to_string()
            .replace('\\', "/");
        let dependency = format!("{{ path = {relative:?} }}");
        Ok(generated.write_crate(folder, &compiled.description, &dependency)?)
    }

    fn firmware(&self) -> anyhow::Result<&Path> {
        if !self.firmware.join("kernels/Cargo.toml").is_file() {
            bail!(
                "`{}` is not the firmware of tadpool: run from the root of its repository, or \
                 pass `--firmware FOLDER`",
                self.firmware.display()
            );
        }
        Ok(&self.firmware)
    }
}

impl BoardImage {
    /// Starts the board; it answers as this model.
    pub(crate) fn start(&self, args: &SessionArgs) -> anyhow::Result<Session<Emulator>> {
        let timeout = Duration::from_secs(args.timeout);
        let session = emulator::start(
            &self.board,
            &self.image.path,
            Some(self.model_hash),
            timeout,
        );
        Ok(session?)
    }

    /// Prints the log that came so far to standard error, if that is asked for.
    pub(crate) fn show_log(
        &self,
        args: &SessionArgs,
        session: &mut Session<Emulator>,
    ) -> anyhow::Result<()> {
        if !args.verbose {
            return Ok(());
        }
        let path = &self.image.path;
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        for line in LogTable::of(path, &bytes)?.decode(&session.take_log()) {
            eprintln!("{line}");
        }
        Ok(())
    }
}
