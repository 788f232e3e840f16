//! Quantization: real parameters and activation ranges to integers.
//!
//! Norms, layer scales, input normalisation and pixel conversion are folded
//! here; one file a layer kind, each with the formula of its kernel turned
//! around. Weights are symmetric int8 with one scale per output channel, maps
//! are int8 with one scale and zero point each.

mod channel_mlp;
mod fixed;
mod head;
mod identity;
mod patch_embedding;
mod pooling;

use tadpool_kernels::norm::Norm;

use crate::ir::{self, Layer, MetaFormer, Op, Shape};
use crate::quant_model::{Quant, QuantLayer, QuantModel, QuantOp};
use crate::ranges::{LayerRanges, Range, Ranges};

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

/// Why a network cannot be quantized.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QuantError {
    /// Calibration saw nothing, or saw infinities.
    #[error(
        "layer `{layer}`: the range of its {what} is not finite; check the calibration images, mean and std, and the network's weights for NaN"
    )]
    Range {
        /// Place in the network.
        layer: String,
        /// Which values.
        what: &'static str,
    },
    /// A parameter is not a finite number.
    #[error("layer `{layer}`: {what} holds a value that is not finite; export the model again")]
    NotFinite {
        /// Place in the network.
        layer: String,
        /// Which parameter.
        what: &'static str,
    },
    /// A constant of the integer formula does not fit its width.
    #[error(
        "layer `{layer}`, channel {channel}: {what} is {value:.4e}, the int8 kernel can represent at most {limit:.4e}; a channel this far from the others needs retraining with weight decay or a wider residual stream"
    )]
    Unrepresentable {
        /// Place in the network.
        layer: String,
        /// Output channel.
        channel: usize,
        /// Which constant.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The largest that fits.
        limit: f64,
    },
    /// A kernel has no integer form for this geometry.
    #[error("layer `{layer}`: {what} is {value}, the kernels support {supported}")]
    Geometry {
        /// Place in the network.
        layer: String,
        /// Which dimension.
        what: &'static str,
        /// Its value.
        value: usize,
        /// What is possible.
        supported: &'static str,
    },
}

/// Quantizes `network` with the given activation ranges.
///
/// # Errors
/// A [`QuantError`] that names the layer and what does not fit.
pub fn quantize(
    network: &MetaFormer,
    ranges: &Ranges,
    pixels: &Pixels,
) -> Result<QuantModel, QuantError> {
    let mut stream = None;
    let mut layers = Vec::with_capacity(network.layers.len());
    for (layer, ranges) in network.layers.iter().zip(&ranges.layers) {
        let context = Context {
            layer,
            ranges,
            stream,
            pixels,
        };
        let quantized = context.quantize()?;
        stream = Some(quantized.output_quant);
        layers.push(quantized);
    }
    Ok(QuantModel {
        input: network.input,
        layers,
    })
}

/// What one layer's quantization may look at.
struct Context<'a> {
    layer: &'a Layer,
    ranges: &'a LayerRanges,
    /// Meaning of the map that is read; `None` for raw pixels.
    stream: Option<Quant>,
    pixels: &'a Pixels,
}

impl Context<'_> {
    fn quantize(&self) -> Result<QuantLayer, QuantError> {
        let logits = Quant {
            scale: 1.0 / 65_536.0,
            zero_point: 0,
        };
        let output_quant = match self.layer.op {
            Op::Head(_) => logits,
            _ => map_quant(self.range(self.ranges.output, "output")?),
        };
        let op = match &self.layer.op {
            Op::PatchEmbedding(op) => {
                QuantOp::PatchEmbedding(patch_embedding::quantize(self, op, output_quant)?)
            }
            Op::Pooling(op) => QuantOp::Pooling(pooling::quantize(self, op, output_quant)?),
            Op::Identity(op) => QuantOp::Identity(identity::quantize(self, op, output_quant)?),
            Op::ChannelMlp(op) => {
                QuantOp::ChannelMlp(Box::new(channel_mlp::quantize(self, op, output_quant)?))
            }
            Op::Head(op) => QuantOp::Head(head::quantize(self, op)?),
        };
        Ok(QuantLayer {
            name: self.layer.name.clone(),
            input: self.layer.input,
            output: self.layer.output,
            output_quant,
            macs: self.layer.macs(),
            op,
        })
    }

    /// Meaning of the map that is read.
    fn stream(&self) -> Result<Quant, QuantError> {
        self.stream.ok_or_else(|| QuantError::Geometry {
            layer: self.layer.name.clone(),
            what: "number of patch embeddings before it",
            value: 0,
            supported: "networks that start with a patch embedding",
        })
    }

    fn range(&self, range: Range, what: &'static str) -> Result<Range, QuantError> {
        if range.is_finite() {
            Ok(range)
        } else {
            Err(QuantError::Range {
                layer: self.layer.name.clone(),
                what,
            })
        }
    }

    fn finite(&self, values: &[f32], what: &'static str) -> Result<(), QuantError> {
        if values.iter().all(|value| value.is_finite()) {
            Ok(())
        } else {
            Err(QuantError::NotFinite {
                layer: self.layer.name.clone(),
                what,
            })
        }
    }

    fn norm(&self, norm: &ir::Norm, shape: Shape, stream: Quant) -> Result<Norm, QuantError> {
        self.finite(&norm.gamma, "the norm's weight")?;
        self.finite(&norm.beta, "the norm's bias")?;
        self.finite(&[norm.epsilon], "the norm's epsilon")?;
        let elements = shape.elements();
        let epsilon =
            (elements as f64).powi(2) * f64::from(norm.epsilon) / (stream.scale * stream.scale);
        if elements >= 1 << 24 {
            return Err(QuantError::Geometry {
                layer: self.layer.name.clone(),
                what: "number of values in the map",
                value: elements,
                supported: "maps below 16777216 values",
            });
        }
        Ok(Norm {
            elements: elements as u32,
            epsilon: self.fits(
                0,
                "the norm's epsilon over the map's scale",
                epsilon,
                2f64.powi(61),
            )? as u64,
        })
    }

    /// Rounds a constant of channel `channel` whose magnitude must stay below
    /// `limit`.
    fn fits(
        &self,
        channel: usize,
        what: &'static str,
        value: f64,
        limit: f64,
    ) -> Result<i64, QuantError> {
        let rounded = value.round();
        if rounded.abs() < limit {
            Ok(rounded as i64)
        } else {
            Err(QuantError::Unrepresentable {
                layer: self.layer.name.clone(),
                channel,
                what,
                value,
                limit,
            })
        }
    }

    /// Rounds a constant that must fit an `i32`.
    fn fits_i32(&self, channel: usize, what: &'static str, value: f64) -> Result<i32, QuantError> {
        self.fits(channel, what, value, 2f64.powi(31) - 1.0)
            .map(|value| value as i32)
    }
}

/// Scale and zero point of a map: 256 steps over the range, zero included since
/// padding stands for it.
fn map_quant(range: Range) -> Quant {
    fixed::affine(range, -128)
}
