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

pub mod int16;

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::layout::Kernel;
#[cfg(feature = "visit")]
use crate::arithmetic::layout::Layout;
use crate::arithmetic::linear::{NormedLinear, ResidualLinear};
use crate::arithmetic::matmul::{Layer, tile_words};
use crate::arithmetic::norm::{Norm, NormScale, Stats};
use crate::arithmetic::stream::Stream;
use crate::present::missing;
use crate::steps::Step;
use crate::steps::progress::{Piece, Progress};
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// Constants of one channel MLP.
#[derive(Debug, Clone, Copy)]
pub struct ChannelMlp<'a> {
    /// The residual stream, `tokens x channels`, read and written.
    pub map: Buffer,
    /// At least [`ChannelMlp::scratch_size`] bytes, or
    /// [`crate::int16::channel_mlp::scratch_size`], 4-byte aligned, and
    /// [`crate::weights::unpacked_size`] for the larger matrix of four-bit weights.
    pub scratch: Buffer,
    /// Values per token.
    pub channels: usize,
    /// Values per token between `fc1` and `fc2`.
    pub hidden: usize,
    /// Tokens expanded at a time, rounded up to full tiles of the layout. One
    /// tile is as fast as many unless weights come through a cache or are
    /// unpacked.
    pub tile_tokens: usize,
    /// The norm before `fc1`; [`Norm::FIXED`] if there is none, or one that is folded into
    /// it.
    pub norm: Norm,
    /// Bits per channel of an int16 stream that are rounded away before `fc1`, at most
    /// eight; empty for an int8 stream.
    pub shift: &'a [u8],
    /// Channels to hidden; on an int16 stream a weight counts `2^(8 - shift)` times in
    /// the sum of its row.
    pub fc1: NormedLinear<'a>,
    /// Zero point of the activation's input, in `0..=255`.
    pub hidden_zero: i32,
    /// The activation as a table from `u8` to `i8`.
    pub activation: &'a [i8; 256],
    /// Hidden to channels.
    pub fc2: ResidualLinear<'a>,
}

fields!(step channel_mlp::ChannelMlp<'_>:
    map, scratch, channels, hidden, tile_tokens, norm, shift, fc1, hidden_zero,
    activation, fc2);

impl ChannelMlp<'_> {
    /// Scratch bytes that a run needs, in any layout.
    pub const fn scratch_size(channels: usize, hidden: usize, tile_tokens: usize) -> usize {
        let constants = 8 * (channels + hidden);
        let tile = 4 * (tile_words(channels) + tile_words(hidden));
        constants + tiles(tile_tokens) * tile
    }

    fn check<K: Kernel>(&self, map_size: usize) -> Result<(), Fault> {
        let (fc1, fc2) = (&self.fc1, &self.fc2);
        let (channels, hidden) = (self.channels, self.hidden);
        ensure(channels > 0 && hidden > 0 && map_size.is_multiple_of(channels))?;
        ensure(K::LAYOUT.reads_whole(channels))?;
        // Written out: a loop over the slices is larger.
        ensure(fc1.row_sums.len() == hidden && fc1.bias.len() == hidden)?;
        ensure(fc1.multiplier.len() == hidden && fc2.multiplier.len() == channels)?;
        ensure(fc2.bias.len() == channels && fc2.residual.len() == channels)
    }
}

impl Step for ChannelMlp<'_> {
    fn input(&self) -> Buffer {
        self.map
    }

    fn output(&self) -> Buffer {
        self.map
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        let (channels, hidden, tile_tokens) = (self.channels, self.hidden, self.tile_tokens);
        let own = match I::FRACTION {
            0 => Self::scratch_size(channels, hidden, tile_tokens),
            _ => int16::scratch_size(channels, hidden, tile_tokens),
        };
        let unpacked = self.fc1.weights.unpacked_size(hidden, channels);
        own + unpacked.max(self.fc2.weights.unpacked_size(channels, hidden))
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        match I::FRACTION {
            0 => self.check::<K>(self.map.size)?,
            _ => int16::check(self, self.map.size / I::BYTES)?,
        }
        self.fc1
            .weights
            .check(K::LAYOUT, self.hidden, self.channels)?;
        self.fc2
            .weights
            .check(K::LAYOUT, self.channels, self.hidden)?;
        self.scratch.holds(Step::scratch_size::<I, O>(self))
    }

    fn advance<K: Kernel, I: Stream, O: Stream>(
        &self,
        stats: &Stats,
        progress: &mut Progress,
        most: usize,
        arena: &mut [u8],
    ) -> Result<bool, Fault> {
        match I::FRACTION {
            0 => advance_int4::<K>(self, stats, progress, most, arena),
            _ => int16::advance::<K>(self, stats, progress, most, arena),
        }
    }
}

#[cfg(feature = "visit")]
impl Described for ChannelMlp<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        true
    }

    fn is_fixed(&self) -> bool {
        self.norm.is_fixed()
    }

    fn function(&self, call: &Call) -> Function {
        Function {
            path: match call.input {
                Values::Int8 if call.int4 => "channel_mlp::run_int4",
                Values::Int8 => "channel_mlp::run",
                Values::Int16 => "int16::channel_mlp::run",
            },
            parameters: &[Parameter::Layout],
        }
    }

    fn units(&self, input: Values) -> Option<usize> {
        Some(self.map.size / self.channels.saturating_mul(input.bytes()).max(1))
    }
}

/// Tiles that hold `tile_tokens` tokens: of two tokens in most layouts, of four
/// narrower ones in the others.
pub(crate) const fn tiles(tile_tokens: usize) -> usize {
    if tile_tokens > 2 {
        tile_tokens.div_ceil(2)
    } else {
        1
    }
}

/// Runs the step; `stats` are those of the map as it is read, and the sums of
/// what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match, or weights have four bits.
pub fn run<K: Kernel>(
    step: &ChannelMlp<'_>,
    stats: &Stats,
    arena: &mut [u8],
) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance::<K>(step, stats, progress, most, arena))
}

/// The same for weights of any number of bits.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run_int4<K: Kernel>(
    step: &ChannelMlp<'_>,
    stats: &Stats,
    arena: &mut [u8],
) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance_int4::<K>(step, stats, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` tokens or one tile; returns whether it is
/// complete.
///
/// # Errors
/// As [`run`].
pub fn advance<K: Kernel>(
    step: &ChannelMlp<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    advance_with::<K, false>(step, stats, progress, most, arena)
}

/// The same for weights of any number of bits.
///
/// # Errors
/// As [`run_int4`].
pub fn advance_int4<K: Kernel>(
    step: &ChannelMlp<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    advance_with::<K, true>(step, stats, progress, most, arena)
}

fn advance_with<K: Kernel, const INT4: bool>(
    step: &ChannelMlp<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    let (map, mut scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    step.check::<K>(map.len())?;
    let (channels, hidden) = (step.channels, step.hidden);
    let count = tiles(step.tile_tokens);
    // A tile, and the one of the hidden layer.
    let tile_size = tile_words(channels);
    let size = tile_size.saturating_add(tile_words(hidden));
    let tiles = arena::cut(&mut scratch, volume(&[count, size]))?;
    let fc1_constants = arena::cut(&mut scratch, 2 * hidden)?;
    let fc2_constants = arena::cut(&mut scratch, 2 * channels)?;
    let unpacked = scratch;
    if progress.begins() {
        fold_norm::<K>(&step.fc1, &NormScale::new(stats, &step.norm), fc1_constants);
        K::constants(step.fc2.bias, step.fc2.multiplier, fc2_constants);
    }
    let fc1 = Layer::new::<K, INT4>(
        step.fc1.weights,
        [channels, hidden],
        fc1_constants,
        step.hidden_zero,
    )?;
    let fc2 = Layer::new::<K, INT4>(
        step.fc2.weights,
        [hidden, channels],
        fc2_constants,
        step.fc2.zero_point,
    )?;

    let mut written = progress.written;
    // Not zero, as was checked; said again where the compiler sees it.
    let tile_tokens = (K::TOKENS * channels).max(1);
    let total = map.len() / channels.max(1);
    let piece = Piece::next(progress, total, most, count * K::TOKENS);
    let map = piece.of_mut(cast::i8s_mut(map), channels)?;
    for tokens in map.chunks_mut((count * tile_tokens).max(1)) {
        for (layer, is_last) in [(&fc1, false), (&fc2, true)] {
            layer.each_part::<K, INT4>(layer.at_once(), unpacked, |part| {
                let mut tiles = tiles.chunks_mut(size);
                for tokens in tokens.chunks_mut(tile_tokens) {
                    let Some(tile) = tiles.next() else {
                        missing();
                        break;
                    };
                    let Some((tile, next)) = tile.split_at_mut_checked(tile_size) else {
                        missing();
                        break;
                    };
                    if is_last {
                        written.merge(K::update(part, step.fc2.residual, next, tokens));
                        continue;
                    }
                    if part.first() == 0 {
                        K::expand(tokens, channels, channels, 0, tile);
                    }
                    K::activate(part, step.activation, tile, next);
                }
            })?;
        }
    }
    Ok(progress.reach(piece.end, total, written))
}

/// Accumulator starts and multipliers for this mean and deviation.
pub(crate) fn fold_norm<K: Kernel>(
    fc1: &NormedLinear<'_>,
    norm: &NormScale,
    constants: &mut [i32],
) {
    let (pairs, _) = constants.as_chunks_mut::<2>();
    let each = fc1.bias.iter().zip(fc1.row_sums).zip(fc1.multiplier);
    for ([start, multiplier], ((&bias, &row_sum), &base)) in pairs.iter_mut().zip(each) {
        *start = norm.start(bias, row_sum);
        *multiplier = norm.multiplier(base);
    }
    K::arrange(constants);
}
