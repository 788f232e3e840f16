//! The constants of linear layers, by what they read and where their result goes.

use crate::arena::{Fault, ensure};
use crate::stream::Stream;
use crate::weights::Weights;

/// A linear layer that reads a feature map whose norm is folded into it.
#[derive(Debug, Clone, Copy)]
pub struct NormedLinear<'a> {
    /// `outputs x inputs` in the step's layout, 4-byte aligned.
    pub weights: Weights<'a>,
    /// Sum of each row of the matrix.
    pub row_sums: &'a [i32],
    /// Bias per output in units of `sigma` accumulator steps, Q8.
    pub bias: &'a [i32],
    /// Multiplier per output for a deviation of one, Q28.
    pub multiplier: &'a [i32],
}

/// A linear layer that reads int8 values and writes others.
///
/// `q' = zero + requantize(bias + weights . q, multiplier)`
#[derive(Debug, Clone, Copy)]
pub struct PlainLinear<'a> {
    /// `outputs x inputs` in the step's layout, 4-byte aligned.
    pub weights: Weights<'a>,
    /// Accumulator start per output, zero points folded in.
    pub bias: &'a [i32],
    /// Multiplier per output, Q32.
    pub multiplier: &'a [i32],
    /// Zero point of what is written.
    pub zero: i32,
}

/// A linear layer that adds its result to the residual stream.
///
/// On an int8 stream, all in the accumulator:
///
/// ```text
/// q' = zero_point + requantize(bias + residual * q + weights . h, multiplier)
/// ```
///
/// On an int16 stream, beside it:
///
/// ```text
/// q' = residual * q + offset + (bias + weights . h) * multiplier
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ResidualLinear<'a> {
    /// `outputs x inputs` in the step's layout, 4-byte aligned.
    pub weights: Weights<'a>,
    /// Accumulator start per output; zero points that the formula does not name are
    /// folded in.
    pub bias: &'a [i32],
    /// What a step of the residual stream counts, per output: accumulator steps on an
    /// int8 stream, steps of the written stream in Q24 on an int16 one.
    pub residual: &'a [i32],
    /// Multiplier per output, Q32.
    pub multiplier: &'a [i32],
    /// Zero points and half a step per output of an int16 stream, Q16; empty for an
    /// int8 one.
    pub offset: &'a [i32],
    /// Zero point of an int8 stream that is written; zero for an int16 one.
    pub zero_point: i32,
}

impl PlainLinear<'_> {
    /// Whether there are as many constants as outputs.
    pub(crate) fn check(&self, outputs: usize) -> Result<(), Fault> {
        ensure([self.bias, self.multiplier].map(<[_]>::len) == [outputs; 2])
    }
}

impl ResidualLinear<'_> {
    /// Whether there are as many constants as outputs.
    pub(crate) fn check<S: Stream>(&self, outputs: usize) -> Result<(), Fault> {
        ensure([self.bias, self.multiplier, self.residual].map(<[_]>::len) == [outputs; 3])?;
        ensure(S::FRACTION == 0 || self.offset.len() == outputs)
    }
}
