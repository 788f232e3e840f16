//! The identity token mixer, `res_scale * x + layer_scale * norm(x)`, and a norm of
//! its own, in place.
//!
//! A per-channel affine of the residual stream whose factors depend on a mean and a
//! deviation, those of the map or of each token:
//!
//! ```text
//! q' = ((residual_c + factor_c / sigma) * q + offset_c - factor_c / sigma * mean) / 2^16
//! ```
//!
//! A norm of its own has a `residual` of zero.

use crate::arena::{Buffer, Fault, ensure};
use crate::arithmetic::fixed::{requantize, round_shift, saturate_i32};
use crate::arithmetic::layout::Kernel;
#[cfg(feature = "visit")]
use crate::arithmetic::layout::Layout;
use crate::arithmetic::norm::{Norm, NormScale, Stats};
use crate::arithmetic::normed::NormScope;
use crate::arithmetic::stream::Stream;
use crate::steps::Step;
use crate::steps::progress::{Piece, Progress};
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// The largest factor: `128 * SLOPE_MAX` stays below `2^30`.
pub const SLOPE_MAX: i32 = 1 << 23;

/// Constants of one identity mixer or norm.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The residual stream, `tokens x channels`, read and written.
    pub map: Buffer,
    /// Values per token.
    pub channels: usize,
    /// Which values share a mean and a deviation.
    pub scope: NormScope,
    /// The norm, of the whole map or of one token.
    pub norm: Norm,
    /// `layer_scale * gamma / output scale` per channel, Q20.
    pub factor: &'a [i32],
    /// Zero points, half a step and `layer_scale * beta` per channel, Q16.
    pub offset: &'a [i32],
    /// `res_scale * input scale / output scale` per channel, Q16.
    pub residual: &'a [i32],
}

fields!(step identity::Identity<'_>:
    map, channels, scope, norm, factor, residual, offset);

/// Runs the step; `stats` are those of the map as it is read, and the sums of
/// what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<S: Stream>(
    step: &Identity<'_>,
    stats: &Stats,
    arena: &mut [u8],
) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance::<S>(step, stats, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` tokens; returns whether it is complete.
///
/// # Errors
/// As [`run`].
pub fn advance<S: Stream>(
    step: &Identity<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    let channels = step.channels;
    let map = S::values_mut(step.map.of_mut(arena)?)?;
    step.check(map.len())?;
    let total = map.len() / channels.max(1);
    let piece = Piece::next(progress, total, most, 1);
    let map = piece.of_mut(map, channels)?;
    let mut written = progress.written;
    written.add_all(match step.scope {
        NormScope::Map => S::affine_map(map, channels, step.affines(&S::norm(stats, &step.norm))),
        NormScope::Token => step.update_tokens::<S>(map),
    });
    Ok(progress.reach(piece.end, total, written))
}

impl Step for Identity<'_> {
    fn input(&self) -> Buffer {
        self.map
    }

    fn output(&self) -> Buffer {
        self.map
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        0
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        self.check(self.map.size / I::BYTES)
    }

    fn advance<K: Kernel, I: Stream, O: Stream>(
        &self,
        stats: &Stats,
        progress: &mut Progress,
        most: usize,
        arena: &mut [u8],
    ) -> Result<bool, Fault> {
        advance::<I>(self, stats, progress, most, arena)
    }
}

#[cfg(feature = "visit")]
impl Described for Identity<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        false
    }

    fn is_fixed(&self) -> bool {
        self.norm.is_fixed()
    }

    fn function(&self, _call: &Call) -> Function {
        Function {
            path: "identity::run",
            parameters: &[Parameter::Input],
        }
    }

    fn units(&self, input: Values) -> Option<usize> {
        Some(self.map.size / self.channels.saturating_mul(input.bytes()).max(1))
    }
}

impl Identity<'_> {
    fn check(&self, values: usize) -> Result<(), Fault> {
        let channels = self.channels;
        ensure(channels > 0 && values.is_multiple_of(channels))?;
        ensure(self.factor.len() == channels && self.offset.len() == channels)?;
        ensure(self.residual.len() == channels)
    }

    fn update_tokens<S: Stream>(&self, map: &mut [S::Value]) -> Stats {
        let mut written = Stats::default();
        let largest = Largest::of(self);
        for token in map.chunks_exact_mut(self.channels.max(1)) {
            let norm = S::norm(&S::sums(token), &self.norm);
            let mut sums = S::Sums::default();
            if largest.fits(&norm) {
                let constants = self.factor.iter().zip(self.offset).zip(self.residual);
                for (value, ((&factor, &offset), &residual)) in token.iter_mut().zip(constants) {
                    let (slope, offset) = small_affine(factor, offset, residual, &norm);
                    S::affine(value, slope, offset, &mut sums);
                }
            } else {
                for (value, (slope, offset)) in token.iter_mut().zip(self.affines(&norm)) {
                    S::affine(value, slope, offset, &mut sums);
                }
            }
            written.add_all(sums.into());
        }
        written
    }

    /// Slope and offset of each channel for this mean and deviation, Q16.
    fn affines(&self, norm: &NormScale) -> impl Iterator<Item = (i32, i32)> {
        let constants = self.factor.iter().zip(self.offset).zip(self.residual);
        constants.map(|((&factor, &offset), &residual)| affine(factor, offset, residual, norm))
    }
}

fn affine(factor: i32, offset: i32, residual: i32, norm: &NormScale) -> (i32, i32) {
    let branch = round_shift(i64::from(factor) * i64::from(norm.inv_sigma), 28);
    let branch = branch.clamp(-i64::from(SLOPE_MAX), i64::from(SLOPE_MAX));
    let slope = (i64::from(residual) + branch).clamp(-i64::from(SLOPE_MAX), i64::from(SLOPE_MAX));
    let offset = i64::from(offset) - round_shift(branch * i64::from(norm.mean), 16);
    // Beyond this every value saturates anyway, and the sum above cannot wrap.
    let bound = (1 << 30) - 1;
    (slope as i32, saturate_i32(offset.clamp(-bound, bound)))
}

/// The result of [`affine`] where [`Largest`] fits: nothing is clamped, and each product is
/// rounded by the one instruction of [`requantize`].
#[inline(always)]
fn small_affine(factor: i32, offset: i32, residual: i32, norm: &NormScale) -> (i32, i32) {
    let branch = requantize(factor, norm.inv_sigma << 4);
    let of_mean = requantize(branch << 8, norm.mean << 8);
    (residual.wrapping_add(branch), offset.wrapping_sub(of_mean))
}

/// The largest absolute values of the constants.
struct Largest {
    factor: u32,
    offset: u32,
    residual: u32,
}

impl Largest {
    fn of(step: &Identity<'_>) -> Self {
        let [factor, offset, residual] = [step.factor, step.offset, step.residual].map(|list| {
            let largest = list.iter().map(|value| value.unsigned_abs()).max();
            largest.unwrap_or(0)
        });
        Self {
            factor,
            offset,
            residual,
        }
    }

    /// Whether [`small_affine`] is exact for all channels of a token with this mean and
    /// deviation: no shift overflows, and nothing is beyond where [`affine`] clamps.
    fn fits(&self, norm: &NormScale) -> bool {
        const MEAN_BOUND: u32 = 1 << 23;
        if norm.inv_sigma >= 1 << 27 || norm.mean.unsigned_abs() >= MEAN_BOUND {
            return false;
        }
        let branch = (u64::from(self.factor) * u64::from(norm.inv_sigma.unsigned_abs())) >> 28;
        let branch = branch + 1;
        let slope = branch + u64::from(self.residual);
        // The mean is below 2^23, Q16.
        let offset = (branch << 7) + 1 + u64::from(self.offset);
        branch < 1 << 23 && slope <= SLOPE_MAX as u64 && offset < 1 << 30
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn small_affines_are_exact(
            factor in any::<i32>(),
            bits in 0u32..32,
            offset in -(1i32 << 29)..1 << 29,
            residual in -(1i32 << 23)..1 << 23,
            mean in -(1 << 24)..1 << 24,
            inv_sigma in 0..i32::MAX,
            less in 0u32..31,
        ) {
            let (factor, inv_sigma) = (factor >> bits, inv_sigma >> less);
            let norm = NormScale { mean, sigma: 0, inv_sigma };
            let largest = Largest {
                factor: factor.unsigned_abs(),
                offset: offset.unsigned_abs(),
                residual: residual.unsigned_abs(),
            };
            if largest.fits(&norm) {
                let exact = affine(factor, offset, residual, &norm);
                prop_assert_eq!(small_affine(factor, offset, residual, &norm), exact);
            }
        }
    }
}
