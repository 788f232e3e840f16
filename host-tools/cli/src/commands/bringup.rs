//! `tadpool bringup`.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tadpool_boards::Board;
use tadpool_compiler::evaluate::label;
use tadpool_compiler::given::images;
use tadpool_compiler::place::program::Arena;
use tadpool_operations::board_image::BoardImage;
use tadpool_probe::record::Provenance;
use tadpool_probe::session::Session;
use tadpool_probe::trace::Trace;
use tadpool_probe::{START_TIME, connect};

use super::board::{BoardArgs, SessionArgs};
use super::model::CompileArgs;
use super::named::Named;
use super::progress::Bars;
use super::report::{Report, grouped, table};

/// How long the board's clock is compared with the host's.
const CLOCK_TIME: Duration = Duration::from_secs(1);
/// The share by which a clock may differ before it is a fault: more than an oscillator's
/// tolerance and the link's delay.
const CLOCK_TOLERANCE: f64 = 0.02;

/// The stages, in their order: what each says if all is well, and what to look at if not.
pub(crate) const STAGES: [(&str, &str, &str); 9] = [
    (
        "image",
        "built for the board",
        "the error's own text: model, board, or compiler",
    ),
    (
        "chip",
        "the chip, and what its register says",
        "cable, power, debug probe, permissions; then the board's name",
    ),
    (
        "RAM",
        "holds what was written",
        "`memory` in the board's file; a program that switched RAM off",
    ),
    (
        "flash",
        "bytes written and read back",
        "write protection and options of the chip, its supply",
    ),
    (
        "firmware",
        "the model, and its arena",
        "what the chip waits for before it answers: oscillator, PLL, voltage; see below",
    ),
    (
        "clock",
        "the core's clock, within 2 %",
        "oscillator and PLL, `clock` in the board's file",
    ),
    (
        "inference",
        "the label, and its cycles",
        "the fault's text: it names the step and the place",
    ),
    (
        "bytes",
        "all steps as on the host",
        "the error's own text tells a bug from flash that was corrupted",
    ),
    (
        "record",
        "the conditions that a figure is to be given with",
        "nothing: it says what was measured under",
    ),
];

#[derive(Debug, Args)]
pub(crate) struct Bringup {
    #[command(flatten)]
    model: CompileArgs,
    #[command(flatten)]
    board: BoardArgs,
    #[command(flatten)]
    session: SessionArgs,
    /// An image of the network's input size.
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
}

/// The stages of a board's first run; those behind one that failed are missing.
#[derive(Debug)]
pub(crate) struct Stages(Rehearsed);

#[derive(Debug, Serialize)]
struct Rehearsed {
    board: String,
    /// Whether all stages are as they should be.
    works: bool,
    stages: Vec<Stage>,
}

#[derive(Debug, Serialize)]
struct Stage {
    name: &'static str,
    state: State,
    found: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Nothing that could be measured on this board.
    NotMeasured,
}

impl Bringup {
    pub(crate) fn run(self) -> anyhow::Result<Stages> {
        let (model, compiled) = self.model.compile(&Named {
            board: Some(&self.board),
            pictures: std::slice::from_ref(&self.image),
            ..Named::default()
        })?;
        let pixels = images::load(&self.image, &model.description.input)?;
        let built = self.board.build(&model, &compiled)?;
        let board = &built.board;
        let mut stages = vec![good("image", format!("built for {}", board.name))];
        let program = compiled.program();
        let mut arena = Arena::default();
        let host = Trace::simulate(&program, &pixels, &mut arena)?;
        let scores = program.scores(&host.logits, &mut arena)?;
        let label = label(&model.description.labels, &scores);
        let mut run = || {
            let mut session = on_board(&built, &self.session, &mut stages)?;
            let inference = session.infer(&pixels)?;
            built.check(&mut session, &program, (&host, &inference), &self.image)?;
            let (unit, cost) = (board.unit().name(), grouped(board.cost(inference.ticks)));
            stages.push(good("inference", format!("{label}, {cost} {unit}")));
            let steps = program.steps.len();
            stages.push(good("bytes", format!("all {steps} steps as on the host")));
            let provenance = Provenance::of(board, session.hello(), built.hash()?);
            let conditions = provenance.conditions();
            let conditions = conditions.unwrap_or_else(|| "an emulator, which has none".into());
            stages.push(good("record", conditions));
            session.shut_down().map_err(anyhow::Error::from)
        };
        if let Err(error) = run() {
            stages.push(bad("stopped", format!("{error:#}")));
        }
        Ok(Stages(Rehearsed {
            board: board.name.clone(),
            works: stages.iter().all(|stage| stage.state != State::Bad),
            stages,
        }))
    }
}

/// Finds and identifies the chip, tests its RAM, flashes and starts the image, and compares
/// its clock.
fn on_board(
    built: &BoardImage,
    args: &SessionArgs,
    stages: &mut Vec<Stage>,
) -> anyhow::Result<Session<tadpool_probe::RttLink>> {
    let board = &built.board;
    let mut connection = connect(board, &args.options())?;
    let chip = match connection.identity(board)? {
        Some(identity) => format!("{}, whose register says {identity:08x}", board.chip),
        None => format!("a {}; no register tells which chip", board.core),
    };
    stages.push(good("chip", chip));
    let name = &board.layout.ram;
    let ram = board.memory.get(name).context("the board has no RAM")?;
    stages.push(match connection.test_ram(ram)? {
        None => good("RAM", format!("`{name}` holds what was written")),
        Some(word) => bad(
            "RAM",
            format!(
                "{:08x} holds {:08x}, not {:08x}; is `memory.{name}` in the board's file right?",
                word.address, word.read, word.written
            ),
        ),
    });
    let flashed = connection.flash(&built.image.path, &Bars::default())?;
    let bytes = grouped(flashed.bytes);
    stages.push(good(
        "flash",
        format!("{bytes} bytes written and read back"),
    ));
    let link = connection.run(&built.image.path, START_TIME)?;
    let mut session = Session::start(link, args.timeout())?;
    session.check(Some(&board.name), None)?;
    let arena = grouped(session.hello().arena_bytes.into());
    let model = session.hello().model.as_str().to_owned();
    stages.push(good(
        "firmware",
        format!("{model} with {arena} bytes of arena"),
    ));
    stages.push(clock(board, &mut session, built.is_emulated())?);
    Ok(session)
}

/// Compares the board's clock with the host's.
fn clock(
    board: &Board,
    session: &mut Session<tadpool_probe::RttLink>,
    is_emulated: bool,
) -> anyhow::Result<Stage> {
    let start = Instant::now();
    let ticks = session.wait(CLOCK_TIME)?;
    let seconds = start.elapsed().as_secs_f64();
    let hz = ticks as f64 / seconds;
    let name = "clock";
    let not_measured = |found: &str| Stage {
        name,
        state: State::NotMeasured,
        found: found.into(),
    };
    let Some(expected) = board.counter.frequency_hz else {
        return Ok(not_measured(
            "the board's file says no `counter.frequency_hz`",
        ));
    };
    let expected = f64::from(expected);
    let difference = hz / expected - 1.0;
    Ok(if is_emulated {
        not_measured("an emulator keeps no time")
    } else if difference.abs() <= CLOCK_TOLERANCE {
        let percent = 100.0 * difference;
        good(name, format!("{:.3} MHz, {percent:+.1} %", hz / 1e6))
    } else {
        let (mhz, expected) = (hz / 1e6, expected / 1e6);
        bad(
            name,
            format!(
                "{mhz:.3} MHz by this computer's clock, not {expected}: oscillator, PLL, or \
                 `clock` in the board's file"
            ),
        )
    })
}

fn good(name: &'static str, found: String) -> Stage {
    Stage {
        name,
        state: State::Good,
        found,
    }
}

fn bad(name: &'static str, found: String) -> Stage {
    Stage {
        name,
        state: State::Bad,
        found,
    }
}

impl Report for Stages {
    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.0)
    }

    fn is_success(&self) -> bool {
        self.0.works
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rehearsed {
            board,
            works,
            stages,
        } = &self.0;
        let mut rows = table(["stage", "", "found"], 3);
        for stage in stages {
            let state = match stage.state {
                State::Good => "good",
                State::Bad => "BAD",
                State::NotMeasured => "not measured",
            };
            rows.add_row([stage.name, state, &stage.found]);
        }
        writeln!(f, "{rows}\n")?;
        match works {
            true => writeln!(f, "{board} works"),
            false => writeln!(
                f,
                "{board} does not work yet: mend the first stage that is not good"
            ),
        }
    }
}
