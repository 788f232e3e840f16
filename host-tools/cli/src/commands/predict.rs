//! The latency of an inference on a board that need not be there: executed by an emulated
//! board of the same core, and timed by models of the core and of the board's memories.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use tadpool_boards::{Board, Runner};
use tadpool_compiler::budget::Budget;
use tadpool_compiler::compile::Compiled;
use tadpool_compiler::place::program::Arena;
use tadpool_image::cache::Cache;
use tadpool_latency::bound::Bound;
use tadpool_latency::execute::{Listener, Window};
use tadpool_latency::measure::Split;
use tadpool_latency::plugin::plugin;
use tadpool_latency::program::Program;
use tadpool_latency::steps::{Alike, Steps};
use tadpool_latency::twin::Twin;
use tadpool_probe::trace::Trace;
use tadpool_report::{LatencyPage, LatencyStep, MemoryMap};

use super::board::{BoardImage, SessionArgs};
use super::report::{grouped, table};

/// The firmware's function that is an inference, and nothing else.
const INFERENCE: &str = "tadpool_link::run::inference";
/// The one that it calls after each step.
const OBSERVER: &str = "<tadpool_link::measure::Recorder<C,T> as tadpool_kernels::Observer>::step";
/// Time for the rest of the trace once the inference has ended.
const REST_TIME: Duration = Duration::from_secs(60);

/// The predicted latency of an inference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Predicted {
    /// The model's name.
    pub(crate) model: String,
    /// The board that is meant.
    pub(crate) board: String,
    pub(crate) chip: String,
    /// The core whose pipeline was modelled.
    pub(crate) core: &'static str,
    pub(crate) clock_hz: Option<u32>,
    /// Where the latency of its memories is from.
    pub(crate) memories: String,
    /// The machine that executed it.
    pub(crate) machine: String,
    pub(crate) ms: Option<f64>,
    /// How far off it may be, by what predictions were compared with.
    pub(crate) bound: Bound,
    pub(crate) total: Split,
    pub(crate) steps: Vec<PredictedStep>,
}

/// A step of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PredictedStep {
    pub(crate) name: String,
    pub(crate) ms: Option<f64>,
    pub(crate) macs: u64,
    #[serde(flatten)]
    pub(crate) split: Split,
}

/// A prediction by itself, where nothing is measured.
#[derive(Debug, Serialize)]
pub(crate) struct PredictionReport {
    pub(crate) model: String,
    pub(crate) picture: PathBuf,
    pub(crate) prediction: Predicted,
}

/// Executes an inference of `pixels`, the picture at `picture`, and predicts what it takes
/// `board`.
pub(crate) fn predict(
    board: &Board,
    compiled: &Compiled,
    args: &SessionArgs,
    shown: (&Path, &[u8]),
) -> anyhow::Result<Predicted> {
    let twin = Twin::of(board)?;
    let mut predicted = predict_alike(&[(board, twin)], compiled, args, shown)?;
    predicted.pop().context("nothing was predicted")
}

/// The same for boards whose twins are alike: one execution, timed by the memories of each.
pub(crate) fn predict_alike(
    boards: &[(&Board, Twin)],
    compiled: &Compiled,
    args: &SessionArgs,
    (picture, pixels): (&Path, &[u8]),
) -> anyhow::Result<Vec<Predicted>> {
    let (_, twin) = boards.first().context("no board is named")?;
    let built = BoardImage::build(twin.emulated.clone(), compiled)?;
    let bytes = built.bytes()?;
    let image = Program::read(&built.image.path, &bytes)?;
    let window = Window {
        from: Some(image.function(INFERENCE)?),
        to: None,
        calls: Some(1),
    };
    let observer = image.function(OBSERVER)?;
    let steps = boards
        .iter()
        .map(|(board, twin)| Steps::new(twin.core, &twin.memory(board), observer));
    let steps = Alike(steps.collect::<Result<_, _>>()?);
    let cache = Cache::find()?;
    let listener = Listener::new(&plugin(cache.folder())?, window)?;
    let arguments = listener.arguments().to_vec();
    let tracing = listener.start(steps);

    let mut session = built.start_traced(args, arguments)?;
    let program = compiled.program();
    let simulated = Trace::simulate(&program, pixels, &mut Arena::default())?;
    let inference = session.infer(pixels).context("predicting")?;
    built.check(&mut session, &program, (&simulated, &inference), picture)?;
    let read = tracing.wait(REST_TIME);
    session.shut_down()?;

    let (Alike(steps), result) = read.context("the emulator did not tell what it executed")?;
    result?;
    let machine = match &built.board.runner {
        Runner::Qemu(qemu) => &qemu.machine[..],
        Runner::Probe(_) => "",
    };
    let predicted = boards.iter().zip(steps);
    predicted
        .map(|((board, twin), steps)| Predicted::of(board, twin, compiled, machine, steps))
        .collect()
}

impl Predicted {
    /// The prediction from the measured cycles of `steps`.
    fn of(
        board: &Board,
        twin: &Twin,
        compiled: &Compiled,
        machine: &str,
        mut steps: Steps,
    ) -> anyhow::Result<Self> {
        let bound = steps.bound();
        let (steps, rest) = steps
            .cycles()
            .context("the inference was not told to its end")?;
        let layers = &compiled.quantized.layers;
        anyhow::ensure!(
            steps.len() == layers.len(),
            "the emulator told of {} steps, and the model has {}",
            steps.len(),
            layers.len()
        );
        let clock_hz = board.clock.as_ref().map(|clock| clock.core_hz);
        let ms = |cycles: u64| clock_hz.map(|hz| tadpool_latency::ms(cycles as f64, hz));
        let total = steps.iter().fold(rest, |all, step| all + *step);
        let steps = layers
            .iter()
            .zip(steps)
            .map(|(layer, split)| PredictedStep {
                name: layer.name.to_string(),
                ms: ms(split.cycles),
                macs: layer.macs,
                split,
            });
        Ok(Self {
            model: compiled.description.name.clone(),
            bound,
            board: board.name.clone(),
            chip: board.chip.clone(),
            core: twin.core.name(),
            clock_hz,
            memories: board.latency().source,
            machine: machine.to_owned(),
            ms: ms(total.cycles),
            steps: steps.collect(),
            total,
        })
    }
}

impl Predicted {
    /// Fails if it takes longer than a budget, or if that cannot be known.
    pub(crate) fn check(&self, budget: &Budget) -> anyhow::Result<()> {
        let Some(most_us) = budget.latency_us else {
            return Ok(());
        };
        let most = most_us as f64 / 1e3;
        let ms = self.ms.with_context(|| {
            format!(
                "board `{}` has no clock that a budget of ms could be kept with",
                self.board
            )
        })?;
        anyhow::ensure!(
            ms <= most,
            "an inference is predicted to take {ms:.1} ms on board `{}`, {:.1} more than the budget \
             of {most:.1}; `tadpool bench --predict` says which steps take most",
            self.board,
            ms - most
        );
        Ok(())
    }

    /// The page of this prediction, with the memory of the model that was compiled.
    pub(crate) fn page(&self, compiled: &Compiled, link: Option<String>) -> LatencyPage {
        let steps = self.steps.iter().map(|step| LatencyStep {
            name: step.name.clone(),
            macs: step.macs,
            cycles: step.split.cycles,
            compute: step.split.compute(),
            data: step.split.data,
            code: step.split.code,
        });
        LatencyPage {
            model: self.model.clone(),
            board: self.board.clone(),
            clock_hz: self.clock_hz,
            bound: self.bound.to_string(),
            total: self.total.cycles,
            compute: self.total.compute(),
            data: self.total.data,
            code: self.total.code,
            steps: steps.collect(),
            memory: MemoryMap::of(compiled),
            link,
            provenance: vec![
                ("tool", format!("tadpool {}", env!("CARGO_PKG_VERSION"))),
                ("chip", format!("{}, {}", self.chip, self.core)),
                ("memories", self.memories.clone()),
                ("executed by", format!("QEMU, {}", self.machine)),
            ],
        }
    }

    /// Its latency, in a line.
    pub(crate) fn line(&self) -> String {
        let cycles = grouped(self.total.cycles);
        match (self.ms, self.clock_hz) {
            (Some(ms), Some(hz)) => {
                let mhz = f64::from(hz) / 1e6;
                format!(
                    "{ms:.1} ms predicted: {cycles} cycles at {mhz} MHz; {}",
                    self.bound
                )
            }
            _ => format!("{cycles} cycles predicted; {}", self.bound),
        }
    }
}

impl fmt::Display for PredictionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = &self.prediction.board;
        writeln!(f, "{} on {on}, {}", self.model, self.picture.display())?;
        self.prediction.fmt(f)
    }
}

impl fmt::Display for Predicted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = match self.clock_hz {
            Some(hz) => format!("at {} MHz", f64::from(hz) / 1e6),
            None => "without a clock".to_owned(),
        };
        writeln!(
            f,
            "predicted for a {} {clock} ({}), from an execution by {}",
            self.core, self.chip, self.machine
        )?;
        writeln!(f, "memories: {}", self.memories)?;
        let header = [
            "step",
            "cycles",
            "ms",
            "compute",
            "wait for\ndata",
            "wait for\ncode",
            "MACs",
            "per MAC",
        ];
        let mut rows = table(header, 1);
        let ms = |ms: Option<f64>| ms.map_or_else(String::new, |ms| format!("{ms:.3}"));
        let mut add = |name: &str, time: Option<f64>, split: &Split, macs: u64| {
            rows.add_row([
                name.to_owned(),
                grouped(split.cycles),
                ms(time),
                grouped(split.compute()),
                grouped(split.data),
                grouped(split.code),
                grouped(macs),
                match macs {
                    0 => String::new(),
                    macs => format!("{:.3}", split.cycles as f64 / macs as f64),
                },
            ]);
        };
        for step in &self.steps {
            add(&step.name, step.ms, &step.split, step.macs);
        }
        let macs = self.steps.iter().map(|step| step.macs).sum();
        add("total", self.ms, &self.total, macs);
        writeln!(f, "{rows}\n{}", self.line())
    }
}
