//! The pooling mixer on a 16-bit stream; see [`crate::pooling`].

use crate::arena::{self, Fault, ensure, volume};
use crate::arithmetic::norm::{NormScale, Stats};
use crate::arithmetic::stream::{Int16, Width};
use crate::steps::pooling::{Pooling, factor};
use crate::steps::progress::Progress;
use crate::steps::scaled_pooling::{Constants, run_columns};

pub use crate::steps::scaled_pooling::scratch_size;

/// Whether buffers and constants are as long as the shape says.
pub(super) fn check(step: &Pooling<'_>, map_size: usize) -> Result<(), Fault> {
    let [.., channels] = step.shape;
    ensure(step.factor.len() == channels)?;
    ensure(map_size > 0 && map_size == volume(&step.shape).saturating_mul(Int16::BYTES))
}

/// Runs the step; `stats` are those of the map as it is read, and the sums of
/// what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run(step: &Pooling<'_>, stats: &Stats, arena: &mut [u8]) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance(step, stats, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` rows; returns whether it is complete.
///
/// # Errors
/// As [`run`].
pub fn advance(
    step: &Pooling<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    check(step, step.map.size)?;
    let norm = NormScale::of_int16(stats, &step.norm);
    let constants = step.factor.iter().map(|&base| Constants {
        factor: factor(base, &norm),
        residual: step.residual,
        offset: step.offset,
    });
    let (map, scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    run_columns::<Int16>(step.shape, progress, most, map, scratch, constants)
}
