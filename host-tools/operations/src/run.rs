//! Pictures that a board classifies, each step compared with the host.

use std::fmt;

use serde::Serialize;
use tadpool_boards::Unit;
use tadpool_compiler::compile::{Compiled, Model};
use tadpool_compiler::evaluate::{label, largest_difference};
use tadpool_compiler::given::images::{self, ImageFile};
use tadpool_compiler::place::program::Arena;
use tadpool_compiler::progress::Progress;
use tadpool_probe::RttLink;
use tadpool_probe::record::{Figure, Origin, Provenance, Record, caveat};
use tadpool_probe::session::Session;
use tadpool_probe::trace::Trace;

use crate::OperationError;
use crate::board_image::{BoardImage, Reach};
use crate::record::{Conditions, MEASURED, origin};
use crate::table::{grouped, table};

/// What a board made of pictures, and what that took.
#[derive(Debug, Serialize)]
pub struct RunReport {
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

/// What was found out, and the chip as it was found if it is a real one.
#[derive(Debug)]
pub struct Ran {
    /// What there is to say of it.
    pub report: RunReport,
    found: Option<Provenance>,
}

/// Has `built`, the image of `compiled`, classify pictures on its board; `listen` is called after
/// each.
///
/// # Errors
/// The board cannot be reached, or computes something else than the host.
pub fn run(
    model: &Model,
    compiled: &Compiled,
    (built, reach): (&BoardImage, &Reach),
    pictures: &[ImageFile],
    mut listen: impl FnMut(&mut Session<RttLink>),
    progress: &impl Progress,
) -> Result<Ran, OperationError> {
    let input = &model.description.input;
    let mut session = built.start(reach, progress)?;
    let program = compiled.program();
    let labels = &model.description.labels;
    let mut arena = Arena::default();
    let mut stack_used_bytes = 0;
    let mut rows = Vec::with_capacity(pictures.len());
    for picture in pictures {
        progress.go_on()?;
        let pixels = picture.load(input)?;
        let inference = session.infer(&pixels)?;
        listen(&mut session);
        let simulated = Trace::simulate(&program, &pixels, &mut arena)?;
        built.check(
            &mut session,
            &program,
            (&simulated, &inference),
            &picture.path,
        )?;
        let float_logits = model.reference.run(&images::normalise(&pixels, input))?;
        let logits = program.scores(&simulated.logits, &mut arena)?;
        stack_used_bytes = inference.stack_bytes;
        rows.push(ImageRow {
            file: picture.path.display().to_string(),
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
    Ok(Ran { report, found })
}

impl Ran {
    /// Its record.
    ///
    /// # Errors
    /// The image cannot be read.
    pub fn record(
        &self,
        model: &Model,
        compiled: &Compiled,
        built: &BoardImage,
    ) -> Result<Record, OperationError> {
        let conditions = Conditions::of(model, compiled)
            .on(&built.board)
            .image(built)?;
        let conditions = match &self.found {
            Some(found) => conditions.session(found),
            None => conditions,
        };
        Ok(Record::new(
            "run",
            conditions.into(),
            self.report.figures(),
            serde_json::to_value(&self.report)?,
        ))
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
