//! Self-attention: `x + layer_scale * projection(softmax(scale * q * k^T) * v)`, with
//! `q k v = qkv(norm(x))`, in place.
//!
//! Keys and values of all tokens are made first, as two matrices a head in the
//! scratch, packed as weights are: scores and weighted sums are then products like any
//! other. After that a few tokens at a time are brought up to date, which nothing else
//! reads any more.
//!
//! A weight of the softmax has two bytes. They are two tokens to the product with the
//! values, whose sums are put together and divided by the sum of the weights:
//!
//! ```text
//! w = 32512 * 2^(exponent * (score - largest score) / 2^32)
//! a = saturate(attended * sum(w v) / sum(w) / 2^20)
//! ```

mod memory;

use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::layout::{Kernel, Layout};
use crate::arithmetic::linear::{PlainLinear, ResidualLinear};
use crate::arithmetic::matmul::{Layer, Linear, row_size};
use crate::arithmetic::norm::Stats;
use crate::arithmetic::normed::{Normaliser, Normed};
use crate::arithmetic::softmax::{self, Quotient};
use crate::arithmetic::stream::Stream;
use crate::steps::Step;
use crate::steps::channel_mlp::tiles;
use crate::steps::progress::{Piece, Progress};
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};
use memory::{Dims, Memory};

/// Constants of one self-attention.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// The residual stream, `tokens x channels`, read and written.
    pub map: Buffer,
    /// At least [`Attention::scratch_size`] bytes, 4-byte aligned, and
    /// [`crate::weights::unpacked_size`] for the larger matrix of four-bit weights.
    pub scratch: Buffer,
    /// Values per token.
    pub channels: usize,
    /// Number of heads.
    pub heads: usize,
    /// Values of a head.
    pub head_size: usize,
    /// As in [`crate::channel_mlp::ChannelMlp::tile_tokens`].
    pub tile_tokens: usize,
    /// The norm before `qkv`.
    pub norm: Normed,
    /// Channels to queries, keys and values, heads outermost in each.
    pub qkv: PlainLinear<'a>,
    /// Change of the exponent of two for one step of the scores, Q32, not negative.
    pub exponent: i32,
    /// Steps of what the projection reads in a step of the values, Q20; not negative
    /// and less than [`softmax::MULTIPLIER_MAX`].
    pub attended: i32,
    /// Heads to channels.
    pub projection: ResidualLinear<'a>,
}

fields!(step attention::Attention<'_>:
    map, scratch, channels, heads, head_size, tile_tokens, norm, qkv, exponent,
    attended, projection);

impl Attention<'_> {
    /// Scratch bytes that a run needs, in any layout; `heads` tells their number and
    /// their size.
    pub const fn scratch_size(
        tokens: usize,
        channels: usize,
        [heads, head_size]: [usize; 2],
        tile_tokens: usize,
    ) -> usize {
        let dims = Dims {
            tokens,
            channels,
            heads,
            head_size,
            tile_tokens,
        };
        dims.bytes()
    }

    /// Whether `layout` takes the products with the keys and values of so many tokens,
    /// whatever these are.
    pub const fn fits(layout: Layout, tokens: usize, head_size: usize) -> bool {
        // As long as `Layout::holds` rows of any weights.
        let is_dsp = matches!(layout, Layout::Dsp | Layout::DspPadded);
        let is_exact = !is_dsp || (tokens <= 516 && head_size <= 516);
        // A head's outputs are a part of others, so none of them is padded.
        let is_whole = head_size.is_multiple_of(layout.group());
        is_exact && is_whole && layout.fits(head_size, head_size)
    }

    fn dims<K: Kernel, S: Stream>(&self, map_size: usize) -> Result<Dims, Fault> {
        let token_size = volume(&[self.channels, S::BYTES]);
        ensure(token_size > 0 && map_size.is_multiple_of(token_size))?;
        let dims = Dims {
            tokens: map_size / token_size.max(1),
            channels: self.channels,
            heads: self.heads,
            head_size: self.head_size,
            tile_tokens: self.tile_tokens,
        };
        ensure(dims.inner() > 0 && (1..=softmax::MAX_SCORES).contains(&dims.tokens))?;
        ensure(Self::fits(K::LAYOUT, dims.tokens, dims.head_size))?;
        ensure(self.exponent >= 0 && (0..softmax::MULTIPLIER_MAX).contains(&self.attended))?;
        self.qkv.check(volume(&[3, dims.inner()]))?;
        self.projection.check::<S>(self.channels)?;
        Ok(dims)
    }
}

impl Step for Attention<'_> {
    fn input(&self) -> Buffer {
        self.map
    }

    fn output(&self) -> Buffer {
        self.map
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        let token_size = volume(&[self.channels, I::BYTES]).max(1);
        let (tokens, inner) = (self.map.size / token_size, self.heads * self.head_size);
        let heads = [self.heads, self.head_size];
        let unpacked = self.qkv.weights.unpacked_size(3 * inner, self.channels);
        let unpacked = unpacked.max(self.projection.weights.unpacked_size(self.channels, inner));
        Self::scratch_size(tokens, self.channels, heads, self.tile_tokens) + unpacked
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        let (channels, inner) = (self.channels, self.dims::<K, I>(self.map.size)?.inner());
        self.qkv.weights.check(K::LAYOUT, 3 * inner, channels)?;
        self.projection.weights.check(K::LAYOUT, channels, inner)?;
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
impl Described for Attention<'_> {
    fn takes(&self, layout: Layout, input: Values) -> bool {
        let token_size = volume(&[self.channels, input.bytes()]).max(1);
        Self::fits(layout, self.map.size / token_size, self.head_size)
    }

    fn is_fixed(&self) -> bool {
        self.norm.norm.is_fixed()
    }

    fn function(&self, _call: &Call) -> Function {
        Function {
            path: "attention::run",
            parameters: &[Parameter::Layout, Parameter::Input],
        }
    }

    fn units(&self, input: Values) -> Option<usize> {
        Some(2 * (self.map.size / self.channels.saturating_mul(input.bytes()).max(1)))
    }
}

/// Runs the step; `stats` are those of the map as it is read, and the sums of what was
/// written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<K: Kernel, S: Stream>(
    step: &Attention<'_>,
    stats: &Stats,
    arena: &mut [u8],
) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance::<K, S>(step, stats, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` tokens or one tile, counting each token twice; returns whether it is
/// complete.
///
/// # Errors
/// As [`run`].
pub fn advance<K: Kernel, S: Stream>(
    step: &Attention<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    let (map, mut scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    let dims = step.dims::<K, S>(map.len())?;
    let memory = Memory::new(&dims, &mut scratch, progress.begins())?;
    let (qkv, projection) = (&step.qkv, &step.projection);
    if progress.begins() {
        K::constants(qkv.bias, qkv.multiplier, memory.qkv);
        K::constants(projection.bias, projection.multiplier, memory.projection);
    }
    let mut run = Run {
        step,
        dims,
        norm: step.norm.of::<S>(stats),
        memory,
        unpacked: scratch,
    };
    // Not zero, as was checked; said again where the compiler sees it.
    let batch = volume(&[tiles(step.tile_tokens), run.tile_bytes::<K, S>()]).max(1);
    let token_bytes = volume(&[step.channels, S::BYTES]).max(1);
    // First the keys and values of all tokens are made, then all tokens are updated.
    let tokens = dims.tokens;
    let piece = Piece::next(progress, 2 * tokens, most, batch / token_bytes);
    let of = |first: usize, end: usize| token_bytes * first..token_bytes * end;
    let mut first = piece.first.min(tokens);
    let taken = map.get(of(first, piece.end.min(tokens)));
    for tokens in taken.ok_or(Fault::Geometry)?.chunks(batch) {
        first = run.take_keys_and_values::<K, S>(tokens, first)?;
    }
    let mut written = progress.written;
    let updated = of(
        piece.first.saturating_sub(tokens),
        piece.end.saturating_sub(tokens),
    );
    let updated = map.get_mut(updated).ok_or(Fault::Geometry)?;
    for tokens in updated.chunks_mut(batch) {
        written.add_all(run.update::<K, S>(tokens)?);
    }
    Ok(progress.reach(piece.end, 2 * tokens, written))
}

/// One run, whose methods take a few tokens at a time.
struct Run<'a> {
    step: &'a Attention<'a>,
    dims: Dims,
    norm: Normaliser<'a>,
    memory: Memory<'a>,
    /// For weights of four bits.
    unpacked: &'a mut [i32],
}

impl Run<'_> {
    /// Bytes of the stream that make a tile, not zero.
    fn tile_bytes<K: Kernel, S: Stream>(&self) -> usize {
        volume(&[K::TOKENS, self.dims.channels, S::BYTES]).max(1)
    }

    /// Makes keys and values of these tokens, the first of which is number `first`; the
    /// number of the one after them.
    fn take_keys_and_values<K: Kernel, S: Stream>(
        &mut self,
        tokens: &[u8],
        first: usize,
    ) -> Result<usize, Fault> {
        let (dims, inner) = (self.dims, self.dims.inner());
        self.linear::<K, S>(tokens, [inner, 2 * inner])?;
        let Memory {
            keys, values, rows, ..
        } = &mut self.memory;
        let count = tokens.len() / volume(&[dims.channels, S::BYTES]).max(1);
        let [keys_size, values_size] = matrix_sizes(K::LAYOUT, &dims);
        for (token, row) in (first..first + count).zip(rows.chunks((2 * inner).max(1))) {
            let (key, value) = row.split_at(inner.min(row.len()));
            let matrices = keys
                .chunks_mut(keys_size.max(1))
                .zip(values.chunks_mut(values_size.max(1)));
            let heads = key
                .chunks(dims.head_size.max(1))
                .zip(value.chunks(dims.head_size.max(1)));
            for ((keys, values), (key, value)) in matrices.zip(heads) {
                for (at, (&key, &value)) in key.iter().zip(value).enumerate() {
                    let [key, value] = [key, value].map(|q| q.max(-i8::MAX));
                    K::LAYOUT.put(keys, dims.head_size, [token, at], key);
                    K::LAYOUT.put(values, dims.tokens, [at, token], value);
                }
            }
        }
        Ok(first + count)
    }

    /// Adds its branch to each of these tokens.
    fn update<K: Kernel, S: Stream>(&mut self, tokens: &mut [u8]) -> Result<Stats, Fault> {
        let (dims, inner) = (self.dims, self.dims.inner());
        self.linear::<K, S>(tokens, [0, inner])?;
        let tile_bytes = self.tile_bytes::<K, S>();
        let token_bytes = volume(&[dims.channels, S::BYTES]).max(1);
        for (number, tokens) in tokens.chunks(tile_bytes.max(1)).enumerate() {
            self.attend::<K>(number, tokens.len() / token_bytes)?;
        }

        let projection = &self.step.projection;
        let Memory {
            tiles,
            sums,
            projection: constants,
            ..
        } = &mut self.memory;
        let shape = [inner, dims.channels];
        let zero = projection.zero_point;
        let layer = Layer::new::<K, true>(projection.weights, shape, constants, zero)?;
        let memory = [&mut **sums, &mut *self.unpacked];
        projection.join::<K, S>(&layer, tiles, dims.tile_words(), memory, tokens)
    }

    /// Normalises tokens, and writes `outputs` from number `first` on of `qkv` to
    /// `rows`.
    fn linear<K: Kernel, S: Stream>(
        &mut self,
        tokens: &[u8],
        [first, outputs]: [usize; 2],
    ) -> Result<(), Fault> {
        let (channels, qkv) = (self.dims.channels, &self.step.qkv);
        let weights = qkv.weights.part(K::LAYOUT, channels, first, outputs)?;
        let tile_bytes = self.tile_bytes::<K, S>();
        let Memory {
            tiles,
            normed,
            rows,
            qkv: constants,
            ..
        } = &mut self.memory;
        let constants = constants.get(2 * first..2 * (first + outputs));
        let constants = constants.ok_or(Fault::Geometry)?;
        let layer = Layer::new::<K, true>(weights, [channels, outputs], constants, qkv.zero)?;
        let tile_words = self.dims.tile_words().max(1);
        let tokens = tokens.chunks(tile_bytes.max(1));
        let count = tokens.len();
        for (tokens, tile) in tokens.zip(tiles.chunks_mut(tile_words)) {
            self.norm.expand::<K, S>(tokens, channels, normed, tile)?;
        }
        layer.each_part::<K, true>(layer.at_once(), self.unpacked, |part| {
            let rows = rows.chunks_mut((K::TOKENS * outputs).max(1));
            for (rows, tile) in rows.zip(tiles.chunks(tile_words)).take(count) {
                K::write_counted(part, tile, rows);
            }
        })
    }

    /// Puts what the heads make of the queries of tile `number`, of `count` tokens, into
    /// the tile.
    fn attend<K: Kernel>(&mut self, number: usize, count: usize) -> Result<(), Fault> {
        let (dims, inner) = (self.dims, self.dims.inner());
        let memory = &mut self.memory;
        let rows = memory.rows.get_mut(number * K::TOKENS * inner..);
        let rows = rows.ok_or(Fault::Buffer)?;
        let scores = memory.scores.get_mut(..K::TOKENS * dims.outputs());
        let scores = scores.ok_or(Fault::Buffer)?;
        let mut weighing = Weighing {
            step: self.step,
            tile: memory.tile,
            weights: memory.weights,
            sums: memory.sums,
        };
        let layer = |matrix, [inputs, outputs]: [usize; 2]| {
            let zeros = memory.zeros.get(..2 * outputs).ok_or(Fault::Buffer)?;
            Linear::new::<K>(matrix, [inputs, outputs], zeros, 0)
        };
        let [keys_size, values_size] = matrix_sizes(K::LAYOUT, &dims);
        let keys = memory.keys.chunks_exact(keys_size.max(1));
        let matrices = keys.zip(memory.values.chunks_exact(values_size.max(1)));
        for ((keys, values), start) in matrices.zip((0..inner).step_by(dims.head_size.max(1))) {
            let keys = layer(keys, [dims.head_size, dims.outputs()])?;
            let values = layer(values, [dims.tokens, dims.head_size])?;
            // A head's part of whole tokens: the last of them ends with the next one's.
            let queries = rows.get(start..start + count * inner);
            let queries = queries.ok_or(Fault::Buffer)?;
            K::expand(queries, inner, dims.head_size, 0, weighing.tile);
            K::sums(&keys, weighing.tile, scores);

            // Two tokens of a tile are one query's weights.
            let at_once = K::TOKENS / 2;
            let scores = scores.chunks((at_once * dims.outputs()).max(1));
            let results = rows.get_mut(start..).ok_or(Fault::Buffer)?;
            let results = results.chunks_mut((at_once * inner).max(1));
            for (scores, results) in scores.zip(results).take(count.div_ceil(at_once)) {
                weighing.run::<K>(&dims, &values, scores, results)?;
            }
        }
        let mut tiles = memory.tiles.chunks_mut(dims.tile_words().max(1));
        let tile = tiles.nth(number).ok_or(Fault::Buffer)?;
        let rows = rows.get(..count * inner).ok_or(Fault::Buffer)?;
        K::expand(rows, inner, inner, 0, tile);
        Ok(())
    }
}

/// Memory for the weighted sums of a head's values.
struct Weighing<'a> {
    step: &'a Attention<'a>,
    tile: &'a mut [i32],
    weights: &'a mut [i8],
    sums: &'a mut [i32],
}

impl Weighing<'_> {
    /// Writes the weighted means of a head's `values` for as many queries as a tile has
    /// pairs of tokens: `scores` has a row for each, and `results` a token.
    fn run<K: Kernel>(
        &mut self,
        dims: &Dims,
        values: &Linear<'_>,
        scores: &[i32],
        results: &mut [i8],
    ) -> Result<(), Fault> {
        let row_size = row_size(dims.tokens);
        let mut quotients = [None; 2];
        let rows = scores.chunks(dims.outputs().max(1)).zip((0..).step_by(2));
        for (quotient, (scores, first)) in quotients.iter_mut().zip(rows) {
            let scores = scores.get(..dims.tokens).ok_or(Fault::Buffer)?;
            let middle = row_size.min(self.weights.len());
            let (high, low) = self.weights.split_at_mut(middle);
            let sum = softmax::weigh(scores, self.step.exponent, high, low);
            *quotient = Some(Quotient::new(self.step.attended, sum));
            K::expand(self.weights, row_size, dims.tokens, first, self.tile);
        }
        let sums = self.sums.get_mut(..K::TOKENS * dims.head_size);
        let sums = sums.ok_or(Fault::Buffer)?;
        K::sums(values, self.tile, sums);
        let sums = sums.chunks((2 * dims.head_size).max(1));
        let results = results.chunks_mut(dims.inner().max(1));
        for ((quotient, sums), result) in quotients.into_iter().flatten().zip(sums).zip(results) {
            let (high, low) = sums.split_at(dims.head_size.min(sums.len()));
            for ((result, &high), &low) in result.iter_mut().zip(high).zip(low) {
                *result = quotient.of(high, low);
            }
        }
        Ok(())
    }
}

/// Bytes of a head's matrices of keys and values, not zero.
fn matrix_sizes(layout: Layout, dims: &Dims) -> [usize; 2] {
    [
        layout.packed_size(dims.outputs(), dims.head_size).max(1),
        layout.packed_size(dims.head_size, dims.tokens).max(1),
    ]
}
