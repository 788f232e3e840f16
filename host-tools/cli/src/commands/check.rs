//! `tadpool check`.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tadpool_compiler::check::{self, Accuracy, Check, CheckConfig, Share};
use tadpool_compiler::output;
use tadpool_kernels::checksum::fnv1a;
use tadpool_probe::record::{Figure, Origin};

use super::data::DataArgs;
use super::model::CompileArgs;
use super::named::Named;
use super::notes::Notes;
use super::progress::Bars;
use super::record::{Conditions, RecordArgs};
use super::report::{href, percent, table};

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    model: CompileArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Images on which each step is tried alone in integers.
    #[arg(long, value_name = "N", default_value_t = 64)]
    hybrid_images: usize,
    /// Most images to show on which float and integers disagree.
    #[arg(long, value_name = "N", default_value_t = 24)]
    shown: usize,
    /// Write the report as a page that a browser shows without any other file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Link the page that `tadpool bench --html` writes.
    #[arg(long, value_name = "FILE", requires = "html")]
    link: Option<PathBuf>,
    #[command(flatten)]
    record: RecordArgs,
}

#[derive(Debug, Serialize)]
pub(crate) struct CheckReport {
    #[serde(flatten)]
    check: Check,
    #[serde(flatten)]
    notes: Notes,
    provenance: Provenance,
    html: Option<PathBuf>,
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

impl CheckArgs {
    pub(crate) fn run(self) -> anyhow::Result<CheckReport> {
        let (model, calibrated, compiled) = self.model.compile_calibrated(&Named {
            data: Some(&self.data),
            files: [self.html.as_deref(), self.record.path()],
            ..Named::default()
        })?;
        let description = &model.description;
        let (folder, images) = self.data.list(description)?;
        let config = CheckConfig {
            hybrid_images: self.hybrid_images,
            shown: self.shown,
        };
        let check = check::check(&model, &compiled, &images, &config, &Bars::default())?;
        let onnx = std::fs::read(&description.onnx)
            .with_context(|| format!("cannot read `{}`", description.onnx.display()))?;
        let provenance = Provenance {
            tool: format!("tadpool {}", env!("CARGO_PKG_VERSION")),
            onnx: description.onnx.clone(),
            onnx_bytes: onnx.len(),
            onnx_checksum: format!("{:08x}", fnv1a(&onnx)),
            images: folder.to_owned(),
            every: self.data.every,
            calibration_images: compiled.comparison.images,
            largest_difference_to_tract: compiled.comparison.max_abs_diff,
        };
        let notes = Notes::new(&model, &calibrated, &compiled)?;
        if let Some(path) = &self.html {
            let (notes, pairs) = (notes.lines(), provenance.pairs());
            let link = self.link.as_deref().map(|to| href(path, to)).transpose()?;
            let input = &description.input;
            let page = tadpool_report::html(&check, input, &notes, &pairs, link.as_deref())?;
            output::write(path, page.as_bytes())?;
        }
        let report = CheckReport {
            check,
            notes,
            provenance,
            html: self.html,
        };
        let conditions = || {
            let mut conditions = Conditions::of(&model, &compiled)?.images(folder);
            conditions.add("number_of_images", images.len().to_string());
            Ok(conditions)
        };
        self.record
            .write("check", conditions, figures(&report.check), &report)?;
        Ok(report)
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
