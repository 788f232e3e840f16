//! The identity mixer on a 16-bit stream; see [`crate::identity`].

use crate::arch::cast;
use crate::arena::{Fault, ensure};
use crate::identity::{Identity, affine};
use crate::int16;
use crate::norm::{NormScale, Stats};

/// Runs the step; `stats` are those of the map as it is read, and the sums of
/// what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run(step: &Identity<'_>, stats: &Stats, arena: &mut [u8]) -> Result<Stats, Fault> {
    let map = cast::i16s_mut(step.map.of_mut(arena)?)?;
    ensure(step.channels > 0 && map.len().is_multiple_of(step.channels))?;
    ensure(step.factor.len() == step.channels && step.offset.len() == step.channels)?;
    let norm = NormScale::of_int16(stats, &step.norm);
    let constants = step.factor.iter().zip(step.offset);
    let mut written = Stats::default();
    for (channel, (&factor, &offset)) in constants.enumerate().take(step.channels) {
        let (slope, offset) = affine(factor, offset, step.residual, &norm);
        let offset = i64::from(offset) << 16;
        for value in map.iter_mut().skip(channel).step_by(step.channels.max(1)) {
            let product = i64::from(slope) * i64::from(*value);
            written.add(int16::store(value, (product << 8) + offset));
        }
    }
    Ok(written)
}
