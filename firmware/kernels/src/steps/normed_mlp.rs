//! The channel MLP behind a norm that is written out:
//! `res_scale * x + layer_scale * fc2(activation(fc1(norm(x))))`, in place.
//!
//! Where each token has its own mean and deviation, the norm is not folded into
//! `fc1` as in [`crate::channel_mlp`]: a tile of tokens is normalised, then both
//! layers take it as it is.

use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::layout::Kernel;
#[cfg(feature = "visit")]
use crate::arithmetic::layout::Layout;
use crate::arithmetic::linear::{PlainLinear, ResidualLinear};
use crate::arithmetic::norm::Stats;
use crate::arithmetic::normed::Normed;
use crate::arithmetic::stream::Stream;
use crate::steps::Step;
use crate::steps::progress::Progress;
use crate::steps::row_mlp::{self, RowMlp};
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

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

fields!(step normed_mlp::NormedMlp<'_>:
    map, scratch, channels, hidden, tile_tokens, norm, fc1, activation, fc2);

impl NormedMlp<'_> {
    /// Scratch bytes that a run needs, in any layout.
    pub const fn scratch_size<S: Stream>(
        channels: usize,
        hidden: usize,
        tile_tokens: usize,
    ) -> usize {
        row_mlp::scratch_size::<S>(channels, hidden, tile_tokens)
    }

    fn check<S: Stream>(&self, map_size: usize) -> Result<(), Fault> {
        let (channels, hidden) = (self.channels, self.hidden);
        ensure(channels > 0 && hidden > 0)?;
        ensure(map_size.is_multiple_of(volume(&[channels, S::BYTES])))?;
        self.fc1.check(hidden)?;
        self.fc2.check::<S>(channels)
    }
}

impl Step for NormedMlp<'_> {
    fn input(&self) -> Buffer {
        self.map
    }

    fn output(&self) -> Buffer {
        self.map
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        let (channels, hidden, tile_tokens) = (self.channels, self.hidden, self.tile_tokens);
        let unpacked = self.fc1.weights.unpacked_size(hidden, channels);
        let unpacked = unpacked.max(self.fc2.weights.unpacked_size(channels, hidden));
        Self::scratch_size::<I>(channels, hidden, tile_tokens) + unpacked
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        self.check::<I>(self.map.size)?;
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
        advance::<K, I>(self, stats, progress, most, arena)
    }
}

#[cfg(feature = "visit")]
impl Described for NormedMlp<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        true
    }

    fn function(&self, _call: &Call) -> Function {
        Function {
            path: "normed_mlp::run",
            parameters: &[Parameter::Layout, Parameter::Input],
        }
    }

    fn units(&self, input: Values) -> Option<usize> {
        Some(self.map.size / self.channels.saturating_mul(input.bytes()).max(1))
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
    Progress::whole(|progress, most| advance::<K, S>(step, stats, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` tokens or one tile; returns whether it is
/// complete.
///
/// # Errors
/// As [`run`].
pub fn advance<K: Kernel, S: Stream>(
    step: &NormedMlp<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    let (map, scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    step.check::<S>(map.len())?;
    let (norm, fc1) = (step.norm.of::<S>(stats), &step.fc1);
    let mlp = RowMlp {
        channels: step.channels,
        hidden: step.hidden,
        tile_tokens: step.tile_tokens,
        fc1: (fc1.weights, fc1.zero),
        activation: step.activation,
        fc2: &step.fc2,
    };
    mlp.advance::<K, S>(
        progress,
        most,
        map,
        scratch,
        |constants| K::constants(fc1.bias, fc1.multiplier, constants),
        |token, row| norm.token::<S>(token, row),
    )
}
