//! The channel MLP on a 16-bit stream; see [`crate::channel_mlp`].

use crate::arena::{self, Fault, ensure};
use crate::arithmetic::int16;
use crate::arithmetic::layout::Kernel;
use crate::arithmetic::norm::{NormScale, Stats};
use crate::arithmetic::stream::{Int16, Width};
use crate::steps::channel_mlp::{ChannelMlp, fold_norm};
use crate::steps::progress::Progress;
use crate::steps::row_mlp::{self, RowMlp};

/// Scratch bytes that a run needs, in any layout.
pub const fn scratch_size(channels: usize, hidden: usize, tile_tokens: usize) -> usize {
    row_mlp::scratch_size::<Int16>(channels, hidden, tile_tokens)
}

pub(super) fn check(step: &ChannelMlp<'_>, values: usize) -> Result<(), Fault> {
    let (fc1, channels, hidden) = (&step.fc1, step.channels, step.hidden);
    ensure(channels > 0 && hidden > 0 && values.is_multiple_of(channels))?;
    ensure(step.shift.len() == channels)?;
    ensure([fc1.row_sums, fc1.bias, fc1.multiplier].map(<[_]>::len) == [hidden; 3])?;
    step.fc2.check::<Int16>(channels)
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
    Progress::whole(|progress, most| advance::<K>(step, stats, progress, most, arena))
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
    let (map, scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    check(step, Int16::values(map)?.len())?;
    let mlp = RowMlp {
        channels: step.channels,
        hidden: step.hidden,
        tile_tokens: step.tile_tokens,
        fc1: (step.fc1.weights, step.hidden_zero),
        activation: step.activation,
        fc2: &step.fc2,
    };
    mlp.advance::<K, Int16>(
        progress,
        most,
        map,
        scratch,
        |constants| {
            let norm = NormScale::of_int16(stats, &step.norm);
            fold_norm::<K>(&step.fc1, &norm, constants);
        },
        |token, row| int16::round(token, step.shift, row),
    )
}
