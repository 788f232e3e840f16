//! The cycles that a program takes a board.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tadpool_boards::Board;
use tadpool_cycles::memory::{MemoryError, MemoryMap};
use tadpool_cycles::pipeline::Core;
use tadpool_cycles::trace::Sink as _;

use super::bound::Bound;
use super::execute::{self, Ended, ExecuteError, Listener, Window};
use super::machine::{Machine, NoMachine};
use super::measure::{Measure, Profile};
use super::memory::{map, map_moved, placed};
use super::plugin::{PluginError, plugin};
use super::program::{Program, ProgramError};

/// Where the memories' latency is from if no board is named.
const NO_BOARD: &str = "memories that answer at once";

/// A program, and the part of it to predict.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The program's file.
    pub path: &'a Path,
    /// Its content.
    pub bytes: &'a [u8],
    /// The core; the board's if none.
    pub core: Option<Core>,
    /// The board; memories that answer at once and no clock if none.
    pub board: Option<&'a Board>,
    /// The function that is measured; all of the program if none.
    pub from: Option<&'a str>,
    /// The function that ends it; its return if none.
    pub to: Option<&'a str>,
    /// After how many calls it is enough.
    pub calls: Option<u64>,
    /// How long the emulator may run.
    pub limit: Duration,
    /// Takes each line that the program prints.
    pub prints: fn(&str),
    /// The folder in which the plugin is kept.
    pub cache: &'a Path,
}

/// The predicted cycles of a program.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// The core.
    pub core: &'static str,
    /// The board.
    pub board: Option<String>,
    /// Cycles of its core in a second.
    pub clock_hz: Option<u32>,
    /// Where the latency of its memories is from.
    pub memories: String,
    /// How far off it may be.
    pub bound: Bound,
    /// Whether memory of the emulated machine stands for that of the board, since the program
    /// was linked for other addresses.
    pub is_moved: bool,
    /// The machine that was emulated.
    pub machine: Machine,
    /// How it ended: `over`, `exit`, `failure` if it says that it failed or the emulator gave
    /// it up, or `late`.
    pub ended: &'static str,
    /// Milliseconds of a call, by the clock.
    pub ms: Option<f64>,
    /// Where the cycles went.
    #[serde(flatten)]
    pub profile: Profile,
}

/// A prediction that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The program cannot be used.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// No machine executes it.
    #[error(transparent)]
    Machine(#[from] NoMachine),
    /// There is no plugin.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The emulator failed.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// The board's memories cannot be used.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Neither core nor board was named.
    #[error("name a core or a board, by `--core` or `--board`")]
    NoCore,
    /// There is no model of the board's core.
    #[error("there is no model of the pipeline of a {core}, the core of board `{board}`; there are {known}",
        known = known())]
    NoModel {
        /// The board.
        board: String,
        /// Its core.
        core: String,
    },
    /// The board has another core.
    #[error("board `{board}` has a {has}, not a {core}")]
    OtherCore {
        /// The board.
        board: String,
        /// The core that it has.
        has: &'static str,
        /// The core that was named.
        core: &'static str,
    },
    /// The function to measure was not called.
    #[error("`{from}` is not called within {seconds} s of emulation ({how})")]
    NotCalled {
        /// The function.
        from: String,
        /// The time.
        seconds: u64,
        /// How the emulation ended.
        how: String,
    },
    /// It did not end.
    #[error(
        "`{from}` is called and does not end within {seconds} s of emulation ({how}; {instructions} \
         instructions by then)"
    )]
    NotEnded {
        /// The function.
        from: String,
        /// The time.
        seconds: u64,
        /// How the emulation ended.
        how: String,
        /// Instructions that were executed by then.
        instructions: u64,
    },
}

fn known() -> String {
    Core::ALL.map(Core::name).join(", ")
}

/// Executes a program in the emulator, and predicts its cycles.
///
/// # Errors
/// A [`PredictError`].
pub fn predict(request: &Request<'_>) -> Result<Prediction, PredictError> {
    let core = core(request)?;
    let program = Program::read(request.path, request.bytes)?;
    program.check_core(core)?;
    let find = |name: Option<&str>| name.map(|name| program.function(name)).transpose();
    let window = Window {
        from: find(request.from)?,
        to: find(request.to)?,
        calls: request.calls,
    };
    let machine = Machine::find(core, program.segments())?;
    let moves = request
        .board
        .and_then(|board| placed(board, &machine, program.segments()));
    let memory = match (request.board, &moves) {
        (None, _) => MemoryMap::zero_wait(),
        (Some(board), None) => map(board),
        (Some(board), Some(moves)) => map_moved(board, moves),
    };
    let measure = Measure::new(core, &memory)?;
    let listener = Listener::new(&plugin(request.cache)?, window)?;
    let run = execute::Run {
        path: request.path,
        machine: machine.name,
        arguments: &[],
        limit: request.limit,
        prints: Some(request.prints),
    };
    let (mut measure, ended) = execute::execute(run, listener, measure)?;
    if let Ended::Exit(_) = ended {
        measure.end(); // what was not left by then ends with the program
    }
    let profile = measure.profile(&program);
    check(request, &profile, ended)?;
    let clock = request.board.and_then(|board| board.clock.as_ref());
    let clock_hz = clock.map(|clock| clock.core_hz);
    let cycles = match request.from {
        Some(_) => profile.calls.cycles as f64 / profile.calls.count as f64,
        None => profile.split.cycles as f64,
    };
    Ok(Prediction {
        core: core.name(),
        board: request.board.map(|board| board.name.clone()),
        clock_hz,
        memories: request
            .board
            .map_or_else(|| NO_BOARD.to_owned(), |board| board.latency().source),
        bound: measure.bound(),
        is_moved: moves.is_some(),
        machine,
        ended: match ended {
            Ended::Over => "over",
            Ended::Exit(status) if status.success() => "exit",
            Ended::Exit(_) => "failure",
            Ended::Late => "late",
        },
        ms: clock_hz.map(|hz| crate::ms(cycles, hz)),
        profile,
    })
}

fn core(request: &Request<'_>) -> Result<Core, PredictError> {
    let Some(board) = request.board else {
        return request.core.ok_or(PredictError::NoCore);
    };
    match (request.core, Core::by_name(&board.core)) {
        (None, None) => Err(PredictError::NoModel {
            board: board.name.clone(),
            core: board.core.clone(),
        }),
        (Some(core), Some(has)) if has != core => Err(PredictError::OtherCore {
            board: board.name.clone(),
            has: has.name(),
            core: core.name(),
        }),
        (core, has) => core.or(has).ok_or(PredictError::NoCore),
    }
}

/// Whether what was wanted was executed, from its beginning to its end.
fn check(request: &Request<'_>, profile: &Profile, ended: Ended) -> Result<(), PredictError> {
    let Some(from) = request.from else {
        return Ok(());
    };
    if profile.calls.count > 0 {
        return Ok(());
    }
    let from = from.to_owned();
    let seconds = request.limit.as_secs();
    let how = match ended {
        Ended::Over => "it was cut off".to_owned(),
        Ended::Exit(status) => format!("the program ended with {status}"),
        Ended::Late => "it was stopped".to_owned(),
    };
    Err(match profile.instructions {
        0 => PredictError::NotCalled { from, seconds, how },
        instructions => PredictError::NotEnded {
            from,
            seconds,
            how,
            instructions,
        },
    })
}
