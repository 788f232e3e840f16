#![doc = include_str!("../README.md")]

mod chip;
mod connect;
mod error;
mod find;
mod flash;
mod link;
mod memory_test;

pub mod qemu;

pub mod session;

pub mod slots;

pub mod logs;

pub mod trace;

pub mod power;
pub mod record;

use std::path::Path;
use std::time::Duration;

use session::{Session, SessionError};
use tadpool_boards::Board;
use tadpool_compiler::progress::Progress;

pub use connect::{Connection, FoundProbe, Options, check, connect, list};
pub use error::ProbeError;
pub use find::{FindError, UNKNOWN_ARMV8M, board_of_chip, find_board, with_chip};
pub use flash::Flashed;
pub use link::RttLink;
pub use memory_test::BadWord;

/// A board that does not run the image.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// It cannot be reached or flashed.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The firmware does not answer as it should.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Time that a firmware may take from reset to its first request.
pub const START_TIME: Duration = Duration::from_secs(10);

/// The image to run.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The board.
    pub board: &'a Board,
    /// The image that was built for it.
    pub image: &'a Path,
    /// Hash of the model that the image is to hold, if that matters.
    pub model_hash: Option<u32>,
    /// Whether it is a firmware of somebody's own, which names its board as it likes.
    pub is_own: bool,
    /// Time that each answer may take.
    pub timeout: Duration,
}

/// Flashes an image, runs it and says hello.
///
/// # Errors
/// A [`RunnerError`]; among them an image that was built for another board, or
/// that holds another model than the one whose hash is given.
pub fn start(
    run: &Run<'_>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Session<RttLink>, RunnerError> {
    let answer_time = options.answer_time.unwrap_or(qemu::ANSWER_TIME);
    let options = Options {
        answer_time: Some(answer_time.min(run.timeout)),
        ..options.clone()
    };
    let mut connection = connect(run.board, &options)?;
    connection.flash_if_needed(run.image, progress)?;
    let session = Session::start(
        connection.run(run.image, START_TIME.min(run.timeout))?,
        run.timeout,
    )?;
    let board = (!run.is_own).then_some(run.board.name.as_str());
    session.check(board, run.model_hash)?;
    Ok(session)
}
