//! The pooling token mixer behind a norm of each token:
//! `res_scale * x + layer_scale * (pool(n) - n)` or `res_scale * x + layer_scale * pool(n)`,
//! `n = norm(x)`, in place.
//!
//! The norm's beta cancels in `pool(n) - n`, and is a term of each channel where nothing is
//! subtracted; but neighbours have means and deviations
//! of their own, so the windows look at normalised values. They exist only for the
//! rows that a row of windows looks at: a ring of three, whose lowest is made of a row
//! of the stream that has not been written yet.
//!
//! ```text
//! q' = (residual_c * q + factor_c * e + offset_c) / 2^32
//! e  = 36 / n * (sum of the n neighbours) - 36 * centre, or without the centre
//! ```
//!
//! As in [`crate::pooling`], `e` is an exact integer; the sum is exact too, and rounded
//! once.

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::layout::Kernel;
#[cfg(feature = "visit")]
use crate::arithmetic::layout::Layout;
use crate::arithmetic::norm::Stats;
use crate::arithmetic::normed::{Normaliser, Normed};
use crate::arithmetic::stream::Stream;
use crate::present::{Present, missing};
use crate::steps::Step;
use crate::steps::pooling::{Subtracted, window_rows};
use crate::steps::progress::{Piece, Progress};
use crate::steps::scaled_pooling::windows;
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// Constants of one pooling mixer; the window is 3x3, the stride 1.
#[derive(Debug, Clone, Copy)]
pub struct NormedPooling<'a> {
    /// The residual stream, read and written.
    pub map: Buffer,
    /// At least [`scratch_size`] bytes, 4-byte aligned.
    pub scratch: Buffer,
    /// Rows, columns and channels.
    pub shape: [usize; 3],
    /// The norm before the mixer.
    pub normed: Normed,
    /// The values that are taken off the pool.
    pub subtracted: Subtracted,
    /// Steps of the written stream for one of `e` per channel, Q28.
    pub factor: &'a [i32],
    /// Steps of the written stream for one that is read, per channel, Q24.
    pub residual: &'a [i32],
    /// Zero points and half a step per channel, Q16.
    pub offset: &'a [i32],
}

fields!(step normed_pooling::NormedPooling<'_>:
    map, scratch, shape, normed, subtracted, factor, residual, offset);

/// Rows of normalised values: above, centre and below.
const ROWS: usize = 3;

/// Scratch bytes that a run needs.
pub const fn scratch_size(width: usize, channels: usize) -> usize {
    (ROWS * width * channels).next_multiple_of(4)
}

impl Step for NormedPooling<'_> {
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

impl NormedPooling<'_> {
    fn check<S: Stream>(&self, map_size: usize) -> Result<(), Fault> {
        let [.., channels] = self.shape;
        ensure([self.factor, self.residual, self.offset].map(<[_]>::len) == [channels; 3])?;
        ensure(map_size > 0 && map_size == volume(&self.shape).saturating_mul(S::BYTES))
    }
}

#[cfg(feature = "visit")]
impl Described for NormedPooling<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        false
    }

    fn function(&self, _call: &Call) -> Function {
        Function {
            path: "normed_pooling::run",
            parameters: &[Parameter::Input],
        }
    }

    fn units(&self, _input: Values) -> Option<usize> {
        Some(self.shape[0])
    }
}

/// Runs the step on a stream of type `S`; `stats` are those of the map as it is read,
/// and the sums of what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<S: Stream>(
    step: &NormedPooling<'_>,
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
    step: &NormedPooling<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    let [height, width, channels] = step.shape;
    step.check::<S>(step.map.size)?;
    let (map, scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    let map = S::values_mut(map)?;
    ensure(!map.is_empty() && map.len() == volume(&step.shape))?;
    let row_size = width * channels;
    let ring = cast::words_as_i8s_mut(scratch).get_mut(..volume(&[ROWS, row_size]));
    let (mut above, ring) = ring
        .and_then(|ring| ring.split_at_mut_checked(row_size))
        .ok_or(Fault::Buffer)?;
    let (mut centre, mut below) = ring.split_at_mut_checked(row_size).ok_or(Fault::Buffer)?;
    let norm = step.normed.of::<S>(stats);
    let piece = Piece::next(progress, height, most, 1);
    let rest = map.get_mut(piece.first * row_size..);
    let mut rest = rest.ok_or(Fault::Geometry)?;
    if progress.begins() {
        arena::clear(above, 0);
        normalise::<S>(&norm, channels, rest.get(..row_size), centre);
    }
    // Each row has moved the ring on by one.
    for _ in 0..piece.first % ROWS {
        (above, centre, below) = (centre, below, above);
    }

    let mut written = progress.written;
    for y in piece.first..piece.end {
        let row;
        (row, rest) = rest.split_at_mut_checked(row_size).ok_or(Fault::Geometry)?;
        let next = rest.get(..row_size);
        let window_rows = window_rows(y, height) as i32;
        normalise::<S>(&norm, channels, next, below);
        let constants = step.factor.iter().zip(step.residual).zip(step.offset);
        for (channel, ((&factor, &residual), &offset)) in constants.enumerate() {
            let column = Column {
                size: [width, channels],
                window_rows,
                subtracted: step.subtracted,
                factor,
                residual,
                offset,
            };
            let rows = [&*above, &*centre, &*below];
            let rows = rows.map(|row| row.get(channel..).present());
            let row = row.get_mut(channel..).present();
            column.run::<S>(row, rows, &mut written);
        }
        (above, centre, below) = (centre, below, above);
    }
    Ok(progress.reach(piece.end, height, written))
}

/// Normalises a row, or what lies beyond the map: zeros, which do not count.
fn normalise<S: Stream>(
    norm: &Normaliser<'_>,
    channels: usize,
    row: Option<&[S::Value]>,
    normed: &mut [i8],
) {
    let Some(row) = row else {
        return arena::clear(normed, 0);
    };
    let tokens = row.chunks(channels.max(1));
    for (token, normed) in tokens.zip(normed.chunks_mut(channels.max(1))) {
        norm.token::<S>(token, normed);
    }
}

/// One channel along a row.
struct Column {
    /// Columns of the map, and values from one to the next.
    size: [usize; 2],
    window_rows: i32,
    subtracted: Subtracted,
    factor: i32,
    residual: i32,
    offset: i32,
}

impl Column {
    /// `rows` are the normalised ones around `row`.
    fn run<S: Stream>(&self, row: &mut [S::Value], rows: [&[i8]; 3], written: &mut Stats) {
        let of = |row: &[i8], at: usize| i32::from(row.get(at).copied().present());
        let (factor, residual) = (i64::from(self.factor), i64::from(self.residual));
        let offset = i64::from(self.offset) << 16;
        let [_, centre, _] = rows;
        windows(
            self.size,
            self.window_rows,
            row,
            |_, at| rows.iter().map(|row| of(row, at)).sum(),
            |row, at, pooled| {
                let Some(value) = row.get_mut(at) else {
                    return missing();
                };
                let e = match self.subtracted {
                    Subtracted::Pooled => pooled - 36 * of(centre, at),
                    Subtracted::Nothing => pooled,
                };
                let e = i64::from(e);
                let total = residual * i64::from(S::widened(*value)) + ((factor * e) << 4);
                S::store(value, total + offset, written);
            },
        );
    }
}
