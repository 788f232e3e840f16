//! `tadpool bench`.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tadpool::images;

use super::board::{BoardArgs, SessionArgs};
use super::model::CompileArgs;
use super::report::{grouped, table};

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
}

#[derive(Debug, Serialize)]
pub(crate) struct BenchReport {
    model: String,
    board: String,
    core: String,
    counter: String,
    image: PathBuf,
    instructions: u64,
    macs: u64,
    stack_used_bytes: u32,
    steps: Vec<StepRow>,
}

#[derive(Debug, Serialize)]
struct StepRow {
    name: String,
    instructions: u64,
    macs: u64,
    elements: u64,
}

impl Bench {
    pub(crate) fn run(self) -> anyhow::Result<BenchReport> {
        let (model, compiled) = self.model.compile()?;
        let description = &model.description;
        let image = match (&self.image, &description.calibration) {
            (Some(image), _) => image.clone(),
            (None, Some(folder)) => {
                let images = images::list(folder, &description.labels)?;
                images[0].path.clone()
            }
            (None, None) => return Err(anyhow::anyhow!("pass `--image IMAGE`")),
        };
        let pixels = images::load(&image, &description.input)?;
        let built = self.board.build(&model, &compiled)?;
        let mut session = built.start(&self.session)?;
        let inference = session.infer(&pixels).context("measuring")?;
        built.show_log(&self.session, &mut session)?;
        session.shut_down()?;
        let board = &built.board;
        let steps = compiled
            .quantized
            .layers
            .iter()
            .zip(&inference.steps)
            .map(|(layer, step)| StepRow {
                name: layer.name.clone(),
                instructions: board.cost(step.ticks),
                macs: layer.macs,
                elements: layer.output.elements() as u64,
            })
            .collect();
        Ok(BenchReport {
            model: description.name.clone(),
            board: board.name.clone(),
            core: board.core.clone(),
            counter: board.counter.name.clone(),
            image,
            instructions: board.cost(inference.ticks),
            macs: compiled.quantized.macs(),
            stack_used_bytes: inference.stack_bytes,
            steps,
        })
    }
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} on {} ({}), {}\ninstructions by {} under the emulator; this is not latency",
            self.model,
            self.board,
            self.core,
            self.image.display(),
            self.counter
        )?;
        let header = ["step", "instructions", "MACs", "per MAC", "per element"];
        let mut rows = table(header, 1);
        for step in &self.steps {
            let instructions = step.instructions as f64;
            let per_mac = match step.macs {
                0 => String::new(),
                macs => format!("{:.3}", instructions / macs as f64),
            };
            rows.add_row([
                step.name.clone(),
                grouped(step.instructions),
                grouped(step.macs),
                per_mac,
                format!("{:.1}", instructions / step.elements.max(1) as f64),
            ]);
        }
        rows.add_row([
            "total".to_owned(),
            grouped(self.instructions),
            grouped(self.macs),
            format!("{:.3}", self.instructions as f64 / self.macs.max(1) as f64),
        ]);
        writeln!(f, "{rows}\nstack used: {} bytes", self.stack_used_bytes)
    }
}
