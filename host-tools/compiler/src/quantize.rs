//! Quantization: real parameters and activation ranges to integers.
//!
//! Norms, layer scales, input normalisation and pixel conversion are folded
//! here; each [kind of layer](crate::layers) turns the formula of its kernel around. Weights are symmetric int8 or int4 with one scale per output channel.
//! Maps have one scale and zero point each, and int16 maps the same units as
//! int8 ones: `real = scale * (value / 256 - zero_point)`. Which layers have
//! which width is chosen before, see [`crate::quantize::precision`].

pub(crate) mod activation;
pub(crate) mod context;
mod error;
pub(crate) mod fixed;
pub(crate) mod gptq;
mod lattice;
pub(crate) mod linear;

pub mod precision;
pub mod quant_model;

use context::{Context, map_quant};
pub use error::QuantError;

use crate::calibrate::Calibration;
use crate::calibrate::ranges::Ranges;
use crate::layers::Part;
use crate::network::{Layer, MetaFormer};
use crate::quantize::precision::Precision;
use crate::quantize::quant_model::{Quant, QuantLayer, QuantModel, Stream, WeightBits};

/// How raw pixels become the network's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    /// Per network channel, in units of 0 to 1.
    pub mean: Vec<f32>,
    /// Per network channel, in units of 0 to 1.
    pub std: Vec<f32>,
    /// Image channel that network channel `i` reads.
    pub order: Vec<usize>,
}

/// How weights become integers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rounding<'a> {
    /// So that the outputs of a row change least for what this saw; without it each
    /// weight to the nearest step of its row.
    pub outputs: Option<&'a Calibration>,
    /// Biases make up for what rounding takes from the outputs on average for what
    /// this saw.
    pub correction: Option<&'a Calibration>,
}

/// Quantizes `network` with the given activation ranges and precision, each
/// weight rounded to the nearest step.
///
/// # Errors
/// A [`QuantError`] that names the layer and what does not fit.
pub fn quantize(
    network: &MetaFormer,
    ranges: &Ranges,
    pixels: &Pixels,
    precision: &Precision,
) -> Result<QuantModel, QuantError> {
    quantize_rounded(network, ranges, pixels, precision, Rounding::default())
}

/// Quantizes `network` with the given activation ranges, precision and rounding.
///
/// # Errors
/// A [`QuantError`] that names the layer and what does not fit.
pub fn quantize_rounded(
    network: &MetaFormer,
    ranges: &Ranges,
    pixels: &Pixels,
    precision: &Precision,
    rounding: Rounding<'_>,
) -> Result<QuantModel, QuantError> {
    let (found, expected) = (precision.layers.len(), network.layers.len());
    if found != expected {
        return Err(QuantError::Precision { found, expected });
    }
    let mut stream = None;
    let mut width = Stream::Int8;
    let mut layers = Vec::with_capacity(network.layers.len());
    let inputs = network.layers.iter().zip(&ranges.layers);
    for (index, ((layer, ranges), precision)) in inputs.zip(&precision.layers).enumerate() {
        let context = Context {
            layer,
            rounding,
            index,
            ranges,
            precision,
            stream,
            width,
            pixels,
        };
        let quantized = quantize_layer(&context)?;
        stream = Some(quantized.output_quant);
        width = quantized.stream;
        layers.push(quantized);
    }
    Ok(QuantModel {
        input: network.input,
        layers,
        outputs: Vec::new(),
    })
}

/// Quantizes one layer.
fn quantize_layer(context: &Context<'_>) -> Result<QuantLayer, QuantError> {
    let logits = Quant {
        scale: 1.0 / 65_536.0,
        zero_point: 0,
    };
    let part = context.layer.op.part();
    let output_quant = match part {
        Part::Head => logits,
        Part::Embedding
        | Part::Activation
        | Part::Position
        | Part::Norm
        | Part::Mixer
        | Part::ChannelMlp => map_quant(
            context.range(context.ranges.output, "output")?,
            context.precision.stream,
        ),
    };
    let in_place = !matches!(part, Part::Embedding | Part::Head);
    if in_place && context.precision.stream != context.width {
        return Err(QuantError::StreamWidth {
            layer: context.layer.name.to_string(),
        });
    }
    let op = context.layer.op.layer().quantize(context, output_quant)?;
    Ok(QuantLayer {
        name: context.layer.name,
        input: context.layer.input,
        output: context.layer.output,
        stream: context.precision.stream,
        output_quant,
        macs: context.layer.macs(),
        op,
    })
}

/// The bits that hold the trained steps of each matrix of a layer, and whether
/// its rows are whole numbers of steps at all once everything is folded into them.
///
/// In the order of
/// [`LayerPrecision::weights`](crate::quantize::precision::LayerPrecision::weights); a matrix
/// that the layer does not have is taken as kept in eight bits.
pub fn trained_weights(layer: &Layer) -> [(WeightBits, bool); 2] {
    let mut fits = [(WeightBits::Int8, true); 2];
    for (fit, matrix) in fits.iter_mut().zip(layer.op.layer().matrices()) {
        let inputs = matrix.inputs.max(1);
        let weights = matrix.weight.iter().enumerate().map(|(index, &weight)| {
            let factor = matrix.gamma.map_or(1.0, |gamma| gamma[index % inputs]);
            f64::from(weight) * f64::from(factor)
        });
        *fit = lattice::fit(inputs, &weights.collect::<Vec<_>>());
    }
    fits
}
