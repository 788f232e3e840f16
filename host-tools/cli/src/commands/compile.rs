//! `tadpool compile`.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use tadpool_boards::{Board, KernelVariant};
use tadpool_compiler::budget::{self, Attempt, Budget, Probe, Taken, Traded};
use tadpool_compiler::compile::{Compiled, Model};
use tadpool_compiler::generate::{Generated, Package, SlowStep, check_folder, slow_steps};
use tadpool_compiler::given::images;
use tadpool_image::elf::Sizes;
use tadpool_image::shapes::shapes;
use tadpool_image::{FirmwareImage, Interface};

use super::board::{BoardArgs, SessionArgs, build_image};
use super::by_shapes::Estimate;
use super::crate_kernels::KernelsFor;
use super::model::CompileArgs;
use super::named::Named;
use super::notes::Notes;
use super::predict::{Predicted, predict};
use super::progress::Bars;
use super::report::{Report, grouped, table};
use super::unchanged::{Made, Place};

/// Takes the name of a kernel variant.
pub(super) fn kernel_variants() -> impl TypedValueParser<Value = KernelVariant> {
    PossibleValuesParser::new(KernelVariant::ALL.map(KernelVariant::name)).try_map(|name| {
        let mut all = KernelVariant::ALL.into_iter();
        all.find(|kernels| kernels.name() == name)
            .ok_or("no such kernels")
    })
}

#[derive(Debug, Args)]
pub(crate) struct Compile {
    #[command(flatten)]
    model: CompileArgs,
    #[command(flatten)]
    board: BoardArgs,
    /// Write the generated crate into this folder.
    #[arg(long, short, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Write over files of a crate in that folder that were edited since.
    #[arg(long, requires = "output")]
    force: bool,
    /// Pack the weights for these kernels instead of the board's; `portable`
    /// runs on every board.
    #[arg(long, value_parser = kernel_variants())]
    kernels: Option<KernelVariant>,
    /// Give up speed and precision until the image takes no more than this: weights
    /// of four bits where they cost the least accuracy for what they save, and for
    /// RAM one token at a time. What is pinned stays. With `ms` the latency is predicted
    /// too, which executes an inference in the emulator, and more is a failure.
    #[arg(long, value_name = "flash=256K,ram=32K,ms=150")]
    budget: Option<Budget>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CompileReport {
    model: String,
    board: String,
    kernels: &'static str,
    /// Where the generated crate was written, if that was asked for.
    crate_folder: Option<PathBuf>,
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

impl Compile {
    /// Compiles, unless nothing changed since it was done before.
    pub(crate) fn run(self) -> anyhow::Result<Box<dyn Report>> {
        let place = match &self.output {
            None => self.place(),
            Some(_) => None,
        };
        if let Some(kept) = place.as_ref().and_then(Place::read) {
            return Ok(Box::new(kept));
        }
        let (report, image) = self.compile()?;
        // A file may have changed meanwhile.
        if let Some(place) = place.filter(|place| self.place().as_ref() == Some(place)) {
            let made = Made {
                image: Some(image.path),
                ..Made::default()
            };
            place.write(made, &report);
        }
        Ok(Box::new(report))
    }

    fn place(&self) -> Option<Place> {
        Place::of(self, &self.model, Some(&self.board))
    }

    fn compile(&self) -> anyhow::Result<(CompileReport, FirmwareImage)> {
        if let Some(folder) = &self.output {
            check_folder(folder, self.force)?;
        }
        let (model, calibrated) = self.model.calibrate(&Named {
            board: Some(&self.board),
            ..Named::default()
        })?;
        let mut board = self.board.find(&model)?;
        // A budget of RAM is for what an inference needs; copies take all that there is.
        let has_ram_budget = self.budget.is_some_and(|budget| budget.ram_bytes.is_some());
        board.layout.copy_weights &= !has_ram_budget;
        let kernels = self.kernels.unwrap_or(board.kernels);
        let base = Attempt {
            choice: self.model.choose(&model, &calibrated)?,
            schedule: self.model.schedule(&model),
        };
        let build = |attempt: &Attempt| -> anyhow::Result<_> {
            let compiled = calibrated.compile(&model, attempt.choice.clone(), &attempt.schedule)?;
            let generated = match self.kernels {
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
        let measure = |attempt: &Attempt| -> anyhow::Result<_> {
            let probe = Probe::new(&model, &calibrated)?;
            let (base, schedule) = (&attempt.choice.precision, &attempt.schedule);
            let bars = Bars::default();
            Ok(budget::sensitivities(
                &model,
                &calibrated,
                &probe,
                base,
                schedule,
                &bars,
            )?)
        };
        let pins = model.description.quantization.pins.keys().cloned();
        let (_, (compiled, generated, image), traded) = budget::fit(
            self.budget.unwrap_or_default(),
            base,
            &pins.collect::<Vec<_>>(),
            build,
            measure,
        )?;
        if let Some(folder) = &self.output {
            self.write_crate(&generated, &compiled, folder)?;
        }
        let prediction = self.predict(&model, &board, &compiled)?;
        let latency = match kernels == board.kernels {
            true => {
                let shapes = shapes(&compiled.program(), &generated, &board);
                Estimate::of(&board, &shapes)
            }
            false => None,
        };
        let notes = Notes::new(&model, &calibrated, &compiled)?;
        let report = CompileReport {
            model: model.description.name,
            board: board.name.clone(),
            kernels: kernels.name(),
            crate_folder: self.output.clone(),
            comparison: ComparisonRow {
                images: compiled.comparison.images,
                max_abs_diff: compiled.comparison.max_abs_diff,
                same_top1: compiled.comparison.same_top1,
            },
            steps: steps(&compiled, latency.as_ref(), prediction.as_ref()),
            budget: budgeted(&compiled, &board, &image.sizes),
            traded,
            slow_steps: slow_steps(&compiled.program(), kernels),
            notes,
            arena_lower_bound: compiled.memory.lower_bound as u64,
            arena_is_optimal: compiled.memory.optimal,
            latency,
            prediction,
        };
        Ok((report, image))
    }

    fn write_crate(
        &self,
        generated: &Generated,
        compiled: &Compiled,
        folder: &Path,
    ) -> anyhow::Result<()> {
        let kernels = KernelsFor::find(folder, None)?;
        let dependency = Package::dependency(KernelVariant::Portable, &kernels.folder);
        let package = Package {
            kernel_files: kernels.files,
            is_forced: self.force,
            ..Package::of_firmware(&compiled.description, &dependency)
        };
        generated.write_package(folder, &package)?;
        Ok(())
    }

    /// Predicts the latency of an inference, if the budget limits it.
    fn predict(
        &self,
        model: &Model,
        board: &Board,
        compiled: &Compiled,
    ) -> anyhow::Result<Option<Predicted>> {
        let budget = self.budget.unwrap_or_default();
        if budget.latency_us.is_none() {
            return Ok(None);
        }
        let picture = self.model.picture(model, None)?;
        let pixels = images::load(&picture, &model.description.input)?;
        let session = SessionArgs::default();
        let predicted = predict(board, compiled, &session, (&picture, &pixels))?;
        predicted.check(&budget)?;
        Ok(Some(predicted))
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
