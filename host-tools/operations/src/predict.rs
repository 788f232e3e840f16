//! The latency of an inference on a board that need not be there: executed by an emulated
//! board of the same core, and timed by models of the core and of the board's memories.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tadpool_boards::{Board, Runner};
use tadpool_compiler::budget::Budget;
use tadpool_compiler::compile::Compiled;
use tadpool_compiler::place::program::Arena;
use tadpool_compiler::progress::Progress;
use tadpool_image::Interface;
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

use crate::OperationError;
use crate::board_image::BoardImage;
use crate::table::{grouped, table};

/// The firmware's function that is an inference, and nothing else.
const INFERENCE: &str = "tadpool_link::run::inference";
/// The one that it calls after each step.
const OBSERVER: &str = "<tadpool_link::measure::Recorder<C,T> as tadpool_kernels::Observer>::step";
/// Time for the rest of the trace once the inference has ended.
const REST_TIME: Duration = Duration::from_secs(60);

/// The predicted latency of an inference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Predicted {
    /// The model's name.
    pub model: String,
    /// The board that is meant.
    pub board: String,
    /// Its chip.
    pub chip: String,
    /// The core whose pipeline was modelled.
    pub core: &'static str,
    /// Its clock, if its file says one.
    pub clock_hz: Option<u32>,
    /// Where the latency of its memories is from.
    pub memories: String,
    /// The machine that executed it.
    pub machine: String,
    /// Milliseconds of the whole, if there is a clock.
    pub ms: Option<f64>,
    /// How far off it may be, by what predictions were compared with.
    pub bound: Bound,
    /// Cycles of the whole.
    pub total: Split,
    /// Its steps, in order.
    pub steps: Vec<PredictedStep>,
}

/// A step of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictedStep {
    /// The layer's place in the network.
    pub name: String,
    /// Milliseconds, if there is a clock.
    pub ms: Option<f64>,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Its cycles.
    #[serde(flatten)]
    pub split: Split,
}

/// A prediction by itself, where nothing is measured.
#[derive(Debug, Serialize)]
pub struct PredictionReport {
    /// The model's name.
    pub model: String,
    /// The picture that was classified.
    pub picture: PathBuf,
    /// The prediction.
    pub prediction: Predicted,
}

/// Executes an inference of `pixels`, the picture at `picture`, and predicts what it takes
/// `board`; each answer of the emulator may take `timeout`.
///
/// # Errors
/// There is no model of its core, or no emulated board runs the image.
pub fn predict(
    board: &Board,
    compiled: &Compiled,
    timeout: Duration,
    shown: (&Path, &[u8]),
    progress: &dyn Progress,
) -> Result<Predicted, OperationError> {
    let twin = Twin::of(board)?;
    let mut predicted = predict_alike(&[(board, twin)], compiled, timeout, shown, progress)?;
    predicted.pop().ok_or(OperationError::NoBoard)
}

/// The same for boards whose twins are alike: one execution, timed by the memories of each.
///
/// # Errors
/// See [`predict`].
pub fn predict_alike(
    boards: &[(&Board, Twin)],
    compiled: &Compiled,
    timeout: Duration,
    (picture, pixels): (&Path, &[u8]),
    progress: &dyn Progress,
) -> Result<Vec<Predicted>, OperationError> {
    let (_, twin) = boards.first().ok_or(OperationError::NoBoard)?;
    let built = BoardImage::build(Interface::Requests, twin.emulated.clone(), compiled)?;
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

    let mut session = built.start_traced(timeout, arguments, progress)?;
    let program = compiled.program();
    let simulated = Trace::simulate(&program, pixels, &mut Arena::default())?;
    let inference = session.infer(pixels).map_err(OperationError::Predicting)?;
    built.check(&mut session, &program, (&simulated, &inference), picture)?;
    let read = tracing.wait(REST_TIME);
    session.shut_down()?;

    let (Alike(steps), result) = read.ok_or(OperationError::NotTold)?;
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
    ) -> Result<Self, OperationError> {
        let bound = steps.bound();
        let (steps, rest) = steps.cycles().ok_or(OperationError::NotToTheEnd)?;
        let layers = &compiled.quantized.layers;
        if steps.len() != layers.len() {
            return Err(OperationError::Steps {
                told: steps.len(),
                expected: layers.len(),
            });
        }
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
    /// Compares it with a budget.
    ///
    /// # Errors
    /// It takes longer, or the board has no clock.
    pub fn check(&self, budget: &Budget) -> Result<(), OperationError> {
        let Some(most_us) = budget.latency_us else {
            return Ok(());
        };
        let most = most_us as f64 / 1e3;
        let board = || self.board.clone();
        let ms = self
            .ms
            .ok_or_else(|| OperationError::NoClock { board: board() })?;
        match ms <= most {
            true => Ok(()),
            false => Err(OperationError::TooSlow {
                board: board(),
                ms,
                most,
            }),
        }
    }

    /// The page of this prediction, with the memory of the model that was compiled.
    pub fn page(&self, compiled: &Compiled, link: Option<String>) -> LatencyPage {
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
    pub fn line(&self) -> String {
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
