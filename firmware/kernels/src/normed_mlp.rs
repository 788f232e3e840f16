//! The channel MLP behind a norm that is written out:
//! `res_scale * x + layer_scale * fc2(activation(fc1(norm(x))))`, in place.
//!
//! Where each token has its own mean and deviation, the norm is not folded into
//! `fc1` as in [`crate::channel_mlp`]: a tile of tokens is normalised, then both
//! layers take it as it is.

use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::channel_mlp::tiles;
use crate::int16;
use crate::layout::Kernel;
use crate::linear::{PlainLinear, ResidualLinear};
use crate::matmul::{Layer, tile_words};
use crate::norm::Stats;
use crate::normed::{self, Normed, rows_size};
use crate::stream::Stream;
use crate::weights::part_outputs;

/// Constants of one channel MLP.
#[derive(Debug, Clone, Copy)]
pub struct NormedMlp<'a> {
    /// The residual stream, `tokens x channels`, read and written.
    pub map: Buffer,
    /// At least [`NormedMlp::scratch_size`] bytes, 4-byte aligned, and
    /// [`crate::weights::unpacked_size`] for the larger matrix of four-bit weights.
    pub scratch: Buffer,
    /// Values per token.
    pub channels: usize,
    /// Values per token between `fc1` and `fc2`.
    pub hidden: usize,
    /// As in [`crate::channel_mlp::ChannelMlp::tile_tokens`].
    pub tile_tokens: usize,
    /// The norm before `fc1`.
    pub norm: Normed,
    /// Channels to hidden; what it writes is the activation's input, in `0..=255`.
    pub fc1: PlainLinear<'a>,
    /// The activation as a table from `u8` to `i8`.
    pub activation: &'a [i8; 256],
    /// Hidden to channels.
    pub fc2: ResidualLinear<'a>,
}

impl NormedMlp<'_> {
    /// Scratch bytes that a run needs, in any layout.
    pub const fn scratch_size<S: Stream>(
        channels: usize,
        hidden: usize,
        tile_tokens: usize,
    ) -> usize {
        crate::channel_mlp::ChannelMlp::scratch_size(channels, hidden, tile_tokens)
            + sums_size::<S>(channels, hidden)
            + rows_size(channels)
    }

    fn check<S: Stream>(&self, map: &[u8]) -> Result<(), Fault> {
        let (channels, hidden) = (self.channels, self.hidden);
        ensure(channels > 0 && hidden > 0)?;
        ensure(map.len().is_multiple_of(volume(&[channels, S::BYTES])))?;
        self.fc1.check(hidden)?;
        self.fc2.check::<S>(channels)
    }
}

/// Scratch bytes for sums that are not requantized at once.
const fn sums_size<S: Stream>(channels: usize, hidden: usize) -> usize {
    if S::FRACTION == 0 {
        0
    } else {
        int16::sums_size(channels, hidden)
    }
}

/// Runs the step; `stats` are those of the map as it is read, and the sums of
/// what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<K: Kernel, S: Stream>(
    step: &NormedMlp<'_>,
    stats: &Stats,
    arena: &mut [u8],
) -> Result<Stats, Fault> {
    let (map, mut scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    step.check::<S>(map)?;
    let (channels, hidden) = (step.channels, step.hidden);
    let count = tiles(step.tile_tokens);
    let [tile_size, next_size] = [tile_words(channels), tile_words(hidden)];
    let tiles = arena::cut(&mut scratch, volume(&[count, tile_size]))?;
    let nexts = arena::cut(&mut scratch, volume(&[count, next_size]))?;
    let fc1_constants = arena::cut(&mut scratch, volume(&[2, hidden]))?;
    let fc2_constants = arena::cut(&mut scratch, volume(&[2, channels]))?;
    let sums = arena::cut(&mut scratch, sums_size::<S>(channels, hidden) / 4)?;
    let rows = normed::rows(&mut scratch, channels)?;
    let unpacked = scratch;
    let norm = step.norm.of::<S>(stats);
    K::constants(step.fc1.bias, step.fc1.multiplier, fc1_constants);
    let shape = [channels, hidden];
    let fc1 = Layer::new::<K, true>(step.fc1.weights, shape, fc1_constants, step.fc1.zero)?;
    K::constants(step.fc2.bias, step.fc2.multiplier, fc2_constants);
    let shape = [hidden, channels];
    let fc2 = Layer::new::<K, true>(step.fc2.weights, shape, fc2_constants, step.fc2.zero_point)?;

    let fc2_at_once = match S::FRACTION {
        0 => fc2.at_once(),
        _ => part_outputs(hidden),
    };

    let mut written = Stats::default();
    // None of these is zero, as was checked; said again where the compiler sees it.
    let (tile_size, next_size) = (tile_size.max(1), next_size.max(1));
    let tile_bytes = volume(&[K::TOKENS, channels, S::BYTES]).max(1);
    for tokens in map.chunks_mut(volume(&[count, tile_bytes]).max(1)) {
        let used = tokens.len().div_ceil(tile_bytes);
        for (tokens, tile) in tokens.chunks(tile_bytes).zip(tiles.chunks_mut(tile_size)) {
            norm.expand::<K, S>(tokens, channels, rows, tile)?;
        }
        fc1.each_part::<K, true>(fc1.at_once(), unpacked, |fc1| {
            let memory = tiles.chunks(tile_size).zip(nexts.chunks_mut(next_size));
            for (tile, next) in memory.take(used) {
                K::activate(fc1, step.activation, tile, next);
            }
        })?;
        let mut result = Ok(());
        fc2.each_part::<K, true>(fc2_at_once, unpacked, |part| {
            for (tokens, tile) in tokens.chunks_mut(tile_bytes).zip(nexts.chunks(next_size)) {
                match S::join::<K>(part, &step.fc2, tile, sums, tokens) {
                    Ok(stats) => written.add_all(stats),
                    Err(fault) => result = Err(fault),
                }
            }
        })?;
        result?;
    }
    Ok(written)
}
