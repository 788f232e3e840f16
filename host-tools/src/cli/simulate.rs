//! `tadpool simulate`.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tadpool::evaluate::argmax;
use tadpool::images;
use tadpool::program::Arena;

use super::model::CompileArgs;
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
        let (model, compiled) = self.model.compile()?;
        let input = &model.description.input;
        let program = compiled.program();
        let mut arena = Arena::default();
        let labels = &compiled.description.labels;
        let mut rows = Vec::with_capacity(self.images.len());
        for path in &self.images {
            let pixels = images::load(path, input)?;
            let logits: Vec<f64> = program
                .infer(&pixels, &mut arena, &mut ())
                .with_context(|| format!("`{}`", path.display()))?
                .iter()
                .map(|&logit| f64::from(logit) / 65_536.0)
                .collect();
            let float_logits = model.reference.run(&images::normalise(&pixels, input))?;
            let class = argmax(&logits);
            let float_class = argmax(&float_logits);
            let differences = logits
                .iter()
                .zip(&float_logits)
                .map(|(logit, float)| (logit - f64::from(*float)).abs());
            rows.push(ImageRow {
                file: path.display().to_string(),
                label: labels[class].clone(),
                logit: logits[class],
                float_label: labels[float_class].clone(),
                float_logit: float_logits[float_class],
                largest_difference: differences.fold(0.0, f64::max),
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
            "image",
            "int8",
            "logit",
            "tract",
            "logit",
            "largest difference",
        ];
        let mut rows = table(header, 2);
        for image in &self.images {
            rows.add_row([
                image.file.clone(),
                image.label.clone(),
                format!("{:.3}", image.logit),
                image.float_label.clone(),
                format!("{:.3}", image.float_logit),
                format!("{:.3}", image.largest_difference),
            ]);
        }
        writeln!(f, "{rows}")
    }
}
