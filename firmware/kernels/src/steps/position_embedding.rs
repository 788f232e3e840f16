//! A learned position embedding: a constant map that is added to the stream, in place.
//!
//! ```text
//! q' = residual * q + factor_c * position + offset
//! ```
//!
//! # Constants from real numbers
//!
//! With `position_scale_c * positions` for the constant map, and the scales and zero points
//! of the stream that is read and written:
//!
//! ```text
//! factor   = position_scale / written_scale                              Q24
//! residual = x_scale / written_scale                                     Q24
//! offset   = written_zero + half a step - residual * x_zero              Q16
//! ```

use crate::arena::{Buffer, Fault, ensure, volume};
use crate::arithmetic::layout::Kernel;
#[cfg(feature = "visit")]
use crate::arithmetic::layout::Layout;
use crate::arithmetic::norm::Stats;
use crate::arithmetic::stream::Stream;
use crate::steps::Step;
use crate::steps::progress::{Piece, Progress};
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// Constants of one position embedding.
#[derive(Debug, Clone, Copy)]
pub struct PositionEmbedding<'a> {
    /// The stream, read and written.
    pub map: Buffer,
    /// A value for each of the map's.
    pub positions: &'a [i8],
    /// Steps of the written stream for one of `positions`, per channel, Q24.
    pub factor: &'a [i32],
    /// Steps of the written stream for one that is read, Q24.
    pub residual: i32,
    /// Zero points and half a step, Q16.
    pub offset: i32,
}

fields!(step position_embedding::PositionEmbedding<'_>:
    map, positions, factor, residual, offset);

impl PositionEmbedding<'_> {
    fn check<S: Stream>(&self, map_size: usize) -> Result<(), Fault> {
        let (channels, values) = (self.factor.len(), self.positions.len());
        ensure(channels > 0 && values > 0 && values.is_multiple_of(channels))?;
        ensure(map_size == volume(&[values, S::BYTES]))
    }
}

impl Step for PositionEmbedding<'_> {
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
        self.check::<I>(self.map.size)
    }

    fn advance<K: Kernel, I: Stream, O: Stream>(
        &self,
        _stats: &Stats,
        progress: &mut Progress,
        most: usize,
        arena: &mut [u8],
    ) -> Result<bool, Fault> {
        advance::<I>(self, progress, most, arena)
    }
}

#[cfg(feature = "visit")]
impl Described for PositionEmbedding<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        false
    }

    fn function(&self, _call: &Call) -> Function {
        Function {
            path: "position_embedding::run",
            parameters: &[Parameter::Input],
        }
    }

    fn reads_sums(&self) -> bool {
        false
    }

    fn units(&self, _input: Values) -> Option<usize> {
        Some(self.positions.len() / self.factor.len().max(1))
    }
}

/// Runs the step on a stream of type `S`, and returns the sums of what was written.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<S: Stream>(step: &PositionEmbedding<'_>, arena: &mut [u8]) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance::<S>(step, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` tokens; returns whether it is complete.
///
/// # Errors
/// As [`run`].
pub fn advance<S: Stream>(
    step: &PositionEmbedding<'_>,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    let map = step.map.of_mut(arena)?;
    step.check::<S>(map.len())?;
    let map = S::values_mut(map)?;
    // Not zero, as was checked; said again where the compiler sees it.
    let channels = step.factor.len().max(1);
    let total = map.len() / channels;
    let piece = Piece::next(progress, total, most, 1);
    let tokens = piece.of_mut(map, channels)?.chunks_exact_mut(channels);
    let positions = step.positions.get(piece.first * channels..);
    let positions = positions.ok_or(Fault::Geometry)?.chunks_exact(channels);
    let offset = i64::from(step.offset) << 16;
    let mut written = progress.written;
    for (token, positions) in tokens.zip(positions) {
        for ((value, &position), &factor) in token.iter_mut().zip(positions).zip(step.factor) {
            let stream = i64::from(step.residual) * i64::from(S::widened(*value));
            let branch = (i64::from(factor) * i64::from(position)) << 8;
            S::store(value, stream + branch + offset, &mut written);
        }
    }
    Ok(progress.reach(piece.end, total, written))
}
