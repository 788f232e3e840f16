//! The constants of each kernel.

use tadpool_kernels::norm::Norm;
use tadpool_kernels::normed::{NormScope, Normed};
use tadpool_kernels::wide_head::{MeanNorm, VectorNorm};

use super::QuantMatrix;

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
    /// Bits per input channel that are rounded away from the values of an int16
    /// stream, at most eight; empty if int8 values or pixels are read.
    pub shift: Vec<u8>,
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

/// Constants of a pooling mixer with a res scale.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantScaledPooling {
    /// The norm before the mixer.
    pub norm: Norm,
    /// Per channel, Q24.
    pub factor: Vec<i32>,
    /// Per channel, Q16.
    pub residual: Vec<i32>,
    /// Per channel, Q16.
    pub offset: Vec<i32>,
}

/// Constants of a pooling mixer behind a norm of each token.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantNormedPooling {
    /// The norm before the mixer.
    pub normed: Normed,
    /// Per channel, Q28.
    pub factor: Vec<i32>,
    /// Per channel, Q24.
    pub residual: Vec<i32>,
    /// Per channel, Q16.
    pub offset: Vec<i32>,
}

/// Constants of an identity mixer or a norm of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantIdentity {
    /// Which values share a mean and a deviation.
    pub scope: NormScope,
    /// The norm, of the whole map or of one token.
    pub norm: Norm,
    /// Per channel, Q20.
    pub factor: Vec<i32>,
    /// Per channel, Q16.
    pub offset: Vec<i32>,
    /// Per channel, Q16.
    pub residual: Vec<i32>,
}

/// Constants of a random mixing.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantRandomMixing {
    /// The norm before the mixer.
    pub normed: Normed,
    /// Tokens to tokens, with rows of zeros behind them.
    pub matrix: QuantMatrix,
    /// Per row, Q32.
    pub multiplier: Vec<i32>,
    /// Per row, Q16; empty if the norm has no bias.
    pub constant: Vec<i32>,
    /// Per channel, Q16; empty if the norm has no bias.
    pub beta: Vec<i32>,
    /// Per channel, Q32.
    pub factor: Vec<i32>,
    /// Per channel, Q24.
    pub residual: Vec<i32>,
    /// Per channel, Q16.
    pub offset: Vec<i32>,
}

/// Constants of a separable convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantSepConv {
    /// The norm before `fc1`.
    pub normed: Normed,
    /// Channels to hidden.
    pub fc1: QuantPlainLinear,
    /// The activation behind `fc1` as a table.
    pub act1: Option<[i8; 256]>,
    /// Over the hidden channels.
    pub depthwise: QuantDepthwise,
    /// The activation behind the convolution as a table.
    pub act2: Option<[i8; 256]>,
    /// Hidden to channels.
    pub fc2: QuantResidualLinear,
}

/// Constants of a depthwise convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantDepthwise {
    /// Window rows and columns.
    pub kernel: [usize; 2],
    /// Per channel, column by column, padded as the kernel reads them.
    pub weights: Vec<i8>,
    /// Accumulator start per channel.
    pub bias: Vec<i32>,
    /// Per channel, Q32.
    pub multiplier: Vec<i32>,
    /// The value that stands for zero in what is read.
    pub padding: i8,
    /// Zero point of what is written.
    pub zero: i32,
}

/// Constants of a linear layer between int8 values.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantPlainLinear {
    /// The weights.
    pub matrix: QuantMatrix,
    /// Accumulator start per output.
    pub bias: Vec<i32>,
    /// Per output, Q32.
    pub multiplier: Vec<i32>,
    /// Zero point of what is written.
    pub zero: i32,
}

/// Constants of a linear layer that adds to the residual stream.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantResidualLinear {
    /// The weights.
    pub matrix: QuantMatrix,
    /// Accumulator start per output.
    pub bias: Vec<i32>,
    /// How the residual stream enters the sum.
    pub residual: QuantResidual,
    /// Per output, Q32.
    pub multiplier: Vec<i32>,
}

/// Constants of a self-attention.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantAttention {
    /// Number of heads.
    pub heads: usize,
    /// The norm before `qkv`, written out.
    pub norm: Normed,
    /// Channels to queries, keys and values, whose zero points are zero.
    pub qkv: QuantPlainLinear,
    /// What a step of the scores is in the exponent of two, Q32.
    pub exponent: i32,
    /// Steps that the projection reads for a step of the values, Q20.
    pub attended: i32,
    /// Heads to channels.
    pub projection: QuantResidualLinear,
}

/// Constants of a channel MLP.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantChannelMlp {
    /// The norm before `fc1`.
    pub norm: Norm,
    /// Bits per channel that are rounded away from the values of an int16
    /// stream, at most eight; empty if the stream is int8.
    pub shift: Vec<u8>,
    /// Channels to hidden.
    pub fc1: QuantMatrix,
    /// Sum of each row of `fc1`, each weight times `2^(8 - shift)` of its channel.
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
    pub fc2: QuantResidualLinear,
}

/// Constants of a channel MLP behind a norm that is written out.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantNormedMlp {
    /// The norm before `fc1`.
    pub norm: Normed,
    /// Channels to hidden.
    pub fc1: QuantPlainLinear,
    /// The activation as a table.
    pub activation: [i8; 256],
    /// Hidden to channels.
    pub fc2: QuantResidualLinear,
}

/// How a residual stream enters the sum with its branch, and what is written.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantResidual {
    /// What a step of the stream counts, per channel: accumulator steps on an int8
    /// stream, steps of the written stream in Q24 on an int16 one.
    pub factor: Vec<i32>,
    /// Zero points and half a step per channel of an int16 stream, Q16; empty for an
    /// int8 one.
    pub offset: Vec<i32>,
    /// Zero point of an int8 stream that is written; zero for an int16 one.
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

/// Constants of a head whose vector is kept in wide integers.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantWideHead {
    /// The norm around the mean over tokens.
    pub norm: Option<MeanNorm>,
    /// The hidden layer.
    pub hidden: Option<QuantHeadHidden>,
    /// To the logits.
    pub linear: QuantWideLinear,
}

/// The hidden layer of a head.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantHeadHidden {
    /// To the activation's input.
    pub fc1: QuantWideLinear,
    /// The activation at every 256th of its inputs.
    pub activation: [i32; 257],
    /// The norm over the hidden values.
    pub norm: Option<VectorNorm>,
}

/// A linear layer of a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantWideLinear {
    /// Weights.
    pub matrix: QuantMatrix,
    /// Per output.
    pub bias: Vec<i32>,
    /// Per output, Q24.
    pub multiplier: Vec<i32>,
}
