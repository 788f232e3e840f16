//! `tadpool learn`.

mod images;
mod player;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tadpool_compiler::given::images::{self as files, ImageFile};
use tadpool_compiler::given::model_toml::ModelDescription;
use tadpool_input::text::shown;
use tadpool_learn::Options;

use images::{Example, examples, trained_top1};
use player::{Player, Ram};

use super::model::CompileArgs;
use super::named::{Named, check_classes};
use super::report::{grouped, percent, table};

#[derive(Debug, Args)]
pub(crate) struct Learn {
    #[command(flatten)]
    model: CompileArgs,
    /// Images to learn from, in class folders.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Images to measure the accuracy with, instead of the description's evaluation set.
    #[arg(long, value_name = "FOLDER")]
    evaluate: Option<PathBuf>,
    /// The order in which the images come, each of them once.
    #[arg(long, value_enum, default_value = "shuffled")]
    order: Order,
    /// Most images of each class.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,
    /// The head to begin with.
    #[arg(long, value_enum, default_value = "empty")]
    start: Start,
    /// Learn without this class, and then the class alone; several are tried one by one.
    #[arg(long, value_name = "CLASS", value_delimiter = ',')]
    leave_out: Vec<String>,
    /// Images of a class that was left out.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    new_samples: u32,
    /// How far an image moves the weights, above 0 and below 1.
    #[arg(long, value_name = "RATE", default_value_t = 0.15)]
    rate: f64,
    /// Images that are learned once more with each new one.
    #[arg(long, value_name = "N", default_value_t = Options::default().replays)]
    replays: u8,
    /// RAM for these.
    #[arg(long, value_name = "BYTES", default_value_t = 1400, value_parser = clap::value_parser!(u32).range(..=1 << 24))]
    replay_bytes: u32,
    /// Draws which images are taken, their order, and what is learned once more.
    #[arg(long, value_name = "N", default_value_t = Options::default().seed)]
    seed: u32,
}

/// An order of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    /// At random.
    Shuffled,
    /// A class after the other.
    Classes,
    /// An image of each class in turn.
    Alternating,
}

/// A head to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Start {
    /// One without classes, to which they are added.
    Empty,
    /// The one that the network was trained with.
    Trained,
}

#[derive(Debug, Serialize)]
pub(crate) struct LearnReport {
    model: String,
    /// Images that the accuracy is measured with.
    evaluated: usize,
    /// Top-1 of the head that the network was trained with.
    trained_top1: f64,
    ram: Ram,
    start: Start,
    order: Order,
    /// Accuracy after so many images; empty if classes were left out.
    curve: Vec<Point>,
    /// CRC-32 of the learned weights and biases.
    checksum: Option<u32>,
    left_out: Vec<LeftOut>,
}

/// A point of the accuracy curve.
#[derive(Debug, Serialize)]
struct Point {
    /// Images that were learned.
    images: usize,
    top1: f64,
}

/// What came of a class that was left out and learned afterwards.
#[derive(Debug, Serialize)]
struct LeftOut {
    class: String,
    /// Images of it that were learned.
    images: usize,
    /// Top-1 on its own images.
    top1: f64,
    /// Top-1 on those of the other classes, before it was learned.
    others_before: f64,
    /// The same, after.
    others_after: f64,
    /// Top-1 of the trained head on its own images.
    trained_top1: f64,
    checksum: u32,
}

impl Learn {
    pub(crate) fn run(self) -> anyhow::Result<LearnReport> {
        let options = self.options()?;
        let model = self.model.load()?;
        let description = &model.description;
        let left_out = self.left_out(description)?;
        let evaluation = self
            .evaluate
            .as_deref()
            .or(description.evaluation.as_deref());
        let evaluation = evaluation.context(
            "the model description names no evaluation images: pass `--evaluate FOLDER`",
        )?;
        // Looked at before the model is compiled.
        let data = labelled(&self.data, description, &left_out)?;
        let evaluated = labelled(evaluation, description, &left_out)?;
        let samples = self.samples.map_or(usize::MAX, |most| most as usize);
        let data = images::choose(data, description.labels.len(), samples, self.seed);
        let named = Named {
            has_classes: true,
            ..Named::default()
        };
        let compiled = self.model.compile_loaded(&model, &named)?;
        let program = compiled.program();
        let trained = program
            .trained_head()
            .filter(|head| head.classes() == description.labels.len() && head.classes() > 1)
            .with_context(|| {
                format!(
                    "`{}` has no head with a logit for each of several labels, so there is \
                     nothing to learn",
                    shown(&description.onnx)
                )
            })?;
        let input = &description.input;
        let evaluated = examples("images to evaluate", &program, input, &evaluated)?;
        let data = examples("images to learn from", &program, input, &data)?;

        let player = Player {
            trained,
            options,
            replay_bytes: self.replay_bytes as usize,
            evaluated: &evaluated,
        };
        let mut report = LearnReport {
            model: description.name.clone(),
            evaluated: evaluated.len(),
            trained_top1: trained_top1(&evaluated),
            ram: player.ram(),
            start: self.start,
            order: self.order,
            curve: Vec::new(),
            checksum: None,
            left_out: Vec::new(),
        };
        if left_out.is_empty() {
            let stream = images::ordered(&data, self.order, self.seed);
            let (curve, checksum) = player.play(&stream, self.start)?;
            (report.curve, report.checksum) = (curve, Some(checksum));
        }
        for class in left_out {
            let (new, others): (Vec<&Example>, _) =
                data.iter().partition(|example| example.class == class);
            let new = new.into_iter().take(self.new_samples as usize);
            let others: Vec<Example> = others.into_iter().cloned().collect();
            let others = images::ordered(&others, self.order, self.seed);
            let label = &description.labels[class];
            report.left_out.push(player.leave_out(
                class,
                label,
                &others,
                &new.collect::<Vec<_>>(),
            )?);
        }
        Ok(report)
    }

    fn options(&self) -> anyhow::Result<Options> {
        let rate = (self.rate * 65_536.0).round();
        if !(1.0..65_536.0).contains(&rate) {
            bail!("a rate is above 0 and below 1, such as 0.15");
        }
        Ok(Options {
            rate: rate as u16,
            replays: self.replays,
            seed: self.seed,
        })
    }

    /// The numbers of the classes that are left out.
    fn left_out(&self, description: &ModelDescription) -> anyhow::Result<Vec<usize>> {
        if !self.leave_out.is_empty() && self.start == Start::Trained {
            bail!("the trained head knows all classes: `--leave-out` needs `--start empty`");
        }
        let number = |class: &String| {
            let labels = &description.labels;
            labels
                .iter()
                .position(|label| label == class)
                .with_context(|| {
                    let labels: Vec<String> =
                        labels.iter().map(|label| format!("`{label}`")).collect();
                    format!("`{class}` is none of the labels: {}", labels.join(", "))
                })
        };
        self.leave_out.iter().map(number).collect()
    }
}

/// The images in class folders, some of each class that is left out.
fn labelled(
    folder: &Path,
    description: &ModelDescription,
    left_out: &[usize],
) -> anyhow::Result<Vec<ImageFile>> {
    let images = files::list(folder, &description.labels)?;
    check_classes(&images)?;
    for &class in left_out {
        if !images.iter().any(|image| image.label == Some(class)) {
            let label = &description.labels[class];
            bail!("`{}` has no images of `{label}`", shown(folder));
        }
    }
    Ok(images)
}

impl fmt::Display for LearnReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: the trained head has {} of {} images right",
            self.model,
            percent(self.trained_top1),
            grouped(self.evaluated as u64)
        )?;
        if !self.curve.is_empty() {
            let mut rows = table(["images learned", "top-1"], 0);
            for point in &self.curve {
                rows.add_row([grouped(point.images as u64), percent(point.top1)]);
            }
            writeln!(f, "{rows}")?;
        }
        if !self.left_out.is_empty() {
            let header = [
                "class\nleft out",
                "images\nof it",
                "top-1\non it",
                "as\ntrained",
                "others\nbefore",
                "others\nafter",
            ];
            let mut rows = table(header, 1);
            for row in &self.left_out {
                rows.add_row([
                    row.class.clone(),
                    row.images.to_string(),
                    percent(row.top1),
                    percent(row.trained_top1),
                    percent(row.others_before),
                    percent(row.others_after),
                ]);
            }
            writeln!(f, "{rows}")?;
        }
        writeln!(f, "{}", self.ram)
    }
}
