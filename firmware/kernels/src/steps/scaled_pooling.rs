//! The pooling token mixer with a res scale, or without the subtraction:
//! `res_scale * x + layer_scale * (pool(n) - n)` or `res_scale * x + layer_scale * pool(n)`,
//! `n = norm(x)`, in place.
//!
//! As [`crate::pooling`] but for constants of each channel:
//!
//! ```text
//! q' = (residual_c * q + factor_c / sigma * e + offset_c) / 2^16
//! ```
//!
//! Where nothing is subtracted, `e + 36 * (q - mean)` stands for `e`: the pool of the map's
//! deviations from its mean. The norm's beta is then part of `offset_c`, with the zero point
//! of the map if statistics are fixed, for their mean is zero.
//!
//! A channel at a time along each row, in portable code, for streams of either width.

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::fixed::narrow;
use crate::arithmetic::layout::Kernel;
#[cfg(feature = "visit")]
use crate::arithmetic::layout::Layout;
use crate::arithmetic::norm::{Norm, NormScale, Stats};
use crate::arithmetic::stream::Stream;
use crate::present::{Present, missing};
use crate::steps::Step;
use crate::steps::pooling::{Subtracted, factor, weight, window_rows};
use crate::steps::progress::{Piece, Progress};
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// Constants of one pooling mixer; the window is 3x3, the stride 1.
#[derive(Debug, Clone, Copy)]
pub struct ScaledPooling<'a> {
    /// The residual stream, read and written.
    pub map: Buffer,
    /// At least [`scratch_size`] bytes, 4-byte aligned.
    pub scratch: Buffer,
    /// Rows, columns and channels.
    pub shape: [usize; 3],
    /// The norm before the mixer; [`Norm::FIXED`] if there is none, or one that is folded
    /// into the factors.
    pub norm: Norm,
    /// The values that are taken off the pool.
    pub subtracted: Subtracted,
    /// `layer_scale * gamma / (36 * output scale)` per channel, Q24.
    pub factor: &'a [i32],
    /// `res_scale * input scale / output scale` per channel, Q16.
    pub residual: &'a [i32],
    /// Zero points and half a step per channel, Q16.
    pub offset: &'a [i32],
}

fields!(step scaled_pooling::ScaledPooling<'_>:
    map, scratch, shape, norm, subtracted, factor, residual, offset);

/// Scratch bytes that a run needs.
pub const fn scratch_size(width: usize, channels: usize) -> usize {
    (2 * width * channels).next_multiple_of(4)
}

impl Step for ScaledPooling<'_> {
    fn input(&self) -> Buffer {
        self.map
    }

    fn output(&self) -> Buffer {
        self.map
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        let [_, width, channels] = self.shape;
        scratch_size(width, channels)
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        self.check::<I>(self.map.size)?;
        self.scratch.holds(self.scratch_size::<I, O>())
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

impl ScaledPooling<'_> {
    fn check<S: Stream>(&self, map_size: usize) -> Result<(), Fault> {
        let [.., channels] = self.shape;
        ensure([self.factor, self.residual, self.offset].map(<[_]>::len) == [channels; 3])?;
        ensure(map_size > 0 && map_size == volume(&self.shape).saturating_mul(S::BYTES))
    }
}

#[cfg(feature = "visit")]
impl Described for ScaledPooling<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        false
    }

    fn is_fixed(&self) -> bool {
        self.norm.is_fixed()
    }

    fn function(&self, _call: &Call) -> Function {
        Function {
            path: "scaled_pooling::run",
            parameters: &[Parameter::Input],
        }
    }

    fn units(&self, _input: Values) -> Option<usize> {
        Some(self.shape[0])
    }
}

/// Runs the step; `stats` are those of the map as it is read, and the sums of
/// what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<S: Stream>(
    step: &ScaledPooling<'_>,
    stats: &Stats,
    arena: &mut [u8],
) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance::<S>(step, stats, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` rows; returns whether it is complete.
///
/// # Errors
/// As [`run`].
pub fn advance<S: Stream>(
    step: &ScaledPooling<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    step.check::<S>(step.map.size)?;
    let norm = S::norm(stats, &step.norm);
    let constants = step.factor.iter().zip(step.residual).zip(step.offset);
    let constants = constants.map(|((&base, &residual), &offset)| {
        let constants = Constants {
            factor: factor(base, &norm),
            residual,
            offset,
        };
        match step.subtracted {
            Subtracted::Pooled => constants,
            Subtracted::Nothing => constants.with_values(&norm),
        }
    });
    let (map, scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    run_columns::<S>(step.shape, progress, most, map, scratch, constants)
}

/// Constants of one channel for the deviation of a run, Q16.
#[derive(Clone, Copy)]
pub(crate) struct Constants {
    pub(crate) factor: i32,
    pub(crate) residual: i32,
    pub(crate) offset: i32,
}

impl Constants {
    /// The constants that add the deviation of each value from the mean, which the pool's
    /// difference lacks.
    fn with_values(self, norm: &NormScale) -> Self {
        let slope = 36 * i64::from(self.factor);
        let of_mean = (slope * i64::from(norm.mean)) >> 16;
        Self {
            residual: narrow(i64::from(self.residual) + slope, 0),
            offset: narrow(i64::from(self.offset) - of_mean, 0),
            ..self
        }
    }
}

/// Runs a piece of the mixer with constants of each channel.
pub(crate) fn run_columns<S: Stream>(
    shape: [usize; 3],
    progress: &mut Progress,
    most: usize,
    map: &mut [u8],
    scratch: &mut [i32],
    constants: impl Iterator<Item = Constants> + Clone,
) -> Result<bool, Fault> {
    let [height, width, channels] = shape;
    let map = S::values_mut(map)?;
    ensure(!map.is_empty() && map.len() == volume(&shape))?;
    let row_size = width * channels;
    let above = cast::words_as_i16s_mut(scratch);
    let above = above.get_mut(..row_size).ok_or(Fault::Buffer)?;
    if progress.begins() {
        // Zeros above the first row.
        above.fill(0);
    }

    let piece = Piece::next(progress, height, most, 1);
    let mut written = progress.written;
    let rest = map.get_mut(piece.first * row_size..);
    let mut rest = rest.ok_or(Fault::Geometry)?;
    for y in piece.first..piece.end {
        let row;
        (row, rest) = rest.split_at_mut_checked(row_size).ok_or(Fault::Geometry)?;
        let below = rest.get(..row_size).unwrap_or(&[]);
        debug_assert_eq!(below.is_empty(), y + 1 == height);
        let window_rows = window_rows(y, height) as i32;
        for (channel, constants) in constants.clone().enumerate() {
            let column = Column {
                constants,
                width,
                channels,
                window_rows,
            };
            let row = row.get_mut(channel..).present();
            let above = above.get_mut(channel..).present();
            let below = below.get(channel..).unwrap_or(&[]);
            column.run::<S>(row, above, below, &mut written);
        }
    }
    Ok(progress.reach(piece.end, height, written))
}

/// One channel along a row.
struct Column {
    constants: Constants,
    width: usize,
    channels: usize,
    window_rows: i32,
}

impl Column {
    /// `above` holds the row above as it was, and is left with this row as it
    /// was; `below` is empty at the bottom.
    fn run<S: Stream>(
        &self,
        row: &mut [S::Value],
        above: &mut [i16],
        below: &[S::Value],
        written: &mut Stats,
    ) {
        let Constants {
            factor,
            residual,
            offset,
        } = self.constants;
        let offset = i64::from(offset) << 16;
        windows(
            [self.width, self.channels],
            self.window_rows,
            &mut (row, above),
            |(row, above), at| vertical(row, above, below, at),
            |(row, _), at, pooled| {
                let Some(value) = row.get_mut(at) else {
                    return missing();
                };
                let q: i32 = (*value).into();
                let e = pooled - 36 * q;
                let sum = i64::from(residual) * i64::from(q) + i64::from(factor) * i64::from(e);
                S::store(value, (sum << (16 - S::FRACTION)) + offset, written);
            },
        );
    }
}

/// Walks along a row of `width` windows, whose places lie `stride` values apart:
/// `update` is called for each place with 36 times the mean of its window.
///
/// `vertical` gives the sum of the window's column at a place. It is asked once for
/// each, before `update` is called for the place before it.
#[inline(always)]
pub(crate) fn windows<T: ?Sized>(
    [width, stride]: [usize; 2],
    window_rows: i32,
    row: &mut T,
    mut vertical: impl FnMut(&mut T, usize) -> i32,
    mut update: impl FnMut(&mut T, usize, i32),
) {
    let (inner, edge) = (weight(3 * window_rows), weight(2 * window_rows));
    let (mut left, mut centre) = (0, vertical(row, 0));
    for x in 0..width {
        let at = x * stride;
        let last = x + 1 == width;
        let right = if last { 0 } else { vertical(row, at + stride) };
        let weight = match (x == 0, last) {
            (false, false) => inner,
            (true, true) => weight(window_rows),
            _ => edge,
        };
        update(row, at, (left + centre + right) * weight);
        (left, centre) = (centre, right);
    }
}

/// The sum of a column of the window, and `above` moved on by one row.
#[inline(always)]
fn vertical<T: Copy + Into<i32>>(row: &[T], above: &mut [i16], below: &[T], at: usize) -> i32 {
    let value = row.get(at).map(|&value| value.into()).present();
    // Nothing lies below the last row.
    let below = below.get(at).map_or(0, |&value| value.into());
    let above = above.get_mut(at).map(|above| {
        // Values have sixteen bits at most.
        core::mem::replace(above, value as i16)
    });
    i32::from(above.present()) + value + below
}
