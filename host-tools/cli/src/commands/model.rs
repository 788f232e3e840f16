//! The MODEL argument and the options of every command that compiles one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use tadpool_compiler::compile::widen;
use tadpool_compiler::compile::{self, Calibrated, CompileConfig, Compiled, Model};
use tadpool_compiler::given::images;
use tadpool_compiler::given::model_toml::{
    BiasCorrection, Bits, Equalisation, Feed, Quantization, RangeMethod, RoundingMethod,
    StreamChoice, UnknownChoice, WeightChoice,
};
use tadpool_compiler::import::onnx;
use tadpool_compiler::import::reference::DEFAULT_TOLERANCE;
use tadpool_compiler::place::schedule::ScheduleConfig;
use tadpool_compiler::quantize::precision::Choice;
use tadpool_input::Kind;

use super::named::Named;
use super::progress::Bars;

/// Any file that a compilation reads; its own kind has its own limit.
pub(crate) const MODEL_FILE: Kind = Kind {
    name: "a file of the model",
    max_bytes: onnx::MAX_FILE_BYTES,
};

/// A model to be imported.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// A model description, a folder with a `model.toml`, or a bare ONNX file.
    #[arg(value_name = "MODEL")]
    pub(crate) path: PathBuf,
}

/// A model to be compiled.
#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Images for the activation ranges, instead of the description's.
    #[arg(long, value_name = "FOLDER")]
    calibration: Option<PathBuf>,
    #[command(flatten)]
    quantization: QuantizationArgs,
    /// Largest difference between an imported logit and tract's, times the image's largest
    /// logit if that is above one.
    #[arg(long, value_name = "LOGIT", default_value_t = DEFAULT_TOLERANCE)]
    tolerance: f32,
    /// Tokens that a matrix product takes at a time: more RAM, fewer loads.
    #[arg(long, value_name = "TOKENS", default_value_t = ScheduleConfig::default().tile_tokens,
          value_parser = tile_tokens)]
    tile_tokens: usize,
    /// How the firmware takes an image, instead of as the description says: as a whole,
    /// or row by row.
    #[arg(long, value_name = "image|rows", value_parser = feed)]
    feed: Option<Feed>,
}

/// How numbers become integers, instead of as the description says.
#[derive(Debug, Args)]
#[command(next_help_heading = "Quantization, instead of the description's")]
struct QuantizationArgs {
    /// How activation ranges are chosen: min-max, mse, kl, or percentile:P.
    #[arg(long, value_name = "METHOD")]
    ranges: Option<RangeMethod>,
    /// How weights are rounded: nearest, or for the least error of the output.
    #[arg(long, value_name = "nearest|output")]
    rounding: Option<RoundingMethod>,
    /// Correct biases for what rounding takes from the outputs on average.
    #[arg(long, value_name = "on|off")]
    bias_correction: Option<BiasCorrection>,
    /// Bring the hidden channels of MLPs to like sizes; of ReLU and its squares only.
    #[arg(long, value_name = "on|off")]
    equalisation: Option<Equalisation>,
    /// Bits of the weights: int8, int4-mlp (four in the channel MLPs), or int4
    /// (four everywhere but in the first and the last layer).
    #[arg(long, value_name = "int8|int4-mlp|int4")]
    weights: Option<WeightChoice>,
    /// Bits of the residual stream; auto: int16 in the stages where int8 is measured
    /// to be too coarse.
    #[arg(long, value_name = "auto|int8|int16")]
    stream: Option<StreamChoice>,
    /// Bits of one layer or stage: stage1.block0.mlp=int8, stage1=int16.
    #[arg(long = "pin", value_name = "NAME=BITS", value_parser = pin)]
    pins: Vec<(String, Bits)>,
}

impl QuantizationArgs {
    fn apply(&self, quantization: &mut Quantization) {
        quantization.ranges = self.ranges.unwrap_or(quantization.ranges);
        quantization.rounding = self.rounding.unwrap_or(quantization.rounding);
        quantization.bias_correction = self.bias_correction.unwrap_or(quantization.bias_correction);
        quantization.equalisation = self.equalisation.unwrap_or(quantization.equalisation);
        quantization.weights = self.weights.unwrap_or(quantization.weights);
        quantization.stream = self.stream.unwrap_or(quantization.stream);
        quantization.pins.extend(self.pins.iter().cloned());
    }
}

fn pin(text: &str) -> Result<(String, Bits), String> {
    let (name, bits) = text
        .split_once('=')
        .ok_or("a pin is NAME=BITS, such as stage1.block0.mlp=int8")?;
    let bits = bits
        .parse()
        .map_err(|error: UnknownChoice| error.to_string())?;
    Ok((name.to_owned(), bits))
}

impl ModelArgs {
    pub(crate) fn load(&self) -> anyhow::Result<Model> {
        Ok(compile::load(&self.path)?)
    }
}

impl CompileArgs {
    /// The file that was named.
    pub(crate) fn path(&self) -> &Path {
        &self.model.path
    }

    /// The picture that is given, or else the first calibration image.
    pub(crate) fn picture(&self, model: &Model, given: Option<&Path>) -> anyhow::Result<PathBuf> {
        let description = &model.description;
        let folder = self.calibration().or(description.calibration.as_deref());
        match (given, folder) {
            (Some(image), _) => Ok(image.to_owned()),
            (None, Some(folder)) => {
                let images = images::list(folder, &description.labels)?;
                let first = images.into_iter().next();
                let first = first.map(|image| image.path);
                first.with_context(|| format!("folder `{}` has no picture", folder.display()))
            }
            (None, None) => bail!("pass `--image IMAGE`"),
        }
    }

    /// The folder of calibration images, if it was named.
    pub(crate) fn calibration(&self) -> Option<&Path> {
        self.calibration.as_deref()
    }

    /// The files that a compilation reads.
    pub(crate) fn files_read(&self) -> Vec<PathBuf> {
        compile::files_read(&self.model.path, self.calibration.as_deref())
    }

    /// The compiled model, after what is `named` beside it was looked at.
    pub(crate) fn compile(&self, named: &Named<'_>) -> anyhow::Result<(Model, Compiled)> {
        let model = self.load()?;
        let compiled = self.compile_loaded(&model, named)?;
        Ok((model, compiled))
    }

    /// The same of a model that was loaded.
    pub(crate) fn compile_loaded(
        &self,
        model: &Model,
        named: &Named<'_>,
    ) -> anyhow::Result<Compiled> {
        named.check(model)?;
        let config = self.config(model);
        Ok(compile::compile(model, &config, &Bars::default())?)
    }

    /// The model and what its calibration images show, before a precision is
    /// chosen, and after what is `named` beside it was looked at.
    pub(crate) fn calibrate(&self, named: &Named<'_>) -> anyhow::Result<(Model, Calibrated)> {
        let model = self.load()?;
        named.check(&model)?;
        // A pin that does not fit is said before anything is measured.
        compile::precision(&model)?;
        let calibrated = compile::calibrate(&model, &self.config(&model), &Bars::default())?;
        Ok((model, calibrated))
    }

    /// The same, and what the calibration images show besides.
    pub(crate) fn compile_calibrated(
        &self,
        named: &Named<'_>,
    ) -> anyhow::Result<(Model, Calibrated, Compiled)> {
        let (model, calibrated) = self.calibrate(named)?;
        let choice = self.choose(&model, &calibrated)?;
        let compiled = calibrated.compile(&model, choice, &self.schedule(&model))?;
        Ok((model, calibrated, compiled))
    }

    /// The precision that the description and the flags choose, or measurements if
    /// these leave it to them.
    pub(crate) fn choose(&self, model: &Model, calibrated: &Calibrated) -> anyhow::Result<Choice> {
        let base = compile::precision(model)?;
        Ok(widen::choose(model, calibrated, base, &Bars::default())?)
    }

    pub(crate) fn schedule(&self, model: &Model) -> ScheduleConfig {
        ScheduleConfig {
            tile_tokens: self.tile_tokens,
            feed: model.description.input.feed,
        }
    }

    /// The model, with what the flags say in the place of its description.
    pub(crate) fn load(&self) -> anyhow::Result<Model> {
        let mut model = self.model.load()?;
        self.quantization.apply(&mut model.description.quantization);
        let input = &mut model.description.input;
        input.feed = self.feed.unwrap_or(input.feed);
        Ok(model)
    }

    fn config(&self, model: &Model) -> CompileConfig {
        CompileConfig {
            calibration: self.calibration.clone(),
            tolerance: self.tolerance,
            precision: None,
            schedule: self.schedule(model),
        }
    }
}

fn feed(text: &str) -> Result<Feed, String> {
    let known = text.parse();
    known.map_err(|_| "an image comes as `image` or as `rows`".to_owned())
}

fn tile_tokens(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(tokens @ 1..=64) => Ok(tokens),
        _ => Err("a tile has 1 to 64 tokens".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        quantization: QuantizationArgs,
    }

    #[test]
    fn flags_take_the_place_of_the_description() {
        let flags = [
            "command",
            "--ranges=kl",
            "--rounding=nearest",
            "--bias-correction=off",
            "--equalisation=on",
            "--weights=int4",
            "--stream=int16",
            "--pin=stage1=int8",
        ];
        let mut quantization = Quantization::default();
        Command::parse_from(["command"])
            .quantization
            .apply(&mut quantization);
        assert_eq!(quantization, Quantization::default());
        Command::parse_from(flags)
            .quantization
            .apply(&mut quantization);
        let expected = Quantization {
            ranges: RangeMethod::Kl,
            rounding: RoundingMethod::Nearest,
            bias_correction: BiasCorrection::Off,
            equalisation: Equalisation::On,
            weights: WeightChoice::Int4,
            stream: StreamChoice::Int16,
            pins: [("stage1".to_owned(), Bits::Int8)].into(),
        };
        assert_eq!(quantization, expected);
        for flag in ["--ranges=max", "--equalisation=yes", "--pin=stage1"] {
            assert!(
                Command::try_parse_from(["command", flag]).is_err(),
                "{flag}"
            );
        }
    }
}
