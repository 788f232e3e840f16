//! The pooling token mixer with a window of 5x5 or 7x7, padding not counted:
//! `res_scale * x + layer_scale * (pool(n) - n)` or `res_scale * x + layer_scale * pool(n)`,
//! `n = norm(x)`, in place.
//!
//! As [`crate::scaled_pooling`] behind a norm that is folded, and as
//! [`crate::normed_pooling`] behind one that is written out, but with a ring of as many rows
//! as the window has, and with one common multiple for all numbers of neighbours:
//!
//! ```text
//! q' = residual_c * q + factor_c * e + offset_c
//! e  = MULTIPLE / n * (sum of the n neighbours) - MULTIPLE * centre
//! ```
//!
//! The neighbours are values of the stream in units of `q`, or normalised ones. `e` is an
//! exact integer, in units of their 256th. Where nothing is subtracted, the mean of a folded
//! norm stands for the centre, and zero for it behind a norm that is written out.
//!
//! # Constants from real numbers
//!
//! ```text
//! folded norm    factor   = layer_scale * gamma / (MULTIPLE * written_scale)           Q36
//! no norm        the same, times x_scale
//! written norm   factor   = layer_scale * gamma * n_scale / (MULTIPLE * written_scale) Q40
//! all            residual = res_scale * x_scale / written_scale                        Q24
//!                offset   = written_zero + half a step - residual * x_zero             Q16
//! nothing subtracted: offset also has layer_scale * beta / written_scale, and without a norm
//!                - layer_scale * gamma * x_scale / written_scale * x_zero
//! ```

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::layout::Kernel;
#[cfg(feature = "visit")]
use crate::arithmetic::layout::Layout;
use crate::arithmetic::norm::{Norm, Stats};
use crate::arithmetic::normed::Normed;
use crate::arithmetic::stream::{Int8, Stream, Width};
use crate::present::Present;
use crate::steps::Step;
use crate::steps::pooling::Subtracted;
use crate::steps::progress::{Piece, Progress};
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// A common multiple of the places of all windows of at most 7x7 that reach over an edge.
pub const MULTIPLE: i32 = 420 * 420;

/// The largest window side.
pub const LARGEST: usize = 7;

/// Factors lie in `-FACTOR_MAX..=FACTOR_MAX`: with it all sums stay below `2^63`.
pub const FACTOR_MAX: i32 = 1 << 28;

/// Constants of one pooling mixer; the stride is 1.
#[derive(Debug, Clone, Copy)]
pub struct WidePooling<'a> {
    /// The residual stream, read and written.
    pub map: Buffer,
    /// At least [`scratch_size`] bytes, 4-byte aligned.
    pub scratch: Buffer,
    /// Rows, columns and channels.
    pub shape: [usize; 3],
    /// Side of the window; odd, at most [`LARGEST`].
    pub window: usize,
    /// A norm of the whole map that is folded into the factors, or [`Norm::FIXED`]; this or
    /// `normed`.
    pub norm: Option<Norm>,
    /// A norm that is written out.
    pub normed: Option<Normed>,
    /// The values that are taken off the pool.
    pub subtracted: Subtracted,
    /// Steps of the written stream for one of `e` per channel: behind a folded norm for a
    /// deviation of one, Q36; else Q40.
    pub factor: &'a [i32],
    /// Steps of the written stream for one that is read, per channel, Q24.
    pub residual: &'a [i32],
    /// Zero points and half a step per channel, Q16.
    pub offset: &'a [i32],
}

fields!(step wide_pooling::WidePooling<'_>:
    map, scratch, shape, window, norm, normed, subtracted, factor, residual, offset);

/// Scratch bytes that a run needs: a ring of rows of values of `value_bytes` each, one if the
/// norm is written out.
pub const fn scratch_size(
    window: usize,
    width: usize,
    channels: usize,
    value_bytes: usize,
) -> usize {
    let row = width.saturating_mul(channels).saturating_mul(value_bytes);
    row.saturating_mul(window).saturating_add(3) / 4 * 4
}

impl WidePooling<'_> {
    fn value_bytes<S: Stream>(&self) -> usize {
        match self.normed {
            Some(_) => 1,
            None => S::BYTES,
        }
    }

    fn check<S: Stream>(&self, map_size: usize) -> Result<(), Fault> {
        let [.., channels] = self.shape;
        ensure([self.factor, self.residual, self.offset].map(<[_]>::len) == [channels; 3])?;
        ensure(map_size > 0 && map_size == volume(&self.shape).saturating_mul(S::BYTES))?;
        ensure(self.window % 2 == 1 && self.window <= LARGEST)?;
        ensure(self.norm.is_some() != self.normed.is_some())
    }
}

impl Step for WidePooling<'_> {
    fn input(&self) -> Buffer {
        self.map
    }

    fn output(&self) -> Buffer {
        self.map
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        let [_, width, channels] = self.shape;
        scratch_size(self.window, width, channels, self.value_bytes::<I>())
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

#[cfg(feature = "visit")]
impl Described for WidePooling<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        false
    }

    fn is_fixed(&self) -> bool {
        self.norm.is_some_and(|norm| norm.is_fixed())
    }

    fn function(&self, _call: &Call) -> Function {
        Function {
            path: "wide_pooling::run",
            parameters: &[Parameter::Input],
        }
    }

    fn units(&self, _input: Values) -> Option<usize> {
        Some(self.shape[0])
    }
}

/// Runs the step on a stream of type `S`; `stats` are those of the map as it is read, and the
/// sums of what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<S: Stream>(
    step: &WidePooling<'_>,
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
    step: &WidePooling<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    let [.., channels] = step.shape;
    match (&step.normed, &step.norm) {
        (Some(normed), _) => {
            let norm = normed.of::<S>(stats);
            let fill = |row: &[S::Value], values: &mut [i8]| {
                let channels = channels.max(1);
                for (token, values) in row.chunks(channels).zip(values.chunks_mut(channels)) {
                    norm.token::<S>(token, values);
                }
            };
            advance_with::<S, Int8>(step, progress, most, arena, |base| base, 0, fill)
        }
        (None, Some(norm)) => {
            let norm = S::norm(stats, norm);
            let fill = |row: &[S::Value], values: &mut [S::Value]| {
                for (value, &q) in values.iter_mut().zip(row) {
                    *value = q;
                }
            };
            let factor = |base| norm.multiplier(base);
            advance_with::<S, S>(step, progress, most, arena, factor, norm.mean, fill)
        }
        (None, None) => Err(Fault::Geometry),
    }
}

/// The step with a ring of values `R`, of which `fill` makes a row; `mean` is theirs, Q16.
fn advance_with<S: Stream, R: Width>(
    step: &WidePooling<'_>,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
    factor: impl Fn(i32) -> i32,
    mean: i32,
    fill: impl Fn(&[S::Value], &mut [R::Value]),
) -> Result<bool, Fault> {
    let [height, width, channels] = step.shape;
    step.check::<S>(step.map.size)?;
    let (map, scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    let map = S::values_mut(map)?;
    // Not zero, as was checked; said again where the compiler sees it.
    let (row_size, window) = ((width * channels).max(1), step.window.max(1));
    let ring_size = volume(&[window, row_size, R::BYTES]);
    let ring = cast::words_as_bytes_mut(scratch).get_mut(..ring_size);
    let ring = R::values_mut(ring.ok_or(Fault::Buffer)?)?;
    let reach = window / 2;
    let fill_row = |ring: &mut [R::Value], map: &[S::Value], row: usize| {
        let slot = slot(row, window) * row_size;
        let slot = ring.get_mut(slot..slot + row_size).present();
        fill(
            map.get(row * row_size..(row + 1) * row_size).present(),
            slot,
        );
    };
    if progress.begins() {
        for row in 0..reach.min(height) {
            fill_row(ring, map, row);
        }
    }
    let piece = Piece::next(progress, height, most, 1);
    let mut written = progress.written;
    for y in piece.first..piece.end {
        if y + reach < height {
            fill_row(ring, map, y + reach);
        }
        let rows = y.saturating_sub(reach)..height.min(y + reach + 1);
        let row = map.get_mut(y * row_size..(y + 1) * row_size).present();
        let windows = Windows::<R> {
            ring,
            rows,
            size: [width, channels],
            window,
            centre: match step.subtracted {
                Subtracted::Pooled => Centre::Row(slot(y, window) * row_size),
                Subtracted::Nothing => {
                    Centre::Constant((i64::from(MULTIPLE) * i64::from(mean)) >> 8)
                }
            },
        };
        let constants = step.factor.iter().zip(step.residual).zip(step.offset);
        for (channel, ((&base, &residual), &offset)) in constants.enumerate() {
            let factor = i64::from(factor(base).clamp(-FACTOR_MAX, FACTOR_MAX));
            let (residual, offset) = (i64::from(residual), i64::from(offset) << 16);
            let values = row.iter_mut().skip(channel).step_by(channels.max(1));
            windows.each(channel, values, |value, e| {
                let stream = residual * i64::from(S::widened(*value));
                S::store(value, stream + ((factor * e) >> 16) + offset, &mut written);
            });
        }
    }
    Ok(progress.reach(piece.end, height, written))
}

/// Where a row lies in a ring of so many.
#[inline(always)]
fn slot(row: usize, window: usize) -> usize {
    // Not zero, as was checked.
    row.checked_rem(window).unwrap_or(0)
}

/// The windows of a row of tokens.
struct Windows<'a, R: Width> {
    ring: &'a [R::Value],
    /// The rows of the map that the windows hold.
    rows: core::ops::Range<usize>,
    /// Columns of the map, and values from one to the next.
    size: [usize; 2],
    window: usize,
    centre: Centre,
}

/// `MULTIPLE` times the value that is subtracted from the mean of a window.
enum Centre {
    /// Of the window's own token, whose row begins here in the ring.
    Row(usize),
    /// The same for all windows, in units of `e`.
    Constant(i64),
}

impl<R: Width> Windows<'_, R> {
    /// Hands each of `values`, those of one channel along the row, to `update` with its `e`.
    fn each<'v, V: 'v>(
        &self,
        channel: usize,
        values: impl Iterator<Item = &'v mut V>,
        mut update: impl FnMut(&mut V, i64),
    ) {
        let [width, channels] = self.size;
        let (reach, rows) = (self.window / 2, self.rows.len());
        let mut sum: i32 = (0..reach.min(width))
            .map(|x| self.column(x * channels + channel))
            .sum();
        for (x, value) in values.enumerate() {
            if x + reach < width {
                sum += self.column((x + reach) * channels + channel);
            }
            if let Some(left) = x.checked_sub(reach + 1) {
                sum -= self.column(left * channels + channel);
            }
            let columns = width.min(x + reach + 1) - x.saturating_sub(reach);
            // Unsigned and not by zero, so that the processor's own division does it.
            let part = MULTIPLE as u32 / ((rows * columns) as u32).max(1);
            let centre = match self.centre {
                Centre::Row(row) => {
                    i64::from(MULTIPLE) * i64::from(self.value(row + x * channels + channel))
                }
                Centre::Constant(centre) => centre,
            };
            update(value, i64::from(part) * i64::from(sum) - centre);
        }
    }

    /// The sum of a column of the window.
    fn column(&self, at: usize) -> i32 {
        let row_size = self.size[0] * self.size[1];
        let rows = self.rows.clone();
        rows.map(|row| self.value(slot(row, self.window) * row_size + at))
            .sum()
    }

    /// 256 times a value of the ring.
    #[inline(always)]
    fn value(&self, at: usize) -> i32 {
        match self.ring.get(at) {
            Some(&value) => R::widened(value),
            None => {
                crate::present::missing();
                0
            }
        }
    }
}
