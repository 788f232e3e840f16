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
use crate::arithmetic::fixed::{round_shift, saturate_i32};
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
        for token in map.chunks_exact_mut(self.channels.max(1)) {
            let norm = S::norm(&S::sums(token), &self.norm);
            for (value, (slope, offset)) in token.iter_mut().zip(self.affines(&norm)) {
                written.add_all(S::affine(core::iter::once(value), slope, offset));
            }
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
