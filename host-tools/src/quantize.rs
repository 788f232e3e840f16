//! Quantization: real parameters and activation ranges to integers.
//!
//! Norms, layer scales, input normalisation and pixel conversion are folded
//! here; one file a layer kind, each with the formula of its kernel turned
//! around. Weights are symmetric int8 or int4 with one scale per output channel.
//! Maps have one scale and zero point each, and int16 maps the same units as
//! int8 ones: `real = scale * (value / 256 - zero_point)`. Which layers have
//! which width is chosen before, see [`crate::precision`].

mod activation;
mod attention;
mod channel_mlp;
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

use rounding::{Column, Guide, Rounder, means};
use tadpool_kernels::norm::Norm;
use tadpool_kernels::normed::{self, Normed};

use crate::calibrate::{Calibration, Moments};
use crate::float::View;
use crate::ir::{self, Layer, MetaFormer, NormScope, Op, Residual, Shape};
use crate::precision::{LayerPrecision, Precision};
use crate::quant_model::{Quant, QuantLayer, QuantModel, QuantOp, Stream, WeightBits};
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
    /// A step in place cannot change the width of the stream.
    #[error(
        "layer `{layer}` updates the residual stream in place and cannot change its width; choose int8 or int16 for the whole stage"
    )]
    StreamWidth {
        /// Place in the network.
        layer: String,
    },
    /// Shifts that do not fit the map.
    #[error(
        "layer `{layer}`: {count} shifts of at most {largest} bits were chosen for an int16 stream of {channels} channels; choose one of at most 8 bits per channel, or none"
    )]
    Shift {
        /// Place in the network.
        layer: String,
        /// Number of shifts.
        count: usize,
        /// The largest of them.
        largest: u8,
        /// Channels of the map that is read.
        channels: usize,
    },
    /// The precision is that of another network.
    #[error("the precision of {found} layers was chosen for a network of {expected}")]
    Precision {
        /// Layers with a precision.
        found: usize,
        /// Layers of the network.
        expected: usize,
    },
    /// No kernel computes it.
    #[error(
        "layer `{layer}`: {what} has no integer kernel; `Supported networks` in README.md tells what has one"
    )]
    Unsupported {
        /// Place in the network.
        layer: String,
        /// What is computed.
        what: &'static str,
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
        let quantized = context.quantize()?;
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

/// The bits that hold the trained steps of each matrix of a layer, and whether
/// its rows are whole numbers of steps at all once everything is folded into them.
///
/// In the order of [`LayerPrecision::weights`]; a matrix that the layer does not
/// have is taken as kept in eight bits.
pub fn trained_weights(layer: &Layer) -> [(WeightBits, bool); 2] {
    let columns = |linear: &ir::Linear, gamma: Option<&[f32]>| {
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
            let gamma = |norm: Option<&ir::Norm>| norm.map(|norm| norm.gamma.clone());
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

/// What one layer's quantization may look at.
struct Context<'a> {
    layer: &'a Layer,
    rounding: Rounding<'a>,
    /// The layer's number.
    index: usize,
    ranges: &'a LayerRanges,
    precision: &'a LayerPrecision,
    /// Meaning of the map that is read; `None` for raw pixels.
    stream: Option<Quant>,
    /// Width of the map that is read.
    width: Stream,
    pixels: &'a Pixels,
}

impl<'a> Context<'a> {
    fn quantize(&self) -> Result<QuantLayer, QuantError> {
        let logits = Quant {
            scale: 1.0 / 65_536.0,
            zero_point: 0,
        };
        let output_quant = match self.layer.op {
            Op::Head(_) => logits,
            _ => map_quant(
                self.range(self.ranges.output, "output")?,
                self.precision.stream,
            ),
        };
        let in_place = !matches!(self.layer.op, Op::PatchEmbedding(_) | Op::Head(_));
        if in_place && self.precision.stream != self.width {
            return Err(QuantError::StreamWidth {
                layer: self.layer.name.clone(),
            });
        }
        let op = match &self.layer.op {
            Op::PatchEmbedding(op) => {
                QuantOp::PatchEmbedding(patch_embedding::quantize(self, op, output_quant)?)
            }
            Op::Norm(norm) => QuantOp::Identity(identity::norm(self, norm, output_quant)?),
            Op::Pooling(op) => pooling::quantize(self, op, output_quant)?,
            Op::Identity(op) => QuantOp::Identity(identity::quantize(self, op, output_quant)?),
            Op::RandomMixing(op) => {
                QuantOp::RandomMixing(random_mixing::quantize(self, op, output_quant)?)
            }
            Op::SepConv(op) => {
                QuantOp::SepConv(Box::new(sep_conv::quantize(self, op, output_quant)?))
            }
            Op::Attention(op) => {
                QuantOp::Attention(Box::new(attention::quantize(self, op, output_quant)?))
            }
            Op::ChannelMlp(op) => channel_mlp::quantize(self, op, output_quant)?,
            Op::Head(op) => head::quantize(self, op)?,
        };
        Ok(QuantLayer {
            name: self.layer.name.clone(),
            input: self.layer.input,
            output: self.layer.output,
            stream: self.precision.stream,
            output_quant,
            macs: self.layer.macs(),
            op,
        })
    }

    /// What rounding matrix `slot` of the layer looks at, whose columns come from
    /// `columns`.
    fn guide(&self, slot: usize, columns: &[Column]) -> Guide {
        let moments = |seen: Option<&'a Calibration>| -> Option<&'a Moments> {
            let moments = seen?.layers.get(self.index)?.inputs[slot].as_ref();
            moments.filter(|moments| moments.tokens() > 0)
        };
        Guide {
            rounder: moments(self.rounding.outputs).and_then(|m| Rounder::of(m, columns)),
            mean: moments(self.rounding.correction).map(|m| means(m, columns)),
        }
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

    /// Bits per channel that are rounded away from the map that is read; none
    /// if it is int8.
    fn shift(&self) -> Result<Vec<u8>, QuantError> {
        if self.width == Stream::Int8 {
            return Ok(Vec::new());
        }
        let (shift, channels) = (&self.precision.shift, self.layer.input.channels);
        if shift.is_empty() {
            return Ok(vec![STREAM_FRACTION; channels]);
        }
        let largest = shift.iter().copied().max().unwrap_or(0);
        if shift.len() != channels || largest > STREAM_FRACTION {
            return Err(QuantError::Shift {
                layer: self.layer.name.clone(),
                count: shift.len(),
                largest,
                channels,
            });
        }
        Ok(shift.clone())
    }

    /// Half a step of the map that is written, Q16.
    fn half_step(&self) -> f64 {
        match self.precision.stream {
            Stream::Int8 => 32_768.0,
            Stream::Int16 => 128.0,
        }
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

    fn unsupported(&self, what: &'static str) -> QuantError {
        QuantError::Unsupported {
            layer: self.layer.name.clone(),
            what,
        }
    }

    fn residual(&self, residual: &Residual) -> Result<(), QuantError> {
        self.finite(&residual.layer_scale, "the layer scale")?;
        self.finite(&residual.res_scale, "the res scale")
    }

    /// Steps that are written for a step of the stream times its res scale, and for the
    /// zero points of both.
    fn stream_ratio(&self, res_scale: f32, stream: Quant, output: Quant) -> (f64, f64) {
        let ratio = f64::from(res_scale) * stream.scale / output.scale;
        let zero = f64::from(output.zero_point) - f64::from(stream.zero_point) * ratio;
        (ratio, zero)
    }

    /// A norm of the whole map or of each of its tokens.
    fn norm(&self, norm: &ir::Norm, shape: Shape, stream: Quant) -> Result<Norm, QuantError> {
        self.finite(&norm.gamma, "the norm's weight")?;
        self.finite(&norm.beta, "the norm's bias")?;
        self.finite(&[norm.epsilon], "the norm's epsilon")?;
        let elements = match norm.scope {
            NormScope::Map => shape.elements(),
            NormScope::Token => shape.channels,
        };
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

    /// A norm that is written out, and the meaning of what it writes.
    fn normed(&self, norm: &ir::Norm) -> Result<(Normed, Quant), QuantError> {
        let seen = self.ranges.inner.get(&View::Input).copied();
        let range = self.range(seen.unwrap_or_default(), "normalised values")?;
        let quant = Quant::symmetric(range);
        let normed = Normed {
            scope: scope(norm),
            norm: self.norm(norm, self.layer.input, self.stream()?)?,
            multiplier: self.fits_i32(0, "the steps of a norm", 4096.0 / quant.scale)?,
        };
        Ok((normed, quant))
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

/// Which values share a mean and a deviation.
fn scope(norm: &ir::Norm) -> normed::NormScope {
    match norm.scope {
        NormScope::Map => normed::NormScope::Map,
        NormScope::Token => normed::NormScope::Token,
    }
}

/// Fractional bits of an int16 stream.
const STREAM_FRACTION: u8 = 8;

/// Scale and zero point of a map.
///
/// 256 steps over the range, zero included since padding stands for it. An int16
/// map has steps to spare and is symmetric, so that any channel may drop fewer
/// bits than others where its values are read.
fn map_quant(range: Range, stream: Stream) -> Quant {
    match stream {
        Stream::Int8 => fixed::affine(range, -128),
        Stream::Int16 => Quant {
            scale: (f64::from(range.max.abs().max(range.min.abs())) / 127.5).max(1e-9),
            zero_point: 0,
        },
    }
}
