//! Linear layers and depthwise convolutions that several kinds of layers have.

use tadpool_kernels::depthwise::Depthwise;
use tadpool_kernels::linear::{PlainLinear, ResidualLinear};
use tadpool_kernels::weights::Weights;
use tadpool_kernels::wide_head::WideLinear;

use super::QuantMatrix;

/// Constants of a depthwise convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantDepthwise {
    /// Window rows and columns.
    pub window: [usize; 2],
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

/// How a residual stream enters the sum with its branch, and what is written.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantResidual {
    /// The value of a step of the stream, per channel: accumulator steps on an int8
    /// stream, steps of the written stream in Q24 on an int16 one.
    pub factor: Vec<i32>,
    /// Zero points and half a step per channel of an int16 stream, Q16; empty for an
    /// int8 one.
    pub offset: Vec<i32>,
    /// Zero point of an int8 stream that is written; zero for an int16 one.
    pub zero_point: i32,
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

impl QuantMatrix {
    /// The weights as kernels take them before they are packed: row-major, a byte each.
    pub(crate) fn rows_of_bytes(&self) -> Weights<'_> {
        Weights::Int8(bytemuck::cast_slice(&self.weights))
    }
}

impl QuantPlainLinear {
    pub(crate) fn constants(&self) -> PlainLinear<'_> {
        PlainLinear {
            weights: self.matrix.rows_of_bytes(),
            bias: &self.bias,
            multiplier: &self.multiplier,
            zero: self.zero,
        }
    }
}

impl QuantResidualLinear {
    pub(crate) fn constants(&self) -> ResidualLinear<'_> {
        ResidualLinear {
            weights: self.matrix.rows_of_bytes(),
            bias: &self.bias,
            residual: &self.residual.factor,
            multiplier: &self.multiplier,
            offset: &self.residual.offset,
            zero_point: self.residual.zero_point,
        }
    }
}

impl QuantWideLinear {
    pub(crate) fn constants(&self) -> WideLinear<'_> {
        WideLinear {
            weights: self.matrix.rows_of_bytes(),
            bias: &self.bias,
            multiplier: &self.multiplier,
        }
    }
}

impl QuantDepthwise {
    pub(crate) fn constants(&self) -> Depthwise<'_> {
        Depthwise {
            window: self.window,
            weights: &self.weights,
            bias: &self.bias,
            multiplier: &self.multiplier,
            padding: self.padding,
            zero: self.zero,
        }
    }
}
