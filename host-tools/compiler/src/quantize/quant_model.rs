//! The quantized model: integers only, in the order of execution.
//!
//! Every number here reaches the device unchanged; the formulas that give each
//! one its meaning are in the documentation of `tadpool-kernels`.

mod linear;

use tadpool_float::Grid;

pub use linear::{
    QuantDepthwise, QuantPlainLinear, QuantResidual, QuantResidualLinear, QuantWideLinear,
};

pub use crate::layers::QuantOp;
pub use crate::layers::activation::QuantActivation;
pub use crate::layers::attention::QuantAttention;
pub use crate::layers::channel_mlp::{QuantChannelMlp, QuantNormedMlp};
pub use crate::layers::depthwise_embedding::QuantDepthwiseEmbedding;
pub use crate::layers::head::{QuantHead, QuantHeadHidden, QuantWideHead};
pub use crate::layers::identity::QuantIdentity;
pub use crate::layers::patch_embedding::QuantPatchEmbedding;
pub use crate::layers::pooling::{
    QuantNormedPooling, QuantPooling, QuantScaledPooling, QuantWidePooling,
};
pub use crate::layers::position_embedding::QuantPositionEmbedding;
pub use crate::layers::random_mixing::QuantRandomMixing;
pub use crate::layers::sep_conv::QuantSepConv;

use crate::calibrate::ranges::Range;
use crate::network::{LayerName, Shape};

/// A quantized network.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantModel {
    /// Rows, columns and channels of the image, raw `u8` pixels.
    pub input: Shape,
    /// Layers in execution order.
    pub layers: Vec<QuantLayer>,
    /// Maps that stay in the arena until the end, beside the logits.
    pub outputs: Vec<QuantOutput>,
}

/// A map that stays in the arena until the end of an inference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantOutput {
    /// Its name in the description.
    pub name: String,
    /// The layer that writes it.
    pub layer: usize,
}

/// One quantized layer.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantLayer {
    /// Place in the network, such as `stage2.block0.mixer`.
    pub name: LayerName,
    /// Map that is read.
    pub input: Shape,
    /// Map that is written.
    pub output: Shape,
    /// Width of the values that are written. The steps of a stage work in place,
    /// so only patch embeddings change it; the head's logits are not a stream.
    pub stream: Stream,
    /// Meaning of the values that are written; of the head's logits, Q16.
    pub output_quant: Quant,
    /// Multiply-accumulates of one run.
    pub macs: u64,
    /// Constants.
    pub op: QuantOp,
}

/// Width of the values of a residual stream.
///
/// Both stand for the same numbers `q` between -128 and 128; an int16 value has
/// eight more fractional bits. Every constant of a step is in units of `q`, so
/// most of them do not depend on the width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Stream {
    /// `q`, a byte.
    #[default]
    Int8,
    /// `256 * q`, two bytes, little-endian.
    Int16,
}

/// `real = scale * (q - zero_point)`; see [`Stream`] for what is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quant {
    /// Size of one step.
    pub scale: f64,
    /// Value that stands for zero.
    pub zero_point: i32,
}

/// An `outputs x inputs` matrix of weights, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantMatrix {
    /// Rows.
    pub outputs: usize,
    /// Columns.
    pub inputs: usize,
    /// Bits that a weight takes on the board.
    pub bits: WeightBits,
    /// Values in `-127..=127`, multiples of [`WeightBits::step`].
    pub weights: Vec<i8>,
}

/// Bits of a weight on the board.
///
/// An int4 weight is an int8 one whose low four bits are zero, so the
/// arithmetic of all kernels is that of int8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum WeightBits {
    /// A byte a weight.
    #[default]
    Int8,
    /// Two weights a byte.
    Int4,
}

impl QuantMatrix {
    /// Sum of each row.
    pub fn row_sums(&self) -> Vec<i32> {
        self.rows()
            .map(|row| row.iter().map(|&weight| i32::from(weight)).sum())
            .collect()
    }

    /// Rows in order, each with `inputs` values.
    pub fn rows(&self) -> impl Iterator<Item = &[i8]> {
        self.weights.chunks_exact(self.inputs)
    }

    /// Bytes of the weights on the board, without padding.
    pub fn packed_bytes(&self) -> usize {
        match self.bits {
            WeightBits::Int8 => self.weights.len(),
            WeightBits::Int4 => self.weights.len().div_ceil(2),
        }
    }
}

impl WeightBits {
    /// The least difference of two weights.
    pub const fn step(self) -> i8 {
        match self {
            Self::Int8 => 1,
            Self::Int4 => 16,
        }
    }

    /// The largest weight; the smallest is its negative.
    pub const fn largest(self) -> i8 {
        match self {
            Self::Int8 => 127,
            Self::Int4 => 112,
        }
    }

    /// The integers that a weight may become.
    pub const fn grid(self) -> Grid {
        Grid {
            step: self.step(),
            largest: self.largest(),
        }
    }

    /// The nearest weight to `steps` of the weights' scale.
    pub fn nearest(self, steps: f64) -> i8 {
        self.grid().nearest(steps)
    }
}

impl Stream {
    /// Bytes of a value.
    pub const fn value_bytes(self) -> usize {
        match self {
            Self::Int8 => 1,
            Self::Int16 => 2,
        }
    }
}

impl QuantLayer {
    /// Bytes of what the layer writes.
    pub fn output_bytes(&self) -> usize {
        self.output.elements() * self.value_bytes()
    }

    /// The real values that the bytes which the layer wrote stand for.
    pub fn real_values<'a>(&self, bytes: &'a [u8]) -> Box<dyn Iterator<Item = f64> + 'a> {
        if self.op.is_head() {
            let scale = self.output_quant.scale;
            let (logits, _) = bytes.as_chunks();
            Box::new(
                logits
                    .iter()
                    .map(move |&logit| scale * f64::from(i32::from_le_bytes(logit))),
            )
        } else {
            Box::new(self.output_quant.real_values(self.stream, bytes))
        }
    }

    fn value_bytes(&self) -> usize {
        match self.op.is_head() {
            true => 4,
            false => self.stream.value_bytes(),
        }
    }
}

impl QuantModel {
    /// Multiply-accumulates of one inference.
    pub fn macs(&self) -> u64 {
        self.layers.iter().map(|layer| layer.macs).sum()
    }

    /// Number of logits; none if the network has no head.
    pub fn classes(&self) -> usize {
        let head = self.layers.last().filter(|layer| layer.op.is_head());
        head.map_or(0, |head| head.output.channels)
    }
}

impl Quant {
    /// 127 steps on either side of zero, up to the larger bound of a range.
    pub fn symmetric(range: Range) -> Self {
        let largest = range.max.abs().max(range.min.abs());
        Self {
            scale: (f64::from(largest) / 127.0).max(1e-9),
            zero_point: 0,
        }
    }

    /// The real values that the bytes of a stream stand for.
    pub fn real_values<'a>(
        self,
        stream: Stream,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = f64> + use<'a> {
        let Self { scale, zero_point } = self;
        bytes.chunks_exact(stream.value_bytes()).map(move |bytes| {
            let q = match *bytes {
                [low, high] => f64::from(i16::from_le_bytes([low, high])) / 256.0,
                _ => f64::from(bytes[0] as i8),
            };
            scale * (q - f64::from(zero_point))
        })
    }

    /// The real value that `q` stands for.
    pub fn real(&self, q: i32) -> f64 {
        self.scale * f64::from(q - self.zero_point)
    }
}
