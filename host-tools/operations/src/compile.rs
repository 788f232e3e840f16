//! Compiling a model for a board: an image that keeps a budget, and what it takes.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use tadpool_boards::{Board, KernelVariant};
use tadpool_compiler::budget::{self, Attempt, Budget, Probe, Taken, Traded};
use tadpool_compiler::compile::{Calibrated, Compiled, Model};
use tadpool_compiler::generate::{Generated, SlowStep, slow_steps};
use tadpool_compiler::progress::Progress;
use tadpool_image::elf::Sizes;
use tadpool_image::shapes::shapes;
use tadpool_image::{FirmwareImage, Interface};

use crate::OperationError;
use crate::board_image::{Reach, build_image};
use crate::estimate::Estimate;
use crate::notes::Notes;
use crate::predict::{Predicted, predict};
use crate::table::{grouped, table};

/// What is to be compiled.
#[derive(Debug)]
pub struct Order<'a> {
    /// The model.
    pub model: &'a Model,
    /// What its calibration images show.
    pub calibrated: &'a Calibrated,
    /// The precision and schedule to begin with.
    pub base: Attempt,
    /// The board.
    pub board: Board,
    /// Kernels to pack the weights for, instead of the board's.
    pub kernels: Option<KernelVariant>,
    /// Limits of the image. With one of time an inference is executed in the emulator.
    pub budget: Budget,
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// What there is to say of it.
    pub report: CompileReport,
    /// The network.
    pub compiled: Compiled,
    /// Its source.
    pub generated: Generated,
    /// The board, with the layout that was used.
    pub board: Board,
    /// The image.
    pub image: FirmwareImage,
}

/// What an image takes of a board, and what became of its model on the way.
#[derive(Debug, Serialize)]
pub struct CompileReport {
    model: String,
    board: String,
    kernels: &'static str,
    /// Where the generated crate was written, if that was asked for.
    pub crate_folder: Option<PathBuf>,
    comparison: ComparisonRow,
    steps: Vec<StepRow>,
    budget: Budgeted,
    /// The precision that was given up for the budget.
    traded: Traded,
    /// Steps that the kernels have no loop of their own for.
    slow_steps: Vec<SlowStep>,
    #[serde(flatten)]
    notes: Notes,
    /// Bytes that no plan can do without.
    arena_lower_bound: u64,
    arena_is_optimal: bool,
    /// The predicted latency of an inference, by the shapes of its steps; none if nothing is
    /// known of the board or these are not its kernels.
    latency: Option<Estimate>,
    /// The same by an execution, if there is a budget of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    prediction: Option<Predicted>,
}

#[derive(Debug, Serialize)]
struct ComparisonRow {
    images: usize,
    max_abs_diff: f32,
    same_top1: usize,
}

#[derive(Debug, Serialize)]
struct StepRow {
    name: String,
    output: String,
    macs: u64,
    arena_bytes: usize,
    peak: bool,
    /// Predicted, by an execution if there was one.
    cycles: Option<f64>,
    ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Budgeted {
    flash: Part,
    weights_bytes: u64,
    /// Of those, what is copied to RAM at start.
    copied_weights_bytes: u64,
    code_bytes: u64,
    constants_bytes: u64,
    ram: Part,
    arena_bytes: u64,
    other_static_bytes: u64,
    stack_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Part {
    used_bytes: u64,
    available_bytes: u64,
}

/// Builds the image of a model for a board, and gives up speed and precision for the budget.
///
/// # Errors
/// The budget cannot be kept, the image not be built, or the latency not be predicted.
pub fn compile(order: Order<'_>, progress: &impl Progress) -> Result<Made, OperationError> {
    let Order {
        model,
        calibrated,
        base,
        mut board,
        kernels: chosen,
        budget,
    } = order;
    // A budget of RAM is for what an inference needs; copies take all that there is.
    board.layout.copy_weights &= budget.ram_bytes.is_none();
    let kernels = chosen.unwrap_or(board.kernels);
    let build = |attempt: &Attempt| -> Result<_, OperationError> {
        progress.go_on()?;
        let compiled = calibrated.compile(model, attempt.choice.clone(), &attempt.schedule)?;
        let generated = match chosen {
            Some(kernels) => compiled.generate(kernels),
            None => compiled.generate_for(&board),
        };
        let image = build_image(Interface::Requests, &board, &generated, &compiled)?;
        let taken = Taken {
            flash_bytes: image.sizes.flash_bytes(),
            ram_bytes: image.sizes.ram_bytes(),
        };
        Ok(((compiled, generated, image), taken))
    };
    let measure = |attempt: &Attempt| -> Result<_, OperationError> {
        let probe = Probe::new(model, calibrated)?;
        let (base, schedule) = (&attempt.choice.precision, &attempt.schedule);
        let measured = budget::sensitivities(model, calibrated, &probe, base, schedule, progress)?;
        Ok(measured)
    };
    let pins = model.description.quantization.pins.keys().cloned();
    let pins = pins.collect::<Vec<_>>();
    let (_, (compiled, generated, image), traded) =
        budget::fit(budget, base, &pins, build, measure)?;
    let prediction = within(&budget, model, calibrated, &board, &compiled, progress)?;
    let latency = match kernels == board.kernels {
        true => Estimate::of(&board, &shapes(&compiled.program(), &generated, &board)),
        false => None,
    };
    let report = CompileReport {
        model: model.description.name.clone(),
        board: board.name.clone(),
        kernels: kernels.name(),
        crate_folder: None,
        comparison: ComparisonRow {
            images: compiled.comparison.images,
            max_abs_diff: compiled.comparison.max_abs_diff,
            same_top1: compiled.comparison.same_top1,
        },
        steps: steps(&compiled, latency.as_ref(), prediction.as_ref()),
        budget: budgeted(&compiled, &board, &image.sizes),
        traded,
        slow_steps: slow_steps(&compiled.program(), kernels),
        notes: Notes::new(model, calibrated, &compiled)?,
        arena_lower_bound: compiled.memory.lower_bound as u64,
        arena_is_optimal: compiled.memory.optimal,
        latency,
        prediction,
    };
    Ok(Made {
        report,
        compiled,
        generated,
        board,
        image,
    })
}

/// The predicted latency of an inference of the first calibration image, if the budget
/// limits it.
fn within(
    budget: &Budget,
    model: &Model,
    calibrated: &Calibrated,
    board: &Board,
    compiled: &Compiled,
    progress: &impl Progress,
) -> Result<Option<Predicted>, OperationError> {
    let (Some(_), Some(first)) = (budget.latency_us, calibrated.images.first()) else {
        return Ok(None);
    };
    let pixels = first.load(&model.description.input)?;
    let timeout = Reach::default().timeout;
    let predicted = predict(board, compiled, timeout, (&first.path, &pixels), progress)?;
    predicted.check(budget)?;
    Ok(Some(predicted))
}

impl CompileReport {
    /// Warnings, a sentence each: notes on the model, and steps that its kernels have no loop of
    /// their own for.
    pub fn warnings(&self) -> Vec<String> {
        let slow = self.slow_steps.iter().map(ToString::to_string);
        self.notes.lines().into_iter().chain(slow).collect()
    }
}

fn steps(
    compiled: &Compiled,
    latency: Option<&Estimate>,
    prediction: Option<&Predicted>,
) -> Vec<StepRow> {
    let times = |number: usize| match (prediction, latency) {
        (Some(predicted), _) => {
            let step = predicted.steps.get(number);
            let cycles = step.map(|step| step.split.cycles as f64);
            (cycles, step.and_then(|step| step.ms))
        }
        (None, Some(latency)) => {
            let cycles = latency.steps.get(number).copied();
            (cycles, cycles.and_then(|cycles| latency.ms_of(cycles)))
        }
        (None, None) => (None, None),
    };
    let layers = &compiled.quantized.layers;
    let heights = compiled
        .memory
        .height_by_step(&compiled.schedule.problem, layers.len());
    let peak = heights.iter().copied().max().unwrap_or(0);
    layers
        .iter()
        .zip(heights)
        .enumerate()
        .map(|(number, (layer, height))| {
            let (cycles, ms) = times(number);
            StepRow {
                name: layer.name.to_string(),
                output: layer.output.to_string(),
                macs: layer.macs,
                arena_bytes: height,
                peak: height == peak,
                cycles,
                ms,
            }
        })
        .collect()
}

fn budgeted(compiled: &Compiled, board: &Board, sizes: &Sizes) -> Budgeted {
    let arena_bytes = compiled.memory.arena_size as u64;
    Budgeted {
        flash: Part {
            used_bytes: sizes.flash_bytes(),
            available_bytes: board.flash_bytes(),
        },
        weights_bytes: sizes.weights_bytes,
        copied_weights_bytes: sizes.copied_weights_bytes,
        code_bytes: sizes.code_bytes,
        constants_bytes: sizes.constants_bytes + sizes.data_bytes,
        ram: Part {
            used_bytes: sizes.ram_bytes(),
            available_bytes: board.ram_bytes(),
        },
        arena_bytes,
        other_static_bytes: (sizes.static_ram_bytes())
            .saturating_sub(arena_bytes + sizes.copied_weights_bytes),
        stack_bytes: sizes.stack_bytes,
    }
}

impl fmt::Display for CompileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} for {}, {} kernels",
            self.model, self.board, self.kernels
        )?;
        let comparison = &self.comparison;
        writeln!(
            f,
            "import confirmed by tract: {} images, logits within {:.1e}, same class on {}\n",
            comparison.images, comparison.max_abs_diff, comparison.same_top1
        )?;
        let header = ["step", "output", "MACs", "cycles", "ms", "arena bytes", ""];
        let has_cycles = self.steps.iter().any(|step| step.cycles.is_some());
        let has_ms = self.steps.iter().any(|step| step.ms.is_some());
        // Predicted figures only where there are some.
        let shown = [true, true, true, has_cycles, has_ms, true, true];
        let chosen = |cells: [String; 7]| {
            let cells = cells.into_iter().zip(shown);
            cells.filter_map(|(cell, is_shown)| is_shown.then_some(cell))
        };
        let mut rows = table(chosen(header.map(str::to_owned)), 2);
        for step in &self.steps {
            let optional = |text: Option<String>| text.unwrap_or_default();
            rows.add_row(chosen([
                step.name.clone(),
                step.output.clone(),
                grouped(step.macs),
                optional(step.cycles.map(|cycles| grouped(cycles as u64))),
                optional(step.ms.map(|ms| format!("{ms:.3}"))),
                grouped(step.arena_bytes as u64),
                if step.peak { "peak" } else { "" }.to_owned(),
            ]));
        }
        writeln!(f, "{rows}\n")?;

        let budget = &self.budget;
        let of = |part: &Part| grouped(part.available_bytes);
        let mut rows = table(["memory", "bytes", "of"], 1);
        rows.add_row([
            "flash".to_owned(),
            grouped(budget.flash.used_bytes),
            of(&budget.flash),
        ]);
        rows.add_row([
            "  weights and tables".to_owned(),
            grouped(budget.weights_bytes),
        ]);
        rows.add_row(["  code".to_owned(), grouped(budget.code_bytes)]);
        rows.add_row(["  constants".to_owned(), grouped(budget.constants_bytes)]);
        rows.add_row([
            "RAM".to_owned(),
            grouped(budget.ram.used_bytes),
            of(&budget.ram),
        ]);
        rows.add_row([arena_row(self), grouped(budget.arena_bytes)]);
        if budget.copied_weights_bytes > 0 {
            rows.add_row([
                "  weights that are read most, copied at start".to_owned(),
                grouped(budget.copied_weights_bytes),
            ]);
        }
        rows.add_row([
            "  other variables".to_owned(),
            grouped(budget.other_static_bytes),
        ]);
        rows.add_row(["  stack, reserved".to_owned(), grouped(budget.stack_bytes)]);
        writeln!(f, "{rows}\n")?;
        let by_shapes = || self.latency.as_ref().and_then(Estimate::line);
        let predicted = self.prediction.as_ref().map(Predicted::line);
        if let Some(line) = predicted.or_else(by_shapes) {
            writeln!(f, "{line}\n")?;
        }
        traded(f, &self.traded)?;
        for note in self.notes.lines() {
            writeln!(f, "note: {note}")?;
        }
        for step in &self.slow_steps {
            writeln!(f, "note: {step}")?;
        }
        match &self.crate_folder {
            Some(folder) => writeln!(f, "generated crate: {}", folder.display()),
            None => Ok(()),
        }
    }
}

fn traded(f: &mut fmt::Formatter<'_>, traded: &Traded) -> fmt::Result {
    if let Some(tokens) = traded.tile_tokens {
        writeln!(
            f,
            "for the budget: {tokens} token at a time, which takes longer"
        )?;
    }
    for stage in &traded.stages {
        writeln!(
            f,
            "for the budget: {} has an int8 stream, though `{}` is at {:.1} dB with it",
            stage.stage, stage.step, stage.sqnr_db
        )?;
    }
    if traded.weights.is_empty() {
        return Ok(());
    }
    let header = ["int4 for the budget", "saves about", "error of the logits"];
    let mut rows = table(header, 1);
    for weights in &traded.weights {
        rows.add_row([
            weights.name.clone(),
            grouped(weights.saved_bytes),
            format!("+{:.2} %", 100.0 * weights.error.sqrt()),
        ]);
    }
    writeln!(f, "{rows}\n")
}

fn arena_row(report: &CompileReport) -> String {
    if report.arena_is_optimal {
        "  arena, input and output included (proved smallest)".to_owned()
    } else {
        let bound = grouped(report.arena_lower_bound);
        format!("  arena, input and output included (lower bound {bound})")
    }
}
