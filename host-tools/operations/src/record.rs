//! Records: their conditions, and the figures of predictions.

use std::collections::BTreeMap;
use std::path::Path;

use tadpool_boards::{Board, KernelVariant, Unit};
use tadpool_compiler::compile::{Compiled, Model};
use tadpool_image::hash;
use tadpool_latency::bound::Bound;
use tadpool_probe::record::{Figure, Origin, Provenance, Record};

use crate::OperationError;
use crate::board_image::BoardImage;
use crate::predict::Predicted;
use crate::table::{grouped, table};

/// The figure of a latency that a board's counter measured.
pub const MEASURED: &str = "latency";
/// The figure of one that was predicted.
pub const PREDICTED: &str = "predicted latency";

/// The conditions of the figures, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions(BTreeMap<String, String>);

impl Conditions {
    /// Those of whatever is done with a model.
    pub fn of(model: &Model, compiled: &Compiled) -> Self {
        let quantized = compiled.generate(KernelVariant::Portable);
        let parts = [
            quantized.model_rs.as_bytes(),
            quantized.tables_rs.as_bytes(),
            &quantized.weights,
        ];
        let mut conditions = Self(BTreeMap::new());
        conditions.add("tool", format!("tadpool {}", env!("CARGO_PKG_VERSION")));
        conditions.add("model", compiled.description.name.clone());
        conditions.add("model_sha256", hash::sha256([&model.files.onnx]));
        conditions.add("quantized_sha256", hash::sha256(parts));
        conditions.add("kernels_sha256", hash::of_kernels());
        conditions
    }

    /// With those of a board.
    pub fn on(mut self, board: &Board) -> Self {
        self.add("board", board.name.clone());
        self.add("chip", board.chip.clone());
        self.add("core", board.core.clone());
        self.add("kernels", board.kernels.name().to_owned());
        if let Some(clock) = &board.clock {
            self.add("clock_hz", clock.core_hz.to_string());
        }
        self
    }

    /// With those of an image.
    ///
    /// # Errors
    /// The image cannot be read.
    pub fn image(mut self, image: &BoardImage) -> Result<Self, OperationError> {
        self.add("image_sha256", hash::sha256([image.bytes()?]));
        Ok(self)
    }

    /// With those of a session: the chip as it was found.
    pub fn session(mut self, found: &Provenance) -> Self {
        self.add("runner", found.runner.to_owned());
        self.add("counter", found.counter.clone());
        if let Some(setup) = found.setup {
            self.add("clock_hz", setup.core_hz.to_string());
        }
        if let Some(conditions) = found.conditions() {
            self.add("as_found", conditions);
        }
        self
    }

    /// With those of a prediction.
    pub fn predicted(mut self, predicted: Option<&Predicted>) -> Self {
        if let Some(predicted) = predicted {
            self.add("memories", predicted.memories.clone());
        }
        self
    }

    /// With the picture or the folder of images.
    pub fn images(mut self, path: &Path) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str());
        self.add("images", name.to_string_lossy().into_owned());
        self
    }

    /// With another one.
    pub fn add(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }
}

impl From<Conditions> for BTreeMap<String, String> {
    fn from(Conditions(conditions): Conditions) -> Self {
        conditions
    }
}

/// The figures of a prediction: the whole, and each step.
pub fn of_prediction(predicted: &Predicted) -> Vec<Figure> {
    let error_percent = match predicted.bound {
        Bound::Validated { worst_percent, .. } => Some(worst_percent),
        Bound::NotValidated => None,
    };
    let figure = |name: &str, value, unit| Figure {
        error_percent,
        ..Figure::lower(name, Origin::Predicted, value, unit)
    };
    let mut figures = Vec::new();
    figures.extend(predicted.ms.map(|ms| figure(PREDICTED, ms, "ms")));
    let total = predicted.total.cycles as f64;
    figures.push(figure("predicted cycles", total, "cycles"));
    for step in &predicted.steps {
        let name = format!("{}/predicted cycles", step.name);
        figures.push(figure(&name, step.split.cycles as f64, "cycles"));
    }
    figures
}

/// Where costs of a board in `unit` are from.
pub const fn origin(unit: Unit) -> Origin {
    match unit {
        Unit::Instructions => Origin::Counted,
        Unit::Cycles | Unit::Ticks => Origin::Measured,
    }
}

/// A record's figures that are of the whole and of no step, as a table.
pub fn summary(record: &Record) -> String {
    let mut rows = table(["figure", "", "value", "unit"], 2);
    let whole = record.figures.iter().filter(|it| !it.name.contains('/'));
    for figure in whole {
        rows.add_row([
            figure.name.clone(),
            figure.origin.to_string(),
            number(figure.value),
            figure.unit.clone(),
        ]);
    }
    rows.to_string()
}

/// A number with as many digits as are worth reading.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        let digits = grouped(value.abs() as u64);
        return format!("{}{digits}", if value < 0.0 { "-" } else { "" });
    }
    let decimals = (3.0 - value.abs().max(1e-9).log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.decimals$}")
}
