//! The option that writes a record, and the conditions of one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tadpool_boards::{Board, KernelVariant, Unit};
use tadpool_compiler::compile::{Compiled, Model};
use tadpool_compiler::import::onnx;
use tadpool_image::hash;
use tadpool_latency::bound::Bound;
use tadpool_probe::record::{Figure, Origin, Provenance, Record};

use super::board::BoardImage;
use super::model::MODEL_FILE;
use super::predict::Predicted;
use super::report::table;

/// The figure of a latency that a board's counter measured.
pub(crate) const MEASURED: &str = "latency";
/// The figure of one that was predicted.
pub(crate) const PREDICTED: &str = "predicted latency";

#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Write a record to a file: figures, and all that they depend on, as JSON for `tadpool
    /// compare`, `tadpool energy` and `tadpool report`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// The conditions of the figures, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conditions(BTreeMap<String, String>);

impl RecordArgs {
    /// The file that is written, if one is asked for.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.record.as_deref()
    }

    /// Writes a record of `command`, if one is asked for.
    pub(crate) fn write(
        &self,
        command: &str,
        conditions: impl FnOnce() -> anyhow::Result<Conditions>,
        figures: Vec<Figure>,
        result: &impl Serialize,
    ) -> anyhow::Result<()> {
        let Some(path) = &self.record else {
            return Ok(());
        };
        let Conditions(conditions) = conditions()?;
        let record = Record::new(command, conditions, figures, serde_json::to_value(result)?);
        Ok(record.write(path)?)
    }
}

impl Conditions {
    /// Those of whatever is done with a model.
    pub(crate) fn of(model: &Model, compiled: &Compiled) -> anyhow::Result<Self> {
        let mut contents = Vec::new();
        for file in onnx::files(&model.description.onnx) {
            contents.push(tadpool_input::read(&file, MODEL_FILE)?);
        }
        let quantized = compiled.generate(KernelVariant::Portable);
        let parts = [
            quantized.model_rs.as_bytes(),
            quantized.tables_rs.as_bytes(),
            &quantized.weights,
        ];
        let mut conditions = Self(BTreeMap::new());
        conditions.add("tool", format!("tadpool {}", env!("CARGO_PKG_VERSION")));
        conditions.add("model", compiled.description.name.clone());
        conditions.add("model_sha256", hash::sha256(contents));
        conditions.add("quantized_sha256", hash::sha256(parts));
        conditions.add("kernels_sha256", hash::of_kernels());
        Ok(conditions)
    }

    /// With those of a board.
    pub(crate) fn on(mut self, board: &Board) -> Self {
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
    pub(crate) fn image(mut self, image: &BoardImage) -> anyhow::Result<Self> {
        self.add("image_sha256", hash::sha256([image.bytes()?]));
        Ok(self)
    }

    /// With those of a session: the chip as it was found.
    pub(crate) fn session(mut self, found: &Provenance) -> Self {
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
    pub(crate) fn predicted(mut self, predicted: Option<&Predicted>) -> Self {
        if let Some(predicted) = predicted {
            self.add("memories", predicted.memories.clone());
        }
        self
    }

    /// With the picture or the folder of images.
    pub(crate) fn images(mut self, path: &Path) -> Self {
        let name = path.file_name().unwrap_or(path.as_os_str());
        self.add("images", name.to_string_lossy().into_owned());
        self
    }

    pub(crate) fn add(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }
}

/// The figures of a prediction: the whole, and each step.
pub(crate) fn of_prediction(predicted: &Predicted) -> Vec<Figure> {
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
pub(crate) const fn origin(unit: Unit) -> Origin {
    match unit {
        Unit::Instructions => Origin::Counted,
        Unit::Cycles | Unit::Ticks => Origin::Measured,
    }
}

/// A record's figures that are of the whole and of no step, as a table.
pub(crate) fn summary(record: &Record) -> String {
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
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        let digits = super::report::grouped(value.abs() as u64);
        return format!("{}{digits}", if value < 0.0 { "-" } else { "" });
    }
    let decimals = (3.0 - value.abs().max(1e-9).log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.decimals$}")
}
