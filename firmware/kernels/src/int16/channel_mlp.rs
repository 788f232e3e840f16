//! The channel MLP on a 16-bit stream; see [`crate::channel_mlp`].

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::channel_mlp::{fold_norm, tiles};
use crate::int16::{self, ROWS};
use crate::layout::Kernel;
use crate::linear::{NormedLinear, ResidualLinear};
use crate::matmul::{Layer, row_size, tile_words};
use crate::norm::{Norm, NormScale, Stats};
use crate::stream::{Int16, Width};
use crate::weights::part_outputs;

/// Constants of one channel MLP.
#[derive(Debug, Clone, Copy)]
pub struct ChannelMlp<'a> {
    /// The residual stream, `tokens x channels`, read and written.
    pub map: Buffer,
    /// At least [`ChannelMlp::scratch_size`] bytes, 4-byte aligned, and
    /// [`crate::weights::unpacked_size`] for the larger matrix of four-bit
    /// weights.
    pub scratch: Buffer,
    /// Values per token.
    pub channels: usize,
    /// Values per token between `fc1` and `fc2`.
    pub hidden: usize,
    /// As in [`crate::channel_mlp::ChannelMlp::tile_tokens`].
    pub tile_tokens: usize,
    /// The norm before `fc1`.
    pub norm: Norm,
    /// Bits per channel that are rounded away before `fc1`, at most eight.
    pub shift: &'a [u8],
    /// Channels to hidden; a weight counts `2^(8 - shift)` times in the sum of
    /// its row.
    pub fc1: NormedLinear<'a>,
    /// Zero point of the activation's input, in `0..=255`.
    pub hidden_zero: i32,
    /// The activation as a table from `u8` to `i8`.
    pub activation: &'a [i8; 256],
    /// Hidden to channels.
    pub fc2: ResidualLinear<'a>,
}

impl ChannelMlp<'_> {
    /// Scratch bytes that a run needs, in any layout.
    pub const fn scratch_size(channels: usize, hidden: usize, tile_tokens: usize) -> usize {
        crate::channel_mlp::ChannelMlp::scratch_size(channels, hidden, tile_tokens)
            + int16::sums_size(channels, hidden)
            + int16::rounded_size(channels)
    }

    fn check(&self, map: &[i16]) -> Result<(), Fault> {
        let (fc1, fc2) = (&self.fc1, &self.fc2);
        let (channels, hidden) = (self.channels, self.hidden);
        ensure(channels > 0 && hidden > 0 && map.len().is_multiple_of(channels))?;
        ensure(self.shift.len() == channels)?;
        ensure([fc1.row_sums, fc1.bias, fc1.multiplier].map(<[_]>::len) == [hidden; 3])?;
        fc2.check::<Int16>(channels)
    }
}

/// Runs the step; `stats` are those of the map as it is read, and the sums of
/// what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<K: Kernel>(
    step: &ChannelMlp<'_>,
    stats: &Stats,
    arena: &mut [u8],
) -> Result<Stats, Fault> {
    let (map, mut scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    step.check(cast::i16s(map)?)?;
    let (channels, hidden) = (step.channels, step.hidden);
    let count = tiles(step.tile_tokens);
    let [tile_size, next_size] = [tile_words(channels), tile_words(hidden)];
    let tiles = arena::cut(&mut scratch, volume(&[count, tile_size]))?;
    let nexts = arena::cut(&mut scratch, volume(&[count, next_size]))?;
    let fc1_constants = arena::cut(&mut scratch, 2 * hidden)?;
    let fc2_constants = arena::cut(&mut scratch, 2 * channels)?;
    let sums = arena::cut(&mut scratch, int16::sums_size(channels, hidden) / 4)?;
    let rows = arena::cut(&mut scratch, int16::rounded_size(channels) / 4)?;
    let rows = cast::words_as_i8s_mut(rows);
    let unpacked = scratch;
    let norm = NormScale::of_int16(stats, &step.norm);
    let fc1 = fold_norm::<K>(&step.fc1, &norm, fc1_constants);
    let fc1 = Layer::new::<K, true>(step.fc1.weights, [channels, hidden], fc1, step.hidden_zero)?;
    K::constants(step.fc2.bias, step.fc2.multiplier, fc2_constants);
    let fc2 = Layer::new::<K, true>(step.fc2.weights, [hidden, channels], fc2_constants, 0)?;

    let mut written = Stats::default();
    // None of these is zero, as was checked; said again where the compiler sees it.
    let (tile_size, next_size) = (tile_size.max(1), next_size.max(1));
    let tile_bytes = (K::TOKENS * channels * Int16::BYTES).max(1);
    for tokens in map.chunks_mut((count * tile_bytes).max(1)) {
        // One iterator drives and the others follow: a zip of chunks divides by their
        // length where the compiler no longer sees that it is not zero.
        let mut memory = tiles.chunks_mut(tile_size);
        for tokens in tokens.chunks(tile_bytes) {
            let Some(tile) = memory.next() else { break };
            expand::<K>(step, cast::i16s(tokens)?, rows, tile);
        }
        fc1.each_part::<K, true>(fc1.at_once(), unpacked, |fc1| {
            let (mut memory, mut nexts) = (tiles.chunks(tile_size), nexts.chunks_mut(next_size));
            for _ in tokens.chunks(tile_bytes) {
                let (Some(tile), Some(next)) = (memory.next(), nexts.next()) else {
                    break;
                };
                K::activate(fc1, step.activation, tile, next);
            }
        })?;
        let mut result = Ok(());
        fc2.each_part::<K, true>(part_outputs(hidden), unpacked, |part| {
            let mut nexts = nexts.chunks(next_size);
            for tokens in tokens.chunks_mut(tile_bytes) {
                let Some(tile) = nexts.next() else { break };
                match Int16::join::<K>(part, &step.fc2, tile, sums, tokens) {
                    Ok(stats) => written.add_all(stats),
                    Err(fault) => result = Err(fault),
                }
            }
        })?;
        result?;
    }
    Ok(written)
}

/// Rounds the tokens of a tile and puts them into it.
fn expand<K: Kernel>(step: &ChannelMlp<'_>, tokens: &[i16], rows: &mut [i8], tile: &mut [i32]) {
    let row_size = row_size(step.channels).max(1);
    let mut first = 0;
    for pair in tokens.chunks((ROWS * step.channels).max(1)) {
        let mut size = 0;
        for (token, row) in pair
            .chunks(step.channels.max(1))
            .zip(rows.chunks_mut(row_size))
        {
            int16::round(token, step.shift, row);
            size += row_size;
        }
        let rows = rows.get(..size).unwrap_or(&[]);
        K::expand(rows, row_size, step.channels, first, tile);
        first += ROWS;
    }
}
