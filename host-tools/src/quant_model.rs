//! The quantized model: integers only, in the order of execution.
//!
//! Every number here reaches the device unchanged; the formulas that give each
//! one its meaning are in the documentation of `tadpool-kernels`.

use tadpool_kernels::norm::Norm;

use crate::ir::Shape;

/// A quantized network.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantModel {
    /// Rows, columns and channels of the image, raw `u8` pixels.
    pub input: Shape,
    /// Layers in execution order.
    pub layers: Vec<QuantLayer>,
}

/// One quantized layer.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantLayer {
    /// Place in the network, such as `stage2.block0.mixer`.
    pub name: String,
    /// Map that is read.
    pub input: Shape,
    /// Map that is written.
    pub output: Shape,
    /// Meaning of the values that are written; of the head's logits, Q16.
    pub output_quant: Quant,
    /// Multiply-accumulates of one run.
    pub macs: u64,
    /// Constants.
    pub op: QuantOp,
}

/// `real = scale * (q - zero_point)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quant {
    /// Size of one step.
    pub scale: f64,
    /// Value that stands for zero.
    pub zero_point: i32,
}

/// Constants of one layer, by kernel.
#[derive(Debug, Clone, PartialEq)]
pub enum QuantOp {
    /// See [`tadpool_kernels::patch_embedding`].
    PatchEmbedding(QuantPatchEmbedding),
    /// See [`tadpool_kernels::pooling`].
    Pooling(QuantPooling),
    /// See [`tadpool_kernels::identity`].
    Identity(QuantIdentity),
    /// See [`tadpool_kernels::channel_mlp`].
    ChannelMlp(Box<QuantChannelMlp>),
    /// See [`tadpool_kernels::head`].
    Head(QuantHead),
}

/// An `outputs x inputs` matrix of int8 weights, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantMatrix {
    /// Rows.
    pub outputs: usize,
    /// Columns.
    pub inputs: usize,
    /// Values in `-127..=127`.
    pub weights: Vec<i8>,
}

/// Constants of a patch embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantPatchEmbedding {
    /// Window rows and columns.
    pub kernel: [usize; 2],
    /// Step between windows, down and across.
    pub stride: [usize; 2],
    /// Rows of padding at the top and columns at the left.
    pub padding: [usize; 2],
    /// Whether the input is raw pixels.
    pub pixels: bool,
    /// Value per input channel that stands for zero.
    pub pad: Vec<i8>,
    /// Window to channels.
    pub matrix: QuantMatrix,
    /// Accumulator start per output.
    pub bias: Vec<i32>,
    /// Multiplier per output, Q32.
    pub multiplier: Vec<i32>,
    /// Zero point of the output.
    pub zero_point: i32,
}

/// Constants of a pooling mixer.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantPooling {
    /// The norm before the mixer.
    pub norm: Norm,
    /// Per channel, Q24.
    pub factor: Vec<i32>,
    /// Q16.
    pub residual: i32,
    /// Q16.
    pub offset: i32,
}

/// Constants of an identity mixer.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantIdentity {
    /// The norm before the mixer.
    pub norm: Norm,
    /// Per channel, Q20.
    pub factor: Vec<i32>,
    /// Per channel, Q16.
    pub offset: Vec<i32>,
    /// Q16.
    pub residual: i32,
}

/// Constants of a channel MLP.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantChannelMlp {
    /// The norm before `fc1`.
    pub norm: Norm,
    /// Channels to hidden.
    pub fc1: QuantMatrix,
    /// Sum of each row of `fc1`.
    pub fc1_row_sums: Vec<i32>,
    /// Per hidden channel, Q8.
    pub fc1_bias: Vec<i32>,
    /// Per hidden channel, Q28.
    pub fc1_multiplier: Vec<i32>,
    /// Zero point of the activation's input.
    pub hidden_zero: i32,
    /// The activation as a table.
    pub activation: [i8; 256],
    /// Hidden to channels.
    pub fc2: QuantMatrix,
    /// Accumulator start per channel.
    pub fc2_bias: Vec<i32>,
    /// Accumulator steps per step of the residual stream.
    pub fc2_residual: Vec<i32>,
    /// Per channel, Q32.
    pub fc2_multiplier: Vec<i32>,
    /// Zero point of the stream that is written.
    pub zero_point: i32,
}

/// Constants of the head.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantHead {
    /// The norm before the mean.
    pub norm: Option<Norm>,
    /// Zero point of the last map.
    pub zero_point: i8,
    /// Channels to classes.
    pub matrix: QuantMatrix,
    /// Sum of each row of `matrix`.
    pub row_sums: Vec<i32>,
    /// Per class, Q36.
    pub multiplier: Vec<i32>,
    /// Per class, Q16.
    pub bias: Vec<i32>,
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
}

impl QuantModel {
    /// Multiply-accumulates of one inference.
    pub fn macs(&self) -> u64 {
        self.layers.iter().map(|layer| layer.macs).sum()
    }

    /// Number of logits.
    pub fn classes(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.output.channels)
    }
}

impl Quant {
    /// The real value that `q` stands for.
    pub fn real(&self, q: i32) -> f64 {
        self.scale * f64::from(q - self.zero_point)
    }
}
