//! What quantization does to a model, with what that depends on.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tadpool_compiler::check::{self, Accuracy, Check, CheckConfig, Share};
use tadpool_compiler::compile::{Calibrated, Compiled, Model};
use tadpool_compiler::given::images::ImageFile;
use tadpool_compiler::given::model_toml::InputDescription;
use tadpool_compiler::progress::Progress;
use tadpool_kernels::checksum::fnv1a;
use tadpool_probe::record::{Figure, Origin, Record};
use tadpool_report::HtmlError;

use crate::OperationError;
use crate::notes::Notes;
use crate::record::Conditions;
use crate::table::{percent, table};

/// Images to check with.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    /// The images.
    pub images: &'a [ImageFile],
    /// Where they are from.
    pub origin: &'a Path,
    /// One of every so many of those was taken.
    pub every: u32,
}

/// What quantization does to a model.
#[derive(Debug, Serialize)]
pub struct CheckReport {
    /// The comparison.
    #[serde(flatten)]
    pub check: Check,
    #[serde(flatten)]
    notes: Notes,
    provenance: Provenance,
    /// Where its page was written, if it was.
    pub html: Option<PathBuf>,
}

/// The conditions of the figures.
#[derive(Debug, Serialize)]
struct Provenance {
    tool: String,
    onnx: PathBuf,
    onnx_bytes: usize,
    /// FNV-1a of the file, 32 bits.
    onnx_checksum: String,
    images: PathBuf,
    every: u32,
    calibration_images: usize,
    largest_difference_to_tract: f32,
}

/// Compares the float network of a model with its integer one.
///
/// # Errors
/// An image cannot be used.
pub fn check(
    model: &Model,
    calibrated: &Calibrated,
    compiled: &Compiled,
    images: Images<'_>,
    config: &CheckConfig,
    progress: &impl Progress,
) -> Result<CheckReport, OperationError> {
    Ok(CheckReport {
        check: check::check(model, compiled, images.images, config, progress)?,
        notes: Notes::new(model, calibrated, compiled)?,
        provenance: Provenance {
            tool: format!("tadpool {}", env!("CARGO_PKG_VERSION")),
            onnx: model.description.onnx.clone(),
            onnx_bytes: model.files.onnx.len(),
            onnx_checksum: format!("{:08x}", fnv1a(&model.files.onnx)),
            images: images.origin.to_owned(),
            every: images.every,
            calibration_images: compiled.comparison.images,
            largest_difference_to_tract: compiled.comparison.max_abs_diff,
        },
        html: None,
    })
}

impl CheckReport {
    /// The page that shows it to people, who may follow `link` to that of the latency.
    ///
    /// # Errors
    /// A picture cannot be drawn.
    pub fn page(&self, input: &InputDescription, link: Option<&str>) -> Result<String, HtmlError> {
        let (notes, pairs) = (self.notes.lines(), self.provenance.pairs());
        tadpool_report::html(&self.check, input, &notes, &pairs, link)
    }

    /// Its record.
    ///
    /// # Errors
    /// It has no JSON.
    pub fn record(&self, model: &Model, compiled: &Compiled) -> Result<Record, OperationError> {
        let mut conditions = Conditions::of(model, compiled).images(&self.provenance.images);
        conditions.add("number_of_images", self.check.images.to_string());
        Ok(Record::new(
            "check",
            conditions.into(),
            figures(&self.check),
            serde_json::to_value(self)?,
        ))
    }
}

/// The figures of a check for a record.
fn figures(check: &Check) -> Vec<Figure> {
    let share = |name: &str, share: &Share| {
        Figure::higher(name, Origin::Computed, 100.0 * share.share, "%")
    };
    let error = check.logit_error;
    let mut figures = vec![Figure::lower(
        "error of the logits",
        Origin::Computed,
        error,
        "logit",
    )];
    figures.extend(
        check
            .agreement
            .iter()
            .map(|it| share("same prediction", it)),
    );
    if let Some(accuracy) = &check.accuracy {
        figures.push(share("top-1, float", &accuracy.float));
        figures.push(share("top-1, integers", &accuracy.integer));
    }
    for step in &check.steps {
        let decibels = step.error.sqnr_db.into_iter();
        let name = format!("{}/signal to noise", step.name);
        figures.extend(decibels.map(|db| Figure::higher(&name[..], Origin::Computed, db, "dB")));
    }
    figures
}

impl Provenance {
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let every = match self.every {
            1 => String::new(),
            every => format!(", one of every {every}"),
        };
        vec![
            ("tool", self.tool.clone()),
            (
                "network",
                format!(
                    "{}, {} bytes, FNV-1a {}",
                    self.onnx.display(),
                    self.onnx_bytes,
                    self.onnx_checksum
                ),
            ),
            ("images", format!("{}{every}", self.images.display())),
            ("calibration", format!("{} images", self.calibration_images)),
            (
                "import",
                format!(
                    "logits at most {:.1e} from those of tract on the calibration images",
                    self.largest_difference_to_tract
                ),
            ),
        ]
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check = &self.check;
        let header = [
            "step",
            "kind",
            "SQNR dB",
            "largest\nerror",
            "\nsteps",
            "clipped",
            "range\nused",
            "cosine",
            "logit error\nalone",
            "\nchanged",
        ];
        let mut rows = table(header, 2);
        for step in &check.steps {
            let error = &step.error;
            rows.add_row([
                step.name.clone(),
                step.kind.to_owned(),
                optional(error.sqnr_db, |db| format!("{db:.1}")),
                format!("{:.4}", error.largest_error),
                optional(error.largest_error_steps, |steps| format!("{steps:.1}")),
                optional(error.clipped, percent),
                optional(error.range_used, percent),
                format!("{:.6}", error.cosine),
                format!("{:.4}", step.alone.logit_error),
                optional(step.alone.changed, |changed| changed.to_string()),
            ]);
        }
        writeln!(f, "{}: float against integers\n{rows}", check.model)?;
        writeln!(
            f,
            "`alone`: the float network with this step in integers, over {} images",
            check.hybrid_images
        )?;
        writeln!(
            f,
            "logits: root mean square {:.4}, error {:.4}",
            check.logits, check.logit_error
        )?;
        match &check.agreement {
            Some(agreement) => writeln!(f, "same prediction  {}", interval(agreement))?,
            None => writeln!(f, "same prediction  none, as the network has no head")?,
        }
        match &check.accuracy {
            Some(Accuracy {
                float,
                integer,
                difference,
            }) => {
                writeln!(f, "top-1 float      {}", interval(float))?;
                writeln!(f, "top-1 integers   {}", interval(integer))?;
                writeln!(
                    f,
                    "difference       {:+.2} points (95 %: {:+.2} to {:+.2}); only float right {}, \
                     only integers right {}",
                    100.0 * difference.difference,
                    100.0 * difference.low,
                    100.0 * difference.high,
                    difference.only_first,
                    difference.only_second
                )?;
            }
            None if check.agreement.is_none() => {}
            None => writeln!(f, "top-1            unknown, as the images have no labels")?,
        }
        for note in self.notes.lines() {
            writeln!(f, "note             {note}")?;
        }
        for (what, value) in self.provenance.pairs() {
            writeln!(f, "{what:16} {value}")?;
        }
        match &self.html {
            Some(path) => writeln!(f, "{:16} {}", "report", path.display()),
            None => Ok(()),
        }
    }
}

/// A cell of the table.
fn optional<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

fn interval(share: &Share) -> String {
    format!(
        "{} (95 %: {} to {}), {} of {} images",
        percent(share.share),
        percent(share.low),
        percent(share.high),
        share.part,
        share.whole
    )
}
