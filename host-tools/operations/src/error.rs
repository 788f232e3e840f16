//! Why an operation has no result.

use std::path::PathBuf;

use tadpool_compiler::budget::FitError;
use tadpool_compiler::check::CheckError;
use tadpool_compiler::compile::CompileError;
use tadpool_compiler::given::images::ImageError;
use tadpool_compiler::import::reference::ReferenceError;
use tadpool_compiler::progress::Stopped;
use tadpool_cycles::memory::MemoryError;
use tadpool_image::FirmwareError;
use tadpool_kernels::Fault;
use tadpool_latency::execute::ExecuteError;
use tadpool_latency::plugin::PluginError;
use tadpool_latency::program::ProgramError;
use tadpool_latency::twin::TwinError;
use tadpool_probe::session::SessionError;
use tadpool_probe::trace::TraceError;
use tadpool_probe::{FindError, RunnerError};
use tadpool_report::HtmlError;

/// Why an operation has no result.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The model cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Float and integers cannot be compared.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// A picture cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A budget of memory cannot be kept.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The image cannot be built.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// There is no such board.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The board cannot be reached, or does not run the image.
    #[error(transparent)]
    Runner(#[from] RunnerError),
    /// The firmware does not answer as it should.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The board computes something else than the host.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The float reference does not run.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The integer network does not run.
    #[error("the integer network does not run: {0}")]
    Fault(#[from] Fault),
    /// A page cannot be drawn.
    #[error(transparent)]
    Html(#[from] HtmlError),
    /// A file that was there is gone.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The file system's error.
        source: std::io::Error,
    },
    /// The image has no log.
    #[error(transparent)]
    Log(#[from] tadpool_image::elf::ElfError),
    /// A report has no JSON.
    #[error("the report cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The board has no twin in an emulator.
    #[error(transparent)]
    Twin(#[from] TwinError),
    /// The image is no program that can be followed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The board's memories cannot be modelled.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The emulator's plugin cannot be built.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The execution cannot be followed.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// What the emulator told cannot be read.
    #[error(transparent)]
    Told(#[from] tadpool_cycles::trace::TraceError),
    /// The emulated board did not do what was to be timed.
    #[error("predicting: {0}")]
    Predicting(SessionError),
    /// The emulator ended without a word.
    #[error("the emulator did not tell what it executed")]
    NotTold,
    /// The emulator ended too early.
    #[error("the inference was not told to its end")]
    NotToTheEnd,
    /// The emulator ran something else.
    #[error("the emulator told of {told} steps, and the model has {expected}")]
    Steps {
        /// Steps that the emulator told of.
        told: usize,
        /// Steps of the model.
        expected: usize,
    },
    /// Nothing is to be predicted.
    #[error("no board is named")]
    NoBoard,
    /// A budget of time on a board without one.
    #[error("board `{board}` has no clock that a budget of ms could be kept with")]
    NoClock {
        /// The board.
        board: String,
    },
    /// A budget of time that is not kept.
    #[error(
        "an inference is predicted to take {ms:.1} ms on board `{board}`, {:.1} more than the \
         budget of {most:.1}; `tadpool bench --predict` says which steps take most",
        ms - most
    )]
    TooSlow {
        /// The board.
        board: String,
        /// Milliseconds that are predicted.
        ms: f64,
        /// Milliseconds of the budget.
        most: f64,
    },
    /// Nobody wants the result any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
