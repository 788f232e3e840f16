//! The channel MLP: `x + layer_scale * fc2(activation(fc1(norm(x))))`, in place.
//!
//! Only a tile of tokens is ever expanded: neither the norm's output nor the
//! hidden layer exists as a whole. The norm before `fc1` is folded:
//!
//! ```text
//! fc1(norm(x)) = (W' q - mean * row_sum(W')) / sigma + (W beta + b),  W' = W diag(gamma)
//! ```
//!
//! so the mean and deviation only change the accumulator's start and the
//! multiplier of each hidden channel, once a run.

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::fixed::{requantize, saturate_i8, saturate_u8};
use crate::matmul::{dot, expand};
use crate::norm::{Norm, NormScale, Partial, Stats};

/// Constants of one channel MLP.
#[derive(Debug, Clone, Copy)]
pub struct ChannelMlp<'a> {
    /// The residual stream, `tokens x channels`, read and written.
    pub map: Buffer,
    /// At least [`ChannelMlp::scratch_size`] bytes, 4-byte aligned.
    pub scratch: Buffer,
    /// Values per token.
    pub channels: usize,
    /// Values per token between `fc1` and `fc2`.
    pub hidden: usize,
    /// Tokens expanded at a time.
    pub tile_tokens: usize,
    /// The norm before `fc1`.
    pub norm: Norm,
    /// Channels to hidden.
    pub fc1: NormedLinear<'a>,
    /// Zero point of the activation's input, in `0..=255`.
    pub hidden_zero: i32,
    /// The activation as a table from `u8` to `i8`.
    pub activation: &'a [i8; 256],
    /// Hidden to channels.
    pub fc2: ResidualLinear<'a>,
}

/// A linear layer that reads a normalised feature map.
#[derive(Debug, Clone, Copy)]
pub struct NormedLinear<'a> {
    /// `outputs x inputs`, two's complement.
    pub weights: &'a [u8],
    /// Sum of each row of `weights`.
    pub row_sums: &'a [i32],
    /// Bias per output in units of `sigma` accumulator steps, Q8.
    pub bias: &'a [i32],
    /// Multiplier per output for a deviation of one, Q28.
    pub multiplier: &'a [i32],
}

/// A linear layer that adds its result to the residual stream.
///
/// `q' = zero_point + requantize(bias + residual * q + weights . h, multiplier)`
#[derive(Debug, Clone, Copy)]
pub struct ResidualLinear<'a> {
    /// `outputs x inputs`, two's complement.
    pub weights: &'a [u8],
    /// Accumulator start per output, all zero points folded in.
    pub bias: &'a [i32],
    /// Accumulator steps per step of the residual stream.
    pub residual: &'a [i32],
    /// Multiplier per output, Q32.
    pub multiplier: &'a [i32],
    /// Zero point of the stream that is written.
    pub zero_point: i32,
}

impl ChannelMlp<'_> {
    /// Scratch bytes that a run needs.
    pub const fn scratch_size(channels: usize, hidden: usize, tile_tokens: usize) -> usize {
        8 * hidden + 2 * tile_tokens * (channels + hidden)
    }
}

impl ChannelMlp<'_> {
    fn check(&self, map: &[u8]) -> Result<(), Fault> {
        let (fc1, fc2) = (&self.fc1, &self.fc2);
        ensure(self.channels > 0 && map.len().is_multiple_of(self.channels))?;
        ensure(fc1.weights.len() == volume(&[self.channels, self.hidden]))?;
        ensure(fc2.weights.len() == fc1.weights.len())?;
        ensure([fc1.row_sums, fc1.bias, fc1.multiplier].map(<[_]>::len) == [self.hidden; 3])?;
        ensure([fc2.bias, fc2.residual, fc2.multiplier].map(<[_]>::len) == [self.channels; 3])
    }
}

/// Runs the step; `stats` are those of the map as it is read, and the sums of
/// what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run(step: &ChannelMlp<'_>, stats: &Stats, arena: &mut [u8]) -> Result<Stats, Fault> {
    let (map, mut scratch) = arena::disjoint(arena, step.map, step.scratch)?;
    let tile_tokens = step.tile_tokens.max(1);
    step.check(map)?;
    let start = arena::take_i32s(&mut scratch, step.hidden)?;
    let multiplier = arena::take_i32s(&mut scratch, step.hidden)?;
    let tile = arena::take_i16s(&mut scratch, volume(&[tile_tokens, step.channels]))?;
    let hidden_tile = arena::take_i16s(&mut scratch, volume(&[tile_tokens, step.hidden]))?;
    fold_norm(
        &step.fc1,
        &NormScale::new(stats, &step.norm),
        start,
        multiplier,
    );

    let mut written = Stats::default();
    for tokens in cast::i8s_mut(map).chunks_mut(tile.len().max(1)) {
        expand(tokens, tile);
        hidden_layer(step, tile, start, multiplier, hidden_tile);
        written.merge(update(step, hidden_tile, tokens));
    }
    Ok(written)
}

/// Accumulator starts and multipliers for this mean and deviation.
fn fold_norm(fc1: &NormedLinear<'_>, norm: &NormScale, start: &mut [i32], multiplier: &mut [i32]) {
    let constants = fc1.row_sums.iter().zip(fc1.bias).zip(fc1.multiplier);
    for ((start, multiplier), ((&row_sum, &bias), &base)) in
        start.iter_mut().zip(multiplier).zip(constants)
    {
        *start = norm.start(bias, row_sum);
        *multiplier = norm.multiplier(base);
    }
}

/// `fc1` and the activation for every token of the tile.
fn hidden_layer(
    step: &ChannelMlp<'_>,
    tile: &[i16],
    start: &[i32],
    multiplier: &[i32],
    hidden_tile: &mut [i16],
) {
    let rows = cast::i8s(step.fc1.weights).chunks_exact(step.channels.max(1));
    let tokens = tile.chunks_exact(step.channels.max(1));
    for (token, hidden) in tokens.zip(hidden_tile.chunks_exact_mut(step.hidden.max(1))) {
        let constants = start.iter().zip(multiplier);
        for ((value, row), (&start, &multiplier)) in
            hidden.iter_mut().zip(rows.clone()).zip(constants)
        {
            let acc = start.wrapping_add(dot(row, token));
            let index = saturate_u8(requantize(acc, multiplier).saturating_add(step.hidden_zero));
            *value = i16::from(activate(step.activation, index));
        }
    }
}

#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "a table of 256 holds every u8")]
fn activate(table: &[i8; 256], index: u8) -> i8 {
    table[usize::from(index)]
}

/// `fc2`, layer scale and the residual add for every token of the tile.
fn update(step: &ChannelMlp<'_>, hidden_tile: &[i16], tokens: &mut [i8]) -> Partial {
    let fc2 = &step.fc2;
    let rows = cast::i8s(fc2.weights).chunks_exact(step.hidden.max(1));
    let hidden = hidden_tile.chunks_exact(step.hidden.max(1));
    let mut written = Partial::default();
    for (token, hidden) in tokens.chunks_exact_mut(step.channels.max(1)).zip(hidden) {
        let constants = fc2.bias.iter().zip(fc2.residual).zip(fc2.multiplier);
        for ((q, row), ((&bias, &residual), &multiplier)) in
            token.iter_mut().zip(rows.clone()).zip(constants)
        {
            let acc = bias
                .wrapping_add(residual.wrapping_mul(i32::from(*q)))
                .wrapping_add(dot(row, hidden));
            *q = saturate_i8(requantize(acc, multiplier).saturating_add(fc2.zero_point));
            written.add(*q);
        }
    }
    written
}
