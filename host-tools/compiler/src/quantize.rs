//! Quantization: real parameters and activation ranges to integers.
//!
//! Norms, layer scales, input normalisation and pixel conversion are folded
//! here; one file a layer kind, each with the formula of its kernel turned
//! around. Weights are symmetric int8 or int4 with one scale per output channel.
//! Maps have one scale and zero point each, and int16 maps the same units as
//! int8 ones: `real = scale * (value / 256 - zero_point)`. Which layers have
//! which width is chosen before, see [`crate::quantize::precision`].

mod activation;
mod attention;
mod channel_mlp;
mod context;
mod error;
mod fixed;
mod head;
mod identity;
mod lattice;
mod linear;
mod patch_embedding;
mod pooling;
mod random_mixing;
mod rounding;
mod sep_conv;
mod wide_head;

pub mod precision;
pub mod quant_model;

use context::{Context, map_quant};
pub use error::QuantError;

use crate::calibrate::Calibration;
use crate::calibrate::ranges::Ranges;
use crate::network::{self, Layer, MetaFormer, Op};
use crate::quantize::precision::Precision;
use crate::quantize::quant_model::{Quant, QuantLayer, QuantModel, QuantOp, Stream, WeightBits};

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
    let output_quant = match context.layer.op {
        Op::Head(_) => logits,
        _ => map_quant(
            context.range(context.ranges.output, "output")?,
            context.precision.stream,
        ),
    };
    let in_place = !matches!(context.layer.op, Op::PatchEmbedding(_) | Op::Head(_));
    if in_place && context.precision.stream != context.width {
        return Err(QuantError::StreamWidth {
            layer: context.layer.name.clone(),
        });
    }
    let op = match &context.layer.op {
        Op::PatchEmbedding(op) => {
            QuantOp::PatchEmbedding(patch_embedding::quantize(context, op, output_quant)?)
        }
        Op::Norm(norm) => QuantOp::Identity(identity::norm(context, norm, output_quant)?),
        Op::Pooling(op) => pooling::quantize(context, op, output_quant)?,
        Op::Identity(op) => QuantOp::Identity(identity::quantize(context, op, output_quant)?),
        Op::RandomMixing(op) => {
            QuantOp::RandomMixing(random_mixing::quantize(context, op, output_quant)?)
        }
        Op::SepConv(op) => {
            QuantOp::SepConv(Box::new(sep_conv::quantize(context, op, output_quant)?))
        }
        Op::Attention(op) => {
            QuantOp::Attention(Box::new(attention::quantize(context, op, output_quant)?))
        }
        Op::ChannelMlp(op) => channel_mlp::quantize(context, op, output_quant)?,
        Op::Head(op) => head::quantize(context, op)?,
    };
    Ok(QuantLayer {
        name: context.layer.name.clone(),
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
    let columns = |linear: &network::Linear, gamma: Option<&[f32]>| {
        let inputs = linear.inputs.max(1);
        let weights = linear.weight.iter().enumerate().map(|(index, &weight)| {
            let factor = gamma.map_or(1.0, |gamma| gamma[index % inputs]);
            f64::from(weight) * f64::from(factor)
        });
        lattice::fit(inputs, &weights.collect::<Vec<_>>())
    };
    let none = (WeightBits::Int8, true);
    match &layer.op {
        Op::PatchEmbedding(op) => [columns(&op.linear, None), none],
        Op::RandomMixing(op) => {
            let matrix: Vec<f64> = op.matrix.iter().map(|&weight| weight.into()).collect();
            [lattice::fit(layer.input.tokens(), &matrix), none]
        }
        Op::SepConv(op) => [
            columns(&op.fc1, Some(&op.norm.gamma)),
            columns(&op.fc2, None),
        ],
        Op::Attention(op) => [
            columns(&op.qkv, Some(&op.norm.gamma)),
            columns(&op.projection, None),
        ],
        Op::ChannelMlp(op) => [
            columns(&op.fc1, Some(&op.norm.gamma)),
            columns(&op.fc2, None),
        ],
        Op::Head(op) => {
            let gamma = |norm: Option<&network::Norm>| norm.map(|norm| norm.gamma.clone());
            let first = gamma(op.norm.as_ref().or(op.mean_norm.as_ref()));
            match &op.hidden {
                None => [columns(&op.linear, first.as_deref()), none],
                Some(hidden) => [
                    columns(&hidden.fc1, first.as_deref()),
                    columns(&op.linear, gamma(hidden.norm.as_ref()).as_deref()),
                ],
            }
        }
        Op::Norm(_) | Op::Pooling(_) | Op::Identity(_) => [none; 2],
    }
}
