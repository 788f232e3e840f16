//! The separable convolution:
//! `res_scale * x + layer_scale * fc2(act2(depthwise(act1(fc1(norm(x))))))`, in place.
//!
//! The hidden values exist only for the rows that a row of windows looks at: a ring
//! of as many rows as the window has. The lowest of them is made of a row of the
//! stream that has not been written yet, then a row of windows takes the place of the
//! uppermost one, and `fc2` adds it to the stream.

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::depthwise::{self, Depthwise, Ring};
use crate::arithmetic::layout::Kernel;
#[cfg(feature = "visit")]
use crate::arithmetic::layout::Layout;
use crate::arithmetic::linear::{PlainLinear, ResidualLinear};
use crate::arithmetic::matmul::{Layer, rows_size, tile_words};
use crate::arithmetic::norm::Stats;
use crate::arithmetic::normed::{Normaliser, Normed};
use crate::arithmetic::stream::{Stream, sums_size};
use crate::steps::Step;
use crate::steps::channel_mlp::tiles;
use crate::steps::progress::{Piece, Progress};
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// Constants of one separable convolution.
#[derive(Debug, Clone, Copy)]
pub struct SepConv<'a> {
    /// The residual stream, read and written.
    pub map: Buffer,
    /// At least [`SepConv::scratch_size`] bytes, 4-byte aligned, and
    /// [`crate::weights::unpacked_size`] for the larger matrix of four-bit weights.
    pub scratch: Buffer,
    /// Rows, columns and channels.
    pub shape: [usize; 3],
    /// Values per token between `fc1` and `fc2`.
    pub hidden: usize,
    /// As in [`crate::channel_mlp::ChannelMlp::tile_tokens`], of one row.
    pub tile_tokens: usize,
    /// The norm before `fc1`.
    pub normed: Normed,
    /// Channels to hidden.
    pub fc1: PlainLinear<'a>,
    /// Between `fc1` and `depthwise`: a table for `q + 128`.
    pub act1: Option<&'a [i8; 256]>,
    /// Over the hidden channels.
    pub depthwise: Depthwise<'a>,
    /// Between `depthwise` and `fc2`, as `act1`.
    pub act2: Option<&'a [i8; 256]>,
    /// Hidden to channels.
    pub fc2: ResidualLinear<'a>,
}

fields!(step sep_conv::SepConv<'_>:
    map, scratch, shape, hidden, tile_tokens, normed, fc1, act1, depthwise, act2, fc2);

impl SepConv<'_> {
    /// Scratch bytes that a run on a stream of type `S` needs, in any layout.
    pub const fn scratch_size<S: Stream>(
        [_, width, channels]: [usize; 3],
        hidden: usize,
        window: [usize; 2],
        tile_tokens: usize,
    ) -> usize {
        let ring = (window[0] * width * hidden).next_multiple_of(4);
        let gathered = 4 * depthwise::scratch_words(width, window);
        let tiles = 4 * tiles(tile_tokens) * tile_size(channels, hidden);
        let constants = 8 * (channels + hidden);
        let sums = sums_size::<S>(channels, hidden);
        ring + gathered + tiles + constants + rows_size(channels) + sums
    }

    fn check<K: Kernel, S: Stream>(&self, map_size: usize) -> Result<(), Fault> {
        let [height, width, channels] = self.shape;
        ensure(map_size > 0 && self.hidden > 0)?;
        ensure(map_size == volume(&[height, width, channels, S::BYTES]))?;
        ensure(K::LAYOUT.reads_whole(self.hidden))?;
        self.fc1.check(self.hidden)?;
        self.depthwise.check(self.hidden)?;
        self.fc2.check::<S>(channels)
    }
}

impl Step for SepConv<'_> {
    fn input(&self) -> Buffer {
        self.map
    }

    fn output(&self) -> Buffer {
        self.map
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        let ([.., channels], hidden) = (self.shape, self.hidden);
        let unpacked = self.fc1.weights.unpacked_size(hidden, channels);
        let unpacked = unpacked.max(self.fc2.weights.unpacked_size(channels, hidden));
        let window = self.depthwise.window;
        Self::scratch_size::<I>(self.shape, hidden, window, self.tile_tokens) + unpacked
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        let [.., channels] = self.shape;
        self.check::<K, I>(self.map.size)?;
        self.fc1.weights.check(K::LAYOUT, self.hidden, channels)?;
        self.fc2.weights.check(K::LAYOUT, channels, self.hidden)?;
        self.scratch.holds(Step::scratch_size::<I, O>(self))
    }

    fn advance<K: Kernel, I: Stream, O: Stream>(
        &self,
        stats: &Stats,
        progress: &mut Progress,
        most: usize,
        arena: &mut [u8],
    ) -> Result<bool, Fault> {
        advance::<K, I>(self, stats, progress, most, arena)
    }
}

#[cfg(feature = "visit")]
impl Described for SepConv<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        true
    }

    fn is_fixed(&self) -> bool {
        self.normed.norm.is_fixed()
    }

    fn function(&self, _call: &Call) -> Function {
        Function {
            path: "sep_conv::run",
            parameters: &[Parameter::Layout, Parameter::Input],
        }
    }

    fn units(&self, _input: Values) -> Option<usize> {
        Some(self.shape[0] + self.depthwise.window[0] / 2 * 2)
    }
}

/// Words of a tile for `fc1` or `fc2`.
const fn tile_size(channels: usize, hidden: usize) -> usize {
    let [channels, hidden] = [tile_words(channels), tile_words(hidden)];
    if channels < hidden { hidden } else { channels }
}

/// Runs the step on a stream of type `S`; `stats` are those of the map as it is read,
/// and the sums of what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<K: Kernel, S: Stream>(
    step: &SepConv<'_>,
    stats: &Stats,
    arena: &mut [u8],
) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance::<K, S>(step, stats, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` rows, counting those that are read before the first is written; returns whether it is
/// complete.
///
/// # Errors
/// As [`run`].
pub fn advance<K: Kernel, S: Stream>(
    step: &SepConv<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    let (map, mut scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    step.check::<K, S>(map.len())?;
    let ([height, width, channels], hidden) = (step.shape, step.hidden);
    let [slots, _] = step.depthwise.window;
    let ring_size = volume(&[slots, width, hidden]);
    let ring = arena::cut(&mut scratch, ring_size.div_ceil(4))?;
    let slot_memory = cast::words_as_i8s_mut(ring).get_mut(..ring_size);
    let gathered_words = depthwise::scratch_words(width, step.depthwise.window);
    let gathered = arena::cut(&mut scratch, gathered_words)?;
    let tile_size = tile_size(channels, hidden);
    let tiles = arena::cut(&mut scratch, volume(&[tiles(step.tile_tokens), tile_size]))?;
    let fc1_constants = arena::cut(&mut scratch, 2 * hidden)?;
    let fc2_constants = arena::cut(&mut scratch, 2 * channels)?;
    let rows = arena::cut_i8s(&mut scratch, rows_size(channels))?;
    let sums = arena::cut(&mut scratch, sums_size::<S>(channels, hidden) / 4)?;
    let (fc1, fc2) = (&step.fc1, &step.fc2);
    if progress.begins() {
        K::constants(fc1.bias, fc1.multiplier, fc1_constants);
        K::constants(fc2.bias, fc2.multiplier, fc2_constants);
    }
    let mut branch = Branch {
        step,
        norm: step.normed.of::<S>(stats),
        fc1: Layer::new::<K, true>(fc1.weights, [channels, hidden], fc1_constants, fc1.zero)?,
        fc2: Layer::new::<K, true>(
            fc2.weights,
            [hidden, channels],
            fc2_constants,
            fc2.zero_point,
        )?,
        tiles,
        rows,
        sums,
        unpacked: scratch,
    };
    let mut ring = Ring {
        slots: slot_memory.ok_or(Fault::Buffer)?,
        oldest: 0,
        width,
        channels: hidden,
    };
    if progress.begins() {
        step.depthwise.prepare(&ring, gathered);
    }

    let row_bytes = width * channels * S::BYTES;
    let above = slots / 2;
    let mut written = progress.written;
    // Rows are counted from the first one that a window looks at.
    let total = height + 2 * above;
    let piece = Piece::next(progress, total, most, 1);
    for row in piece.first..piece.end {
        let slot = row % slots.max(1);
        match row.checked_sub(above).filter(|&row| row < height) {
            Some(row) => {
                let tokens = map.get(row * row_bytes..(row + 1) * row_bytes);
                let tokens = tokens.ok_or(Fault::Geometry)?;
                branch.hide::<K, S>(tokens, ring.row_mut(slot))?;
            }
            None => ring.row_mut(slot).fill(step.depthwise.padding),
        }
        if let Some(row) = row.checked_sub(2 * above) {
            ring.oldest = row % slots.max(1);
            step.depthwise.row(&mut ring, gathered);
            let hidden = ring.row_mut(ring.oldest);
            activate(step.act2, hidden);
            let tokens = map.get_mut(row * row_bytes..(row + 1) * row_bytes);
            let tokens = tokens.ok_or(Fault::Geometry)?;
            written.add_all(branch.join::<K, S>(hidden, tokens)?);
        }
    }
    Ok(progress.reach(piece.end, total, written))
}

/// The layers before and behind the windows, with their memory.
struct Branch<'a> {
    step: &'a SepConv<'a>,
    norm: Normaliser<'a>,
    fc1: Layer<'a>,
    fc2: Layer<'a>,
    tiles: &'a mut [i32],
    rows: &'a mut [i8],
    sums: &'a mut [i32],
    unpacked: &'a mut [i32],
}

impl Branch<'_> {
    /// Bytes of the tokens of a tile, values of their hidden layer, words of a tile,
    /// and how many tiles there are. None is zero, which the compiler is to see.
    #[inline(always)]
    fn sizes<K: Kernel, S: Stream>(&self) -> [usize; 4] {
        let [_, _, channels] = self.step.shape;
        let hidden = self.step.hidden;
        let bytes = K::TOKENS * channels * S::BYTES;
        let count = tiles(self.step.tile_tokens);
        [
            bytes,
            K::TOKENS * hidden,
            tile_size(channels, hidden),
            count,
        ]
        .map(|size| size.max(1))
    }

    /// Writes the hidden values of a row.
    fn hide<K: Kernel, S: Stream>(&mut self, row: &[u8], hidden: &mut [i8]) -> Result<(), Fault> {
        let [bytes, values, tile_size, count] = self.sizes::<K, S>();
        let [_, _, channels] = self.step.shape;
        for (tokens, hidden) in row
            .chunks((count * bytes).max(1))
            .zip(hidden.chunks_mut((count * values).max(1)))
        {
            let tiles = self.tiles.chunks_mut(tile_size);
            for (tokens, tile) in tokens.chunks(bytes).zip(tiles) {
                self.norm
                    .expand::<K, S>(tokens, channels, self.rows, tile)?;
            }
            let at_once = self.fc1.at_once();
            self.fc1
                .each_part::<K, true>(at_once, self.unpacked, |part| {
                    let tiles = self.tiles.chunks(tile_size);
                    for (tile, hidden) in tiles.zip(hidden.chunks_mut(values)) {
                        K::write_counted(part, tile, hidden);
                    }
                })?;
        }
        activate(self.step.act1, hidden);
        Ok(())
    }

    /// Adds a row of the branch to a row of the stream.
    fn join<K: Kernel, S: Stream>(
        &mut self,
        hidden: &[i8],
        row: &mut [u8],
    ) -> Result<Stats, Fault> {
        let [bytes, values, tile_size, count] = self.sizes::<K, S>();
        let inputs = self.step.hidden;
        let mut written = Stats::default();
        for (tokens, hidden) in row
            .chunks_mut((count * bytes).max(1))
            .zip(hidden.chunks((count * values).max(1)))
        {
            let tiles = self.tiles.chunks_mut(tile_size);
            for (hidden, tile) in hidden.chunks(values).zip(tiles) {
                K::expand(hidden, inputs, inputs, 0, tile);
            }
            let memory = [&mut *self.sums, &mut *self.unpacked];
            let fc2 = &self.step.fc2;
            written.add_all(fc2.join::<K, S>(&self.fc2, self.tiles, tile_size, memory, tokens)?);
        }
        Ok(written)
    }
}

/// Looks values up in the table of an activation, if there is one.
fn activate(table: Option<&[i8; 256]>, values: &mut [i8]) {
    if let Some(table) = table {
        for q in values {
            *q = activated(table, *q);
        }
    }
}

#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "a table of 256 holds every u8")]
fn activated(table: &[i8; 256], q: i8) -> i8 {
    table[usize::from(q as u8 ^ 0x80)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::stream::Int8;

    /// The stages of a ConvFormer-S18 at 224x224, whose largest stream is what no
    /// schedule can do without.
    #[test]
    fn scratch_is_small_beside_the_stream() {
        let largest = 56 * 56 * 64;
        for [side, channels] in [[56, 64], [28, 128], [14, 320], [7, 512]] {
            let shape = [side, side, channels];
            let scratch = SepConv::scratch_size::<Int8>(shape, 2 * channels, [7, 7], 2);
            let stream = side * side * channels;
            assert!(
                100 * (stream + scratch) <= 128 * largest,
                "{shape:?}: {scratch}"
            );
        }
    }
}
