//! The loop of the channel MLPs whose tokens become rows of int8 values first: rounded
//! from a stream of 16 bits, or normalised.

use crate::arena::{self, Fault, volume};
use crate::arithmetic::layout::Kernel;
use crate::arithmetic::linear::ResidualLinear;
use crate::arithmetic::matmul::{Layer, expand_rows, rows_size, tile_words};
use crate::arithmetic::stream::{Stream, sums_size};
use crate::arithmetic::weights::Weights;
use crate::present::missing;
use crate::steps::channel_mlp::{ChannelMlp, tiles};
use crate::steps::progress::{Piece, Progress};

/// Scratch bytes that a run on a stream of type `S` needs, in any layout.
pub(crate) const fn scratch_size<S: Stream>(
    channels: usize,
    hidden: usize,
    tile_tokens: usize,
) -> usize {
    ChannelMlp::scratch_size(channels, hidden, tile_tokens)
        + sums_size::<S>(channels, hidden)
        + rows_size(channels)
}

/// A channel MLP, its dimensions checked and not zero.
pub(crate) struct RowMlp<'a> {
    pub(crate) channels: usize,
    pub(crate) hidden: usize,
    pub(crate) tile_tokens: usize,
    /// Weights of the first layer, and the zero point of what it writes.
    pub(crate) fc1: (Weights<'a>, i32),
    pub(crate) activation: &'a [i8; 256],
    pub(crate) fc2: &'a ResidualLinear<'a>,
}

impl RowMlp<'_> {
    /// Updates a piece of a map, and tells whether it was the last. `constants` writes
    /// those of the first layer in the order of the layout, `make` the row of a token.
    pub(crate) fn advance<K: Kernel, S: Stream>(
        &self,
        progress: &mut Progress,
        most: usize,
        map: &mut [u8],
        mut scratch: &mut [i32],
        constants: impl FnOnce(&mut [i32]),
        mut make: impl FnMut(&[S::Value], &mut [i8]),
    ) -> Result<bool, Fault> {
        let (channels, hidden) = (self.channels, self.hidden);
        let count = tiles(self.tile_tokens);
        let [tile_size, next_size] = [tile_words(channels), tile_words(hidden)];
        let tiles = arena::cut(&mut scratch, volume(&[count, tile_size]))?;
        let nexts = arena::cut(&mut scratch, volume(&[count, next_size]))?;
        let fc1_constants = arena::cut(&mut scratch, volume(&[2, hidden]))?;
        let fc2_constants = arena::cut(&mut scratch, volume(&[2, channels]))?;
        let sums = arena::cut(&mut scratch, sums_size::<S>(channels, hidden) / 4)?;
        let rows = arena::cut_i8s(&mut scratch, rows_size(channels))?;
        let unpacked = scratch;
        let ((weights, zero), fc2) = (self.fc1, self.fc2);
        if progress.begins() {
            constants(fc1_constants);
            K::constants(fc2.bias, fc2.multiplier, fc2_constants);
        }
        let fc1 = Layer::new::<K, true>(weights, [channels, hidden], fc1_constants, zero)?;
        let shape = [hidden, channels];
        let last = Layer::new::<K, true>(fc2.weights, shape, fc2_constants, fc2.zero_point)?;

        let mut written = progress.written;
        // None of these is zero, as was checked; said again where the compiler sees it.
        let (tile_size, next_size) = (tile_size.max(1), next_size.max(1));
        let token_bytes = volume(&[channels, S::BYTES]).max(1);
        let tile_bytes = volume(&[K::TOKENS, channels, S::BYTES]).max(1);
        let total = map.len() / token_bytes;
        let piece = Piece::next(progress, total, most, count * K::TOKENS);
        let map = piece.of_mut(map, token_bytes)?;
        for tokens in map.chunks_mut(volume(&[count, tile_bytes]).max(1)) {
            // No zips, which divide by lengths that the compiler does not know in
            // closures.
            let mut memory = tiles.chunks_mut(tile_size);
            for tokens in tokens.chunks(tile_bytes) {
                let Some(tile) = memory.next() else {
                    missing();
                    break;
                };
                expand_rows::<K, _>(S::values(tokens)?, channels, rows, tile, &mut make);
            }
            let used = tokens.len().div_ceil(tile_bytes);
            fc1.each_part::<K, true>(fc1.at_once(), unpacked, |fc1| {
                let mut nexts = nexts.chunks_mut(next_size);
                for tile in tiles.chunks(tile_size).take(used) {
                    let Some(next) = nexts.next() else {
                        missing();
                        break;
                    };
                    K::activate(fc1, self.activation, tile, next);
                }
            })?;
            let memory = [&mut *sums, &mut *unpacked];
            let stats = fc2.join::<K, S>(&last, nexts, next_size, memory, tokens)?;
            written.add_all(stats);
        }
        Ok(progress.reach(piece.end, total, written))
    }
}
