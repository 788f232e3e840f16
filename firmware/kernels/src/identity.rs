//! The identity token mixer: `x + layer_scale * norm(x)`, in place.
//!
//! A per-channel affine of the residual stream whose factors depend on the
//! map's mean and deviation:
//!
//! ```text
//! q' = ((residual + factor_c / sigma) * q + offset_c - factor_c / sigma * mean) / 2^16
//! ```

use crate::arch::cast;
use crate::arena::{Buffer, Fault, ensure};
use crate::fixed::{round_shift, saturate_i8, saturate_i32};
use crate::norm::{Norm, NormScale, Partial, Stats};

/// The largest factor: `128 * SLOPE_MAX` stays below `2^30`.
pub const SLOPE_MAX: i32 = 1 << 23;

/// Constants of one identity mixer.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The residual stream, `tokens x channels`, read and written.
    pub map: Buffer,
    /// Values per token.
    pub channels: usize,
    /// The norm before the mixer.
    pub norm: Norm,
    /// `layer_scale * gamma / output scale` per channel, Q20.
    pub factor: &'a [i32],
    /// Zero points, half a step and `layer_scale * beta` per channel, Q16.
    pub offset: &'a [i32],
    /// Input scale over output scale, Q16.
    pub residual: i32,
}

/// Runs the step; `stats` are those of the map as it is read, and the sums of
/// what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run(step: &Identity<'_>, stats: &Stats, arena: &mut [u8]) -> Result<Stats, Fault> {
    let map = cast::i8s_mut(step.map.of_mut(arena)?);
    ensure(step.channels > 0 && map.len().is_multiple_of(step.channels))?;
    ensure(step.factor.len() == step.channels && step.offset.len() == step.channels)?;
    let norm = NormScale::new(stats, &step.norm);
    let constants = step.factor.iter().zip(step.offset);
    let mut written = Stats::default();
    for (channel, (&factor, &offset)) in constants.enumerate().take(step.channels) {
        let (slope, offset) = affine(factor, offset, step.residual, &norm);
        let values = map.iter_mut().skip(channel).step_by(step.channels.max(1));
        let mut partial = Partial::default();
        for q in values {
            *q = saturate_i8((slope * i32::from(*q)).wrapping_add(offset) >> 16);
            partial.add(*q);
        }
        written.merge(partial);
    }
    Ok(written)
}

/// Slope and offset of one channel for this mean and deviation, Q16.
pub(crate) fn affine(factor: i32, offset: i32, residual: i32, norm: &NormScale) -> (i32, i32) {
    let branch = round_shift(i64::from(factor) * i64::from(norm.inv_sigma), 28);
    let branch = branch.clamp(-i64::from(SLOPE_MAX), i64::from(SLOPE_MAX));
    let slope = (i64::from(residual) + branch).clamp(-i64::from(SLOPE_MAX), i64::from(SLOPE_MAX));
    let offset = i64::from(offset) - round_shift(branch * i64::from(norm.mean), 16);
    // Beyond this every value saturates anyway, and the sum above cannot wrap.
    let bound = (1 << 30) - 1;
    (slope as i32, saturate_i32(offset.clamp(-bound, bound)))
}
