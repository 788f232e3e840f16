//! `tadpool bench`.

mod boards;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Serialize;
use tadpool_boards::{Board, Runner, Unit};
use tadpool_compiler::budget::Budget;
use tadpool_compiler::compile::{Compiled, Model};
use tadpool_compiler::generate::slow_steps;
use tadpool_compiler::given::images;
use tadpool_compiler::output;
use tadpool_compiler::place::program::Arena;
use tadpool_operations::OperationError;
use tadpool_operations::board_image::BoardImage;
use tadpool_operations::predict::{Predicted, PredictionReport, predict};
use tadpool_probe::record::{Figure, Provenance, Spread, caveat};
use tadpool_probe::session::Inference;
use tadpool_probe::trace::Trace;

use boards::BoardsReport;

use super::board::{BoardArgs, SessionArgs, find_boards};
use super::model::CompileArgs;
use super::named::Named;
use super::progress::Bars;
use super::record::{Conditions, MEASURED, RecordArgs, of_prediction, origin};
use super::report::{Report, grouped, href, table};
use crate::print;

/// How measurements of a board come to others.
const SENDING: &str = "To send it: record it with `--record FILE`, and put what `tadpool report FILE \
     --table`\nprints into an issue of tadpool's repository, with the file.";

#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    model: CompileArgs,
    #[command(flatten)]
    board: BoardArgs,
    #[command(flatten)]
    session: SessionArgs,
    /// The image to run; the first calibration image if not given.
    #[arg(long, value_name = "IMAGE")]
    image: Option<PathBuf>,
    /// Inferences that are measured.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// Inferences before those, which fill the caches.
    #[arg(long, value_name = "N", default_value_t = 2)]
    warm_up: u32,
    /// Predict the board's latency without it: no probe, no chip.
    #[arg(long)]
    predict: bool,
    /// Predict several boards, with one execution for those that are alike: names, board
    /// files, or `all`.
    #[arg(long, value_name = "BOARD", value_delimiter = ',', requires = "predict",
          conflicts_with_all = ["board", "chip", "html", "budget", "record"])]
    boards: Vec<String>,
    /// Predict those by the shapes of the steps, as `fit` does: at once, without an execution.
    #[arg(long, requires = "boards")]
    by_shapes: bool,
    /// Fail if the latency is predicted to be more than this.
    #[arg(long, value_name = "ms=150", value_parser = latency_budget)]
    budget: Option<Budget>,
    /// Write the predicted latency of each step as a page that a browser shows without any
    /// other file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Link the page that `tadpool check --html` writes.
    #[arg(long, value_name = "FILE", requires = "html")]
    link: Option<PathBuf>,
    #[command(flatten)]
    record: RecordArgs,
}

#[derive(Debug, Serialize)]
pub(crate) struct BenchReport {
    #[serde(flatten)]
    provenance: Provenance,
    picture: PathBuf,
    runs: u32,
    warm_up: u32,
    unit: Unit,
    /// Of a whole inference.
    cost: Spread,
    latency_us: Option<Latency>,
    macs: u64,
    cost_per_mac: f64,
    stack_used_bytes: u32,
    steps: Vec<StepRow>,
    /// The predicted latency, if there is a model of its core.
    prediction: Option<Predicted>,
}

/// Time of a whole inference, by a counter of the chip.
#[derive(Debug, Clone, Copy, Serialize)]
struct Latency {
    min: f64,
    median: f64,
    p95: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct StepRow {
    name: String,
    cost: Spread,
    macs: u64,
    elements: u64,
}

/// Nothing is given up here for memory, as it is when a model is compiled.
fn latency_budget(text: &str) -> Result<Budget, String> {
    let budget: Budget = text.parse().map_err(|error| format!("{error}"))?;
    match (budget.flash_bytes, budget.ram_bytes) {
        (None, None) => Ok(budget),
        _ => Err("only ms= is compared here; `tadpool compile` keeps flash= and ram=".into()),
    }
}

impl Bench {
    pub(crate) fn run(self) -> anyhow::Result<Box<dyn Report>> {
        let (model, compiled) = self.model.compile(&Named {
            board: Some(&self.board),
            pictures: self.image.as_slice(),
            files: [self.record.path(), self.html.as_deref()],
            ..Named::default()
        })?;
        let picture = self.model.picture(&model, self.image.as_deref())?;
        let pixels = images::load(&picture, &model.description.input)?;
        if !self.boards.is_empty() {
            let boards = find_boards(&self.boards)?;
            let shown = (&*picture, &*pixels);
            let report = match self.by_shapes {
                true => BoardsReport::by_shapes(boards, &compiled, shown.0)?,
                false => BoardsReport::predict(boards, &compiled, &self.session, shown)?,
            };
            return Ok(Box::new(report));
        }
        let board = self.board.find(&model)?;
        for step in slow_steps(&compiled.program(), board.kernels) {
            print::note(&step.to_string());
        }
        let needs_probe = matches!(board.runner, Runner::Probe(_));
        if self.predict || (needs_probe && !self.session.has_probe()) {
            if !self.predict {
                print::note("no debug probe is connected: the latency is predicted, not measured");
            }
            let report = PredictionReport {
                model: compiled.description.name.clone(),
                prediction: self.predict(&board, &compiled, (&picture, &pixels))?,
                picture,
            };
            let predicted = Some(&report.prediction);
            let conditions = || {
                let conditions = Conditions::of(&model, &compiled).on(&board);
                Ok(conditions.predicted(predicted).images(&report.picture))
            };
            let figures = of_prediction(&report.prediction);
            self.record.write("bench", conditions, figures, &report)?;
            self.keep(&compiled, predicted)?;
            return Ok(Box::new(report));
        }
        let (report, built) = self.measure(&model, &compiled, (picture, &pixels))?;
        let conditions = || {
            let conditions = Conditions::of(&model, &compiled).on(&built.board);
            let conditions = conditions.image(&built)?.session(&report.provenance);
            let predicted = report.prediction.as_ref();
            Ok(conditions.predicted(predicted).images(&report.picture))
        };
        self.record
            .write("bench", conditions, report.figures(), &report)?;
        self.keep(&compiled, report.prediction.as_ref())?;
        Ok(Box::new(report))
    }

    /// Writes the page, if it is asked for, and compares with the budget.
    fn keep(&self, compiled: &Compiled, predicted: Option<&Predicted>) -> anyhow::Result<()> {
        let budget = self.budget.unwrap_or_default();
        let Some(predicted) = predicted else {
            let is_needed = self.html.is_some() || budget.latency_us.is_some();
            ensure!(
                !is_needed,
                "`--html` and `--budget` need a prediction, which failed"
            );
            return Ok(());
        };
        if let Some(path) = &self.html {
            let link = self.link.as_deref().map(|to| href(path, to));
            let page = predicted.page(compiled, link.transpose()?);
            output::write(path, tadpool_report::latency(&page)?.as_bytes())?;
        }
        Ok(predicted.check(&budget)?)
    }

    fn predict(
        &self,
        board: &Board,
        compiled: &Compiled,
        shown: (&Path, &[u8]),
    ) -> Result<Predicted, OperationError> {
        predict(
            board,
            compiled,
            self.session.timeout(),
            shown,
            &Bars::default(),
        )
    }

    fn measure(
        &self,
        model: &Model,
        compiled: &Compiled,
        (picture, pixels): (PathBuf, &[u8]),
    ) -> anyhow::Result<(BenchReport, BoardImage)> {
        let built = self.board.build(model, compiled)?;
        let mut session = built.start(&self.session.reach(), &Bars::default())?;
        let program = compiled.program();
        let simulated = Trace::simulate(&program, pixels, &mut Arena::default())?;
        let mut inferences: Vec<Inference> = Vec::new();
        for run in 0..self.warm_up + self.runs {
            let inference = session.infer(pixels).context("measuring")?;
            built.check(&mut session, &program, (&simulated, &inference), &picture)?;
            if run >= self.warm_up {
                inferences.push(inference);
            }
        }
        self.session.show_log(&built, &mut session)?;
        let provenance = Provenance::of(&built.board, session.hello(), built.hash()?);
        session.shut_down()?;

        let board = &built.board;
        let ticks = Spread::of(inferences.iter().map(|inference| inference.ticks));
        let latency_us = |ticks| board.latency_us(ticks).unwrap_or_default();
        let latency = board.latency_us(0).map(|_| Latency {
            min: latency_us(ticks.min),
            median: latency_us(ticks.median),
            p95: latency_us(ticks.p95),
            max: latency_us(ticks.max),
        });
        let layers = compiled.quantized.layers.iter().enumerate();
        let steps = layers.map(|(number, layer)| {
            let ticks = inferences
                .iter()
                .map(|inference| inference.steps[number].ticks);
            StepRow {
                name: layer.name.to_string(),
                cost: Spread::of(ticks).map(|ticks| board.cost(ticks)),
                macs: layer.macs,
                elements: layer.output.elements() as u64,
            }
        });
        let macs = compiled.quantized.macs();
        let cost = ticks.map(|ticks| board.cost(ticks));
        let report = BenchReport {
            provenance,
            picture,
            runs: self.runs,
            warm_up: self.warm_up,
            unit: board.unit(),
            cost,
            latency_us: latency,
            macs,
            cost_per_mac: cost.median as f64 / macs.max(1) as f64,
            stack_used_bytes: inferences
                .iter()
                .map(|one| one.stack_bytes)
                .max()
                .unwrap_or(0),
            steps: steps.collect(),
            prediction: None,
        };
        let prediction = self.predict(board, compiled, (&report.picture, pixels));
        let report = BenchReport {
            // What was measured is worth showing by itself.
            prediction: prediction
                .map_err(|error| print::note(&format!("nothing is predicted: {error:#}")))
                .ok(),
            ..report
        };
        Ok((report, built))
    }
}

impl BenchReport {
    /// Its figures for a record: measured before predicted.
    fn figures(&self) -> Vec<Figure> {
        let (origin, unit) = (origin(self.unit), self.unit.name());
        let cost = |name: String, value: u64| Figure::lower(name, origin, value as f64, unit);
        let mut figures = Vec::new();
        if let Some(latency) = &self.latency_us {
            let ms = |name: &str, us: f64| Figure::lower(name, origin, us / 1e3, "ms");
            figures.push(ms(MEASURED, latency.median));
            figures.push(ms("latency, p95", latency.p95));
        }
        figures.push(cost(unit.to_owned(), self.cost.median));
        let stack = f64::from(self.stack_used_bytes);
        figures.push(Figure::lower("stack", origin, stack, "bytes"));
        let steps = self.steps.iter();
        figures.extend(steps.map(|step| cost(format!("{}/{unit}", step.name), step.cost.median)));
        figures.extend(self.prediction.iter().flat_map(of_prediction));
        figures
    }
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = &self.provenance;
        writeln!(
            f,
            "{} on {} ({}, {}), {} kernels, {}",
            from.model,
            from.board,
            from.chip,
            from.core,
            from.kernels,
            self.picture.display(),
        )?;
        if let Some(conditions) = from.conditions() {
            writeln!(f, "{conditions}")?;
        }
        writeln!(
            f,
            "{} (counter: {}); median of {} runs after {} to warm up; image {}",
            caveat(self.unit),
            from.counter,
            self.runs,
            self.warm_up,
            from.image_hash,
        )?;
        let unit = self.unit.name();
        let header = ["step", unit, "min", "p95", "MACs", "per MAC", "per element"];
        let mut rows = table(header, 1);
        for step in &self.steps {
            let median = step.cost.median as f64;
            let per_mac = match step.macs {
                0 => String::new(),
                macs => format!("{:.3}", median / macs as f64),
            };
            rows.add_row([
                step.name.clone(),
                grouped(step.cost.median),
                grouped(step.cost.min),
                grouped(step.cost.p95),
                grouped(step.macs),
                per_mac,
                format!("{:.1}", median / step.elements.max(1) as f64),
            ]);
        }
        rows.add_row([
            "total".to_owned(),
            grouped(self.cost.median),
            grouped(self.cost.min),
            grouped(self.cost.p95),
            grouped(self.macs),
            format!("{:.3}", self.cost_per_mac),
        ]);
        writeln!(f, "{rows}")?;
        if let Some(latency) = &self.latency_us {
            writeln!(
                f,
                "latency: min {:.3} ms, median {:.3} ms, p95 {:.3} ms, max {:.3} ms",
                latency.min / 1e3,
                latency.median / 1e3,
                latency.p95 / 1e3,
                latency.max / 1e3,
            )?;
        }
        writeln!(
            f,
            "jitter (max - min): {} {unit}; stack used: {} bytes",
            grouped(self.cost.jitter()),
            grouped(self.stack_used_bytes.into()),
        )?;
        let Some(predicted) = &self.prediction else {
            return Ok(());
        };
        writeln!(f, "\n{predicted}")?;
        if self.unit == Unit::Cycles {
            let measured = self.cost.median as f64;
            let more = 100.0 * (predicted.total.cycles as f64 / measured - 1.0);
            writeln!(
                f,
                "measured: {} cycles; the prediction is off by {more:+.1} %",
                grouped(self.cost.median)
            )?;
            writeln!(f, "{SENDING}")?;
        }
        Ok(())
    }
}
