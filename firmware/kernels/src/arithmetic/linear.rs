//! The constants of linear layers, by what they read and where their result goes.

use crate::arena::{Fault, ensure};
use crate::arithmetic::layout::Kernel;
use crate::arithmetic::matmul::Layer;
use crate::arithmetic::norm::Stats;
use crate::arithmetic::stream::Stream;
use crate::arithmetic::weights::{Weights, part_outputs};
use crate::present::missing;

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
    /// Weight of one step of the residual stream, per output: accumulator steps on an
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

fields!(layer linear::NormedLinear<'_>:
    weights [|linear| linear.bias.len(), Step], row_sums, bias, multiplier);
fields!(layer linear::PlainLinear<'_>:
    weights [|linear| linear.bias.len(), Step], bias, multiplier, zero);
fields!(layer linear::ResidualLinear<'_>:
    weights [|linear| linear.bias.len(), Step], bias, residual, multiplier, offset,
    zero_point);

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

    /// Adds the product of tiles of `tile_size` words to the tokens of the stream that
    /// they are for, and returns the sums of what was written. `layer` is this one in
    /// the form that is run; `memory` is for sums and for weights of four bits.
    pub(crate) fn join<K: Kernel, S: Stream>(
        &self,
        layer: &Layer<'_>,
        tiles: &[i32],
        tile_size: usize,
        [sums, unpacked]: [&mut [i32]; 2],
        tokens: &mut [u8],
    ) -> Result<Stats, Fault> {
        let at_once = if S::FRACTION == 0 {
            layer.at_once()
        } else {
            // As many as there is room for sums.
            part_outputs(layer.inputs())
        };
        let tile_bytes = (K::TOKENS * layer.outputs() * S::BYTES).max(1);
        let mut written = Stats::default();
        let mut result = Ok(());
        layer.each_part::<K, true>(at_once, unpacked, |part| {
            // No zip, which divides by lengths that the compiler does not know here.
            let mut tiles = tiles.chunks(tile_size.max(1));
            for tokens in tokens.chunks_mut(tile_bytes) {
                let Some(tile) = tiles.next() else {
                    missing();
                    break;
                };
                match S::join::<K>(part, self, tile, sums, tokens) {
                    Ok(stats) => written.add_all(stats),
                    Err(fault) => result = Err(fault),
                }
            }
        })?;
        result.map(|()| written)
    }
}
