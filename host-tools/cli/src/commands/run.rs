//! `tadpool run`.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tadpool_compiler::evaluate::{label, largest_difference};
use tadpool_compiler::given::images;
use tadpool_compiler::place::program::Arena;
use tadpool_probe::trace::Trace;

use tadpool_boards::Unit;
use tadpool_probe::record::{Figure, Origin, Provenance, caveat};

use super::board::{BoardArgs, SessionArgs};
use super::model::CompileArgs;
use super::named::Named;
use super::record::{Conditions, MEASURED, RecordArgs, origin};
use super::report::{grouped, table};

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    model: CompileArgs,
    #[command(flatten)]
    board: BoardArgs,
    #[command(flatten)]
    session: SessionArgs,
    /// A firmware of one's own that answers by `tadpool-link`, instead of tadpool's. MODEL is
    /// to be compiled as its model was.
    #[arg(long, value_name = "FILE")]
    elf: Option<PathBuf>,
    /// Images of the network's input size.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    record: RecordArgs,
}

#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    model: String,
    board: String,
    core: String,
    unit: Unit,
    images: Vec<ImageRow>,
    arena_bytes: u64,
    stack_used_bytes: u32,
    code_bytes: u64,
    weights_bytes: u64,
    macs: u64,
    steps: usize,
}

#[derive(Debug, Serialize)]
struct ImageRow {
    file: String,
    label: String,
    logits: Vec<f64>,
    float_label: String,
    float_logits: Vec<f32>,
    /// Largest difference of a logit between the board and tract.
    largest_difference: f64,
    /// Its cost, in the report's unit.
    cost: u64,
    /// Of a board that is not emulated.
    latency_us: Option<f64>,
}

impl Run {
    pub(crate) fn run(self) -> anyhow::Result<RunReport> {
        let (model, compiled) = self.model.compile(&Named {
            board: Some(&self.board),
            probe: Some(&self.session.options()),
            firmware: self.elf.as_deref(),
            pictures: &self.images,
            files: [self.record.path(), None],
            ..Named::default()
        })?;
        let input = &model.description.input;
        let built = match &self.elf {
            Some(elf) => self.board.own(elf, &model, &compiled)?,
            None => self.board.build(&model, &compiled)?,
        };
        let mut session = built.start(&self.session)?;
        let program = compiled.program();
        let labels = &model.description.labels;
        let mut arena = Arena::default();
        let mut stack_used_bytes = 0;
        let mut rows = Vec::with_capacity(self.images.len());
        for path in &self.images {
            let pixels = images::load(path, input)?;
            let inference = session.infer(&pixels)?;
            built.show_log(&self.session, &mut session)?;
            let simulated = Trace::simulate(&program, &pixels, &mut arena)?;
            built.check(&mut session, &program, (&simulated, &inference), path)?;
            let float_logits = model.reference.run(&images::normalise(&pixels, input))?;
            let logits = program.scores(&simulated.logits, &mut arena)?;
            stack_used_bytes = inference.stack_bytes;
            rows.push(ImageRow {
                file: path.display().to_string(),
                label: label(labels, &logits),
                float_label: label(labels, &float_logits),
                largest_difference: largest_difference(&logits, &float_logits),
                cost: built.board.cost(inference.ticks),
                latency_us: built.board.latency_us(inference.ticks),
                logits,
                float_logits,
            });
        }
        let found = match built.is_emulated() {
            true => None,
            false => Some(Provenance::of(&built.board, session.hello(), built.hash()?)),
        };
        session.shut_down()?;
        let report = RunReport {
            model: model.description.name.clone(),
            board: built.board.name.clone(),
            core: built.board.core.clone(),
            unit: built.board.unit(),
            images: rows,
            arena_bytes: compiled.memory.arena_size as u64,
            stack_used_bytes,
            code_bytes: built.image.sizes.code_bytes,
            weights_bytes: built.image.sizes.weights_bytes,
            macs: compiled.quantized.macs(),
            steps: program.steps.len(),
        };
        let conditions = || {
            let conditions = Conditions::of(&model, &compiled)?.on(&built.board);
            let conditions = conditions.image(&built)?;
            Ok(match &found {
                Some(found) => conditions.session(found),
                None => conditions,
            })
        };
        self.record
            .write("run", conditions, report.figures(), &report)?;
        Ok(report)
    }
}

impl RunReport {
    /// Its figures for a record.
    fn figures(&self) -> Vec<Figure> {
        let unit = self.unit.name();
        let bytes =
            |name: &str, origin, bytes: u64| Figure::lower(name, origin, bytes as f64, "bytes");
        let mut figures = vec![
            bytes("stack", origin(self.unit), self.stack_used_bytes.into()),
            bytes("arena", Origin::Computed, self.arena_bytes),
            bytes("code", Origin::Computed, self.code_bytes),
            bytes("weights", Origin::Computed, self.weights_bytes),
        ];
        for (number, image) in (1..).zip(&self.images) {
            let name = |what: &str| format!("image {number}/{what}");
            let figure = |what, origin, value, unit| Figure::lower(name(what), origin, value, unit);
            figures.push(figure(unit, origin(self.unit), image.cost as f64, unit));
            if let Some(us) = image.latency_us {
                figures.push(figure(MEASURED, Origin::Measured, us / 1e3, "ms"));
            }
            let difference = image.largest_difference;
            figures.push(figure(
                "distance to float",
                Origin::Computed,
                difference,
                "logit",
            ));
        }
        figures
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} on {} ({})", self.model, self.board, self.core)?;
        let header = [
            "image",
            "board says",
            "tract says",
            "logits within",
            self.unit.name(),
            "ms",
        ];
        let mut rows = table(header, 3);
        for image in &self.images {
            rows.add_row([
                image.file.clone(),
                image.label.clone(),
                image.float_label.clone(),
                format!("{:.3}", image.largest_difference),
                grouped(image.cost),
                image
                    .latency_us
                    .map_or_else(|| "-".to_owned(), |us| format!("{:.3}", us / 1e3)),
            ]);
        }
        writeln!(f, "{rows}\n")?;
        if let Some(image) = self.images.first() {
            writeln!(
                f,
                "{:.2} {} per multiply-accumulate ({})",
                image.cost as f64 / self.macs.max(1) as f64,
                self.unit.name(),
                caveat(self.unit)
            )?;
        }
        writeln!(
            f,
            "all {} steps wrote the same bytes as the host simulation",
            self.steps
        )?;
        writeln!(
            f,
            "RAM: arena {} bytes, stack used {} bytes; flash: code {} bytes, weights and tables {} bytes",
            grouped(self.arena_bytes),
            grouped(self.stack_used_bytes.into()),
            grouped(self.code_bytes),
            grouped(self.weights_bytes),
        )
    }
}
