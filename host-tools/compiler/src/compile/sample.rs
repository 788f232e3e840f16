//! Signal to noise of the integer network on a sample of the calibration images.

use std::fmt;

use serde::Serialize;
use tadpool_kernels::Fault;

use super::{Calibrated, CompileError, Compiled, Model};
use crate::evaluate;
use crate::given::images;
use crate::given::model_toml::{StreamChoice, WeightChoice};
use crate::network::{LayerName, MetaFormer};
use crate::place::program::Program;
use crate::quantize::quant_model::QuantModel;

/// Signal to noise ratio, in decibels, that the output of a network should have.
pub const ENOUGH_DB: f64 = 25.0;

/// Most images, and fewest where a network is large.
const MOST_IMAGES: u64 = 32;
const FEWEST_IMAGES: u64 = 8;
/// Multiply-accumulates that a large network's images may take together: some seconds.
const MACS: u64 = 20_000_000_000;

/// Images spread over those of calibration, as both networks read them.
pub(crate) struct Sample(Vec<(Vec<u8>, Vec<f32>)>);

impl Sample {
    /// # Errors
    /// An image cannot be read.
    pub(crate) fn new(model: &Model, calibrated: &Calibrated) -> Result<Self, CompileError> {
        let input = &model.description.input;
        let count = (MACS / model.network.macs().max(1)).clamp(FEWEST_IMAGES, MOST_IMAGES);
        let images = calibrated.spread(count as usize).map(|file| {
            let pixels = file.load(input)?;
            let normalised = images::normalise(&pixels, input);
            Ok((pixels, normalised))
        });
        Ok(Self(images.collect::<Result<_, CompileError>>()?))
    }

    /// Signal to noise ratio behind every step, in decibels; none where there is no
    /// noise.
    pub(crate) fn sqnr(
        &self,
        network: &MetaFormer,
        quantized: &QuantModel,
        program: &Program<'_>,
    ) -> Result<Vec<Option<f64>>, Fault> {
        evaluate::sqnr(network, quantized, program, &self.0)
    }
}

/// How far the integer network is from the float one on a sample of the calibration
/// images. The float network is the file without its own rounding, if it has any.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quality {
    /// Images in the sample.
    pub images: usize,
    /// Signal to noise ratio of the network's output, in decibels; none without noise.
    pub output_db: Option<f64>,
    /// The step with the lowest ratio; none without noise.
    pub lowest: Option<Lowest>,
    /// Choices that may raise the ratio, best first.
    pub remedies: Vec<String>,
}

/// The step with the lowest signal to noise ratio.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lowest {
    /// The step.
    pub step: LayerName,
    /// Its ratio, in decibels.
    pub sqnr_db: f64,
}

impl Quality {
    /// Measures `compiled`.
    ///
    /// # Errors
    /// An image cannot be read.
    pub fn of(
        model: &Model,
        calibrated: &Calibrated,
        compiled: &Compiled,
    ) -> Result<Self, CompileError> {
        let sample = Sample::new(model, calibrated)?;
        let sqnr = sample.sqnr(&model.network, &compiled.quantized, &compiled.program())?;
        let steps = model.network.layers.iter().zip(&sqnr);
        let lowest = steps
            .filter_map(|(layer, sqnr)| Some((layer.name, (*sqnr)?)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(step, sqnr_db)| Lowest { step, sqnr_db });
        Ok(Self {
            images: sample.0.len(),
            output_db: sqnr.last().copied().flatten(),
            lowest,
            remedies: remedies(model, calibrated),
        })
    }

    /// Whether the output reaches [`ENOUGH_DB`].
    pub fn is_enough(&self) -> bool {
        self.output_db.is_none_or(|db| db >= ENOUGH_DB)
    }
}

/// Likely causes of noise are coarse choices and few or odd calibration images.
fn remedies(model: &Model, calibrated: &Calibrated) -> Vec<String> {
    let chosen = &model.description.quantization;
    let mut remedies = Vec::new();
    if chosen.weights != WeightChoice::Int8 {
        remedies.push("int8 weights (`--weights int8`)".to_owned());
    }
    if chosen.stream == StreamChoice::Int8 {
        remedies.push("a wider stream where it pays (`--stream auto`)".to_owned());
    }
    let images = calibrated.images.len();
    if images < 200 {
        remedies.push(format!(
            "more calibration images (about 200; there are {images})"
        ));
    }
    remedies.push("another choice of ranges (`--ranges percentile:99.99` or `min-max`)".to_owned());
    remedies.push("training with quantization in the loop".to_owned());
    remedies
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(output) = self.output_db else {
            return write!(f, "the integer network computes what the float one does");
        };
        write!(
            f,
            "the output is at {output:.1} dB on {} calibration images",
            self.images
        )?;
        if self.is_enough() {
            return Ok(());
        }
        write!(f, ", below {ENOUGH_DB:.0} dB")?;
        if let Some(Lowest { step, sqnr_db }) = &self.lowest {
            write!(f, " (lowest step: `{step}`, {sqnr_db:.1} dB)")?;
        }
        write!(f, "; try {}", self.remedies.join(", or "))
    }
}
