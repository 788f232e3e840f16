//! `tadpool init`.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use tadpool_compiler::given::model_toml::ModelDescription;
use tadpool_compiler::import;
use tadpool_compiler::network::MetaFormer;

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The ONNX file to be described.
    #[arg(value_name = "MODEL.onnx")]
    onnx: PathBuf,
    /// The board to compile for, unless the command line says otherwise.
    #[arg(long, value_name = "BOARD", default_value = tadpool_boards::DEFAULT_BOARD)]
    board: String,
    /// Where to write the description; `model.toml` beside the ONNX file if not given.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub(crate) struct InitReport {
    file: PathBuf,
    input: String,
    classes: usize,
    has_calibration: bool,
}

impl Init {
    pub(crate) fn run(self) -> anyhow::Result<InitReport> {
        tadpool_probe::find_board(&self.board)?;
        let network = import::import_file(&self.onnx)?.model;
        let folder = self.onnx.parent().unwrap_or(Path::new(""));
        let file = match self.output {
            Some(file) => file,
            None => folder.join("model.toml"),
        };
        // A bare name has an empty folder, which is none for the system.
        let absolute = std::path::absolute(&file)?;
        let described_from = absolute.parent().unwrap_or(Path::new("/"));
        let onnx = pathdiff::diff_paths(std::path::absolute(&self.onnx)?, described_from);
        let onnx = onnx.unwrap_or_else(|| self.onnx.clone());
        let has_calibration = described_from.join("calibration").is_dir();
        let description = ModelDescription::of_onnx(&self.onnx, &network);
        let text = text(&description, &onnx, &network, &self.board, has_calibration);
        write_new(&file, &text)?;
        Ok(InitReport {
            file,
            input: network.input.to_string(),
            classes: network.classes(),
            has_calibration,
        })
    }
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    match options.write(true).create_new(true).open(path) {
        Ok(mut file) => file
            .write_all(text.as_bytes())
            .with_context(|| format!("cannot write `{}`", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => bail!(
            "`{}` is there already; name another file with `--output`",
            path.display()
        ),
        Err(error) => Err(error).with_context(|| format!("cannot write `{}`", path.display())),
    }
}

/// A description with every field, those that have a default as comments.
fn text(
    description: &ModelDescription,
    onnx: &Path,
    network: &MetaFormer,
    board: &str,
    has_calibration: bool,
) -> String {
    let channels = network.input.channels;
    let order = match channels {
        1 => "gray",
        4 => "rgba",
        _ => "rgb",
    };
    let list = |value: &str| vec![value; channels].join(", ");
    let labels: Vec<String> = (0..network.classes())
        .map(|class| format!("\"class {class}\""))
        .collect();
    let labels = labels.join(", ");
    let comment = if has_calibration { "" } else { "# " };
    let string = |text: &str| toml_string(text);
    format!(
        "# Describes a network to tadpool. Paths are relative to this file.
name = {name}
onnx = {onnx}
board = {board}            # `tadpool boards` lists them

[input]
height = {height}
width = {width}
channels = \"{order}\"            # the order in which the network takes them
# What training subtracted from pixels of 0 to 1, and divided them by. Wrong values cost
# accuracy and nothing warns of them: take them from the training code.
mean = [{means}]
std = [{stds}]
# feed = \"rows\"              # the firmware takes an image row by row, instead of as a whole

[data]
# One name a class, in the order of the scores; folders of images are named like them.
# labels = [{labels}]
# About 200 images of the training set, for the ranges of the activations.
{comment}calibration = \"calibration\"
# Images in a folder a class, for `tadpool eval` and `tadpool check`.
# evaluation = \"evaluation\"

[quantization]
# ranges = \"mse\"             # kl, percentile:99.9, min-max
# rounding = \"output\"        # nearest
# bias-correction = \"on\"     # off
# equalisation = \"off\"       # on
# weights = \"int8\"           # int4-mlp, int4
# stream = \"auto\"            # int8, int16
",
        name = string(&description.name),
        onnx = string(&onnx.display().to_string().replace('\\', "/")),
        board = string(board),
        height = network.input.height,
        width = network.input.width,
        means = list("0.0"),
        stds = list("1.0"),
    )
}

/// A string as TOML writes it.
pub(super) fn toml_string(text: &str) -> String {
    toml::Value::from(text).to_string()
}

impl fmt::Display for InitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        writeln!(
            f,
            "{file}: an input of {}, {} classes; set `mean` and `std` as in training",
            self.input, self.classes
        )?;
        match self.has_calibration {
            true => writeln!(f, "next: tadpool compile {file}"),
            false => writeln!(
                f,
                "next: about 200 training images into the folder `calibration` beside it, and its \
                 line of {file} without the `#`; then tadpool compile {file}"
            ),
        }
    }
}
