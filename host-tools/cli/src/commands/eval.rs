//! `tadpool eval`.

use std::fmt;
use std::time::Instant;

use anyhow::bail;
use clap::{Args, ValueEnum};
use rayon::prelude::*;
use serde::Serialize;
use tadpool_compiler::compile::{Compiled, Model, Quality};
use tadpool_compiler::evaluate::{Evaluation, agreement, predicted};
use tadpool_compiler::given::images::{self, ImageFile};
use tadpool_compiler::place::program::Arena;
use tadpool_compiler::progress::Progress as _;
use tadpool_probe::record::{Figure, Origin};
use tadpool_probe::trace::Trace;

use super::board::{BoardArgs, SessionArgs};
use super::data::DataArgs;
use super::model::CompileArgs;
use super::named::Named;
use super::progress::Bars;
use super::record::{Conditions, RecordArgs};
use super::report::{Rows, percent, table};

#[derive(Debug, Args)]
pub(crate) struct Eval {
    #[command(flatten)]
    model: CompileArgs,
    #[command(flatten)]
    board: BoardArgs,
    #[command(flatten)]
    session: SessionArgs,
    /// Where to run; several are compared with the first.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "float,int8")]
    on: Vec<Target>,
    #[command(flatten)]
    data: DataArgs,
    /// Print how many images of each class are taken for which.
    #[arg(long)]
    confusion: bool,
    #[command(flatten)]
    record: RecordArgs,
}

/// Columns of a terminal for the classes of a confusion matrix.
const MATRIX_COLUMNS: usize = 78;
/// Most pairs of classes that are listed where a matrix has no room.
const LISTED_PAIRS: usize = 50;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Target {
    /// The original ONNX file, run by tract.
    Float,
    /// The host's simulation, with the firmware's own kernels.
    Int8,
    /// The firmware itself on the emulated board; every step of every image is
    /// checked against the host's simulation.
    Emulator,
    /// The same on the board, whether it is emulated or not.
    Board,
}

impl Target {
    fn describe(self) -> &'static str {
        match self {
            Self::Float => "float (tract)",
            Self::Int8 => "int8 (host simulation)",
            Self::Emulator => "int8 (emulated board)",
            Self::Board => "int8 (board)",
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct EvalReport {
    model: String,
    labels: Vec<String>,
    runs: Vec<RunRow>,
    /// Nodes that were left out or moved on import, and what `float` means if the file rounds.
    import: Vec<String>,
    /// Signal to noise of the integer network.
    quality: Quality,
    #[serde(skip)]
    show_confusion: bool,
}

#[derive(Debug, Serialize)]
struct RunRow {
    on: Target,
    top1: f64,
    #[serde(flatten)]
    evaluation: Evaluation,
    /// Share of images with the first run's prediction.
    agreement: f64,
    images_per_second: f64,
}

impl Eval {
    pub(crate) fn run(self) -> anyhow::Result<EvalReport> {
        let is_on_board = |on: &Target| matches!(on, Target::Emulator | Target::Board);
        let has_board = self.on.iter().any(is_on_board);
        let options = self.session.options();
        let (model, calibrated, compiled) = self.model.compile_calibrated(&Named {
            board: has_board.then_some(&self.board),
            probe: has_board.then_some(&options),
            data: Some(&self.data),
            has_classes: true,
            files: [self.record.path(), None],
            ..Named::default()
        })?;
        let description = &model.description;
        let (folder, images) = self.data.list(description)?;
        let labels: Vec<usize> = images.iter().filter_map(|image| image.label).collect();

        let mut runs: Vec<RunRow> = Vec::with_capacity(self.on.len());
        let mut first: Option<Vec<usize>> = None;
        for &on in &self.on {
            let start = Instant::now();
            let predictions = match on {
                Target::Emulator | Target::Board => {
                    self.on_board(on, &model, &compiled, &images)?
                }
                Target::Float | Target::Int8 => on_host(on, &model, &compiled, &images)?,
            };
            let seconds = start.elapsed().as_secs_f64();
            let evaluation = Evaluation::new(description.labels.len(), &labels, &predictions);
            runs.push(RunRow {
                on,
                top1: evaluation.top1(),
                evaluation,
                agreement: agreement(first.as_ref().unwrap_or(&predictions), &predictions),
                images_per_second: images.len() as f64 / seconds,
            });
            first.get_or_insert(predictions);
        }
        let report = EvalReport {
            model: description.name.clone(),
            labels: description.labels.clone(),
            runs,
            import: model.notes.clone(),
            quality: Quality::of(&model, &calibrated, &compiled)?,
            show_confusion: self.confusion,
        };
        let conditions = || {
            let mut conditions = Conditions::of(&model, &compiled).images(folder);
            conditions.add("number_of_images", images.len().to_string());
            let is_on_board = |on: &Target| matches!(on, Target::Emulator | Target::Board);
            Ok(match self.on.iter().any(is_on_board) {
                true => conditions.on(&self.board.find(&model)?),
                false => conditions,
            })
        };
        self.record
            .write("eval", conditions, report.figures(), &report)?;
        Ok(report)
    }
}

impl EvalReport {
    /// Its figures for a record.
    fn figures(&self) -> Vec<Figure> {
        let share =
            |name: String, share: f64| Figure::higher(name, Origin::Computed, 100.0 * share, "%");
        let of = |run: &RunRow| {
            let on = run.on.describe();
            [
                share(format!("top-1, {on}"), run.top1),
                share(format!("same prediction, {on}"), run.agreement),
            ]
        };
        self.runs.iter().flat_map(of).collect()
    }
}

/// The predicted class of every image, on all cores of the host.
fn on_host(
    on: Target,
    model: &Model,
    compiled: &Compiled,
    images: &[ImageFile],
) -> anyhow::Result<Vec<usize>> {
    let bars = Bars::default();
    let input = &model.description.input;
    let program = compiled.program();
    bars.begin(on.describe(), images.len());
    let predictions = images
        .par_iter()
        .map_init(Arena::default, |arena, image| {
            let pixels = images::load(&image.path, input)?;
            let class = if on == Target::Float {
                predicted(&model.reference.run(&images::normalise(&pixels, input))?)
            } else {
                predicted(&program.infer(&pixels, arena, &mut ())?)
            };
            bars.advance();
            Ok(class)
        })
        .collect();
    bars.end();
    predictions
}

impl Eval {
    /// The predicted class of every image on the board; an emulated one runs once
    /// for each core of the host.
    fn on_board(
        &self,
        on: Target,
        model: &Model,
        compiled: &Compiled,
        images: &[ImageFile],
    ) -> anyhow::Result<Vec<usize>> {
        let built = self.board.build(model, compiled)?;
        if on == Target::Emulator && !built.is_emulated() {
            bail!(
                "board `{}` is not emulated; evaluate `--on board`",
                built.board.name
            );
        }
        let bars = Bars::default();
        let program = compiled.program();
        bars.begin(on.describe(), images.len());
        let boards = match built.is_emulated() {
            true => rayon::current_num_threads(),
            false => 1,
        };
        let share = images.len().div_ceil(boards).max(1);
        let predictions: anyhow::Result<Vec<Vec<usize>>> = images
            .par_chunks(share)
            .map(|images| {
                let mut session = built.start(&self.session.reach(), &bars)?;
                let mut arena = Arena::default();
                let mut predictions = Vec::with_capacity(images.len());
                for image in images {
                    let pixels = images::load(&image.path, &model.description.input)?;
                    let inference = session.infer(&pixels)?;
                    self.session.show_log(&built, &mut session)?;
                    let simulated = Trace::simulate(&program, &pixels, &mut arena)?;
                    built.check(
                        &mut session,
                        &program,
                        (&simulated, &inference),
                        &image.path,
                    )?;
                    predictions.push(predicted(&inference.logits));
                    bars.advance();
                }
                session.shut_down()?;
                Ok(predictions)
            })
            .collect();
        bars.end();
        Ok(predictions?.concat())
    }
}

impl fmt::Display for EvalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["on", "top-1", "correct", "images", "agreement", "images/s"];
        let mut rows = table(header, 1);
        for run in &self.runs {
            rows.add_row([
                run.on.describe().to_owned(),
                percent(run.top1),
                run.evaluation.correct.to_string(),
                run.evaluation.images.to_string(),
                percent(run.agreement),
                format!("{:.0}", run.images_per_second),
            ]);
        }
        writeln!(f, "{}\n{rows}", self.model)?;
        if self.show_confusion {
            for run in &self.runs {
                writeln!(f, "{}", self.confusion(run))?;
            }
        }
        for note in &self.import {
            writeln!(f, "note: {note}")?;
        }
        if !self.quality.is_enough() {
            writeln!(f, "note: {}", self.quality)?;
        }
        Ok(())
    }
}

impl EvalReport {
    fn confusion(&self, run: &RunRow) -> Rows {
        // A class' column is as wide as its name, so that few have room.
        let wide: usize = self
            .labels
            .iter()
            .map(|label| label.chars().count() + 2)
            .sum();
        if wide > MATRIX_COLUMNS {
            return self.confused(run);
        }
        let header =
            std::iter::once("label \\ prediction").chain(self.labels.iter().map(String::as_str));
        let mut rows = table(header, 1);
        for (label, counts) in self.labels.iter().zip(&run.evaluation.confusion) {
            let counts = counts.iter().map(usize::to_string);
            rows.add_row(std::iter::once(label.clone()).chain(counts));
        }
        rows
    }

    /// The pairs of classes that are confused most often.
    fn confused(&self, run: &RunRow) -> Rows {
        let mut pairs = Vec::new();
        for (label, counts) in run.evaluation.confusion.iter().enumerate() {
            let wrong = counts.iter().enumerate();
            let wrong = wrong.filter(|&(class, &count)| class != label && count > 0);
            pairs.extend(wrong.map(|(class, &count)| (count, label, class)));
        }
        pairs.sort_unstable_by_key(|&(count, label, class)| (usize::MAX - count, label, class));
        let mut rows = table(["label", "taken for", "images"], 2);
        for (count, label, class) in pairs.into_iter().take(LISTED_PAIRS) {
            let name = |class: usize| self.labels.get(class).map_or("?", String::as_str);
            rows.add_row([name(label), name(class), &count.to_string()]);
        }
        rows
    }
}
