//! `tadpool simulate`.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tadpool_compiler::evaluate::{argmax, label, largest_difference};
use tadpool_compiler::given::images;
use tadpool_compiler::place::program::Arena;

use super::model::CompileArgs;
use super::named::Named;
use super::report::table;

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    #[command(flatten)]
    model: CompileArgs,
    /// Images of the network's input size.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Simulation {
    images: Vec<ImageRow>,
}

#[derive(Debug, Serialize)]
struct ImageRow {
    file: String,
    label: String,
    logit: f64,
    float_label: String,
    float_logit: f32,
    largest_difference: f64,
    logits: Vec<f64>,
    float_logits: Vec<f32>,
}

impl Simulate {
    pub(crate) fn run(self) -> anyhow::Result<Simulation> {
        let (model, compiled) = self.model.compile(&Named {
            pictures: &self.images,
            ..Named::default()
        })?;
        let input = &model.description.input;
        let program = compiled.program();
        let mut arena = Arena::default();
        let labels = &model.description.labels;
        let mut rows = Vec::with_capacity(self.images.len());
        for path in &self.images {
            let pixels = images::load(path, input)?;
            let logits = program
                .infer(&pixels, &mut arena, &mut ())
                .and_then(|logits| program.scores(&logits, &mut arena))
                .with_context(|| format!("`{}`", path.display()))?;
            let float_logits = model.reference.run(&images::normalise(&pixels, input))?;
            rows.push(ImageRow {
                file: path.display().to_string(),
                label: label(labels, &logits),
                logit: logits[argmax(&logits)],
                float_label: label(labels, &float_logits),
                float_logit: float_logits[argmax(&float_logits)],
                largest_difference: largest_difference(&logits, &float_logits),
                logits,
                float_logits,
            });
        }
        Ok(Simulation { images: rows })
    }
}

impl fmt::Display for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = [
            "\nimage",
            "\nint8",
            "\ntract",
            "int8's\nlogit",
            "tract's\nlogit",
            "largest\ndifference",
        ];
        let mut rows = table(header, 3);
        for image in &self.images {
            rows.add_row([
                image.file.clone(),
                image.label.clone(),
                image.float_label.clone(),
                format!("{:.3}", image.logit),
                format!("{:.3}", image.float_logit),
                format!("{:.3}", image.largest_difference),
            ]);
        }
        writeln!(f, "{rows}")
    }
}
