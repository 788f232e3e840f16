//! The pooling token mixer: `x + layer_scale * (pool(n) - n)`, `n = norm(x)`,
//! in place.
//!
//! Padding is not counted, so the norm's mean and beta cancel in
//! `pool(n) - n`, and what is left is one factor per channel:
//!
//! ```text
//! q' = (residual * q + factor_c / sigma * e + offset) / 2^16
//! e  = 36 / n * (sum of the n neighbours) - 36 * q
//! ```
//!
//! 36 is a common multiple of every window size `n` of a 3x3 window that
//! reaches over an edge (1, 2, 3, 4, 6 and 9), so `e` is an exact integer.

use crate::arch::{self, cast};
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::fixed::{requantize, saturate_i8};
use crate::layout::{Kernel, Layout};
use crate::norm::{Norm, NormScale, Partial, Stats};

/// Factors lie in `-FACTOR_MAX..FACTOR_MAX`: `36 * 255 * FACTOR_MAX` stays below
/// `2^31`, and cores saturate to so many bits in one instruction.
pub const FACTOR_MAX: i32 = 1 << 17;

/// Channels that are carried along a row together.
const LANES: usize = 4;

/// Constants of one pooling mixer; the window is 3x3, the stride 1.
#[derive(Debug, Clone, Copy)]
pub struct Pooling<'a> {
    /// The residual stream, read and written.
    pub map: Buffer,
    /// At least [`Pooling::scratch_size`] bytes, 4-byte aligned.
    pub scratch: Buffer,
    /// Rows, columns and channels.
    pub shape: [usize; 3],
    /// The norm before the mixer.
    pub norm: Norm,
    /// `layer_scale * gamma / (36 * output scale)` per channel, Q24.
    pub factor: &'a [i32],
    /// Input scale over output scale, Q16.
    pub residual: i32,
    /// Zero points and half a step, Q16.
    pub offset: i32,
}

impl Pooling<'_> {
    /// Scratch bytes that a run needs.
    pub const fn scratch_size(width: usize, channels: usize) -> usize {
        16 * channels + 2 * width * channels
    }
}

impl Pooling<'_> {
    /// The factor of a channel for this deviation, Q16.
    pub(crate) fn factor(&self, base: i32, norm: &NormScale) -> i32 {
        requantize(base, norm.inv_sigma).clamp(-FACTOR_MAX, FACTOR_MAX - 1)
    }
}

/// `36 / n` for a window of `n` values.
pub(crate) const fn weight(n: i32) -> i32 {
    // Unsigned and not by zero, so that the processor's own division does it.
    let n = if n > 1 { n as u32 } else { 1 };
    (36 / n) as i32
}

/// Runs the step; `stats` are those of the map as it is read, and the sums of
/// what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match, or if the kernel of `K`
/// does not take as many channels, as [`Layout::pools`] tells.
pub fn run<K: Kernel>(step: &Pooling<'_>, stats: &Stats, arena: &mut [u8]) -> Result<Stats, Fault> {
    let [height, width, channels] = step.shape;
    let (map, mut scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    let norm = NormScale::new(stats, &step.norm);
    if arch::POOLS && K::LAYOUT != Layout::Rows {
        return arch::pool(step, &norm, cast::i8s_mut(map), scratch);
    }
    ensure(!map.is_empty() && map.len() == volume(&step.shape))?;
    ensure(step.factor.len() == channels && K::LAYOUT.pools(channels))?;
    let factor = arena::cut(&mut scratch, channels)?;
    let above = cast::words_as_i16s_mut(scratch);
    let above = above.get_mut(..width * channels).ok_or(Fault::Buffer)?;
    for (factor, base) in factor.iter_mut().zip(step.factor) {
        *factor = step.factor(*base, &norm);
    }

    let mut rest = cast::i8s_mut(map);
    for (above, &q) in above.iter_mut().zip(rest.iter()) {
        *above = i16::from(q);
    }
    let mut written = Stats::default();
    for y in 0..height {
        let row;
        (row, rest) = rest
            .split_at_mut_checked(width * channels)
            .ok_or(Fault::Geometry)?;
        let below = rest.get(..row.len());
        let window_rows = 1 + i32::from(y > 0) + i32::from(below.is_some());
        let mut rows = Rows {
            row,
            below: below.unwrap_or(&[]),
            above,
            window_rows,
        };
        let mut channel = 0;
        while channel + LANES <= channels {
            written.merge(columns::<LANES>(step, factor, channel, &mut rows)?);
            channel += LANES;
        }
        while channel < channels {
            written.merge(columns::<1>(step, factor, channel, &mut rows)?);
            channel += 1;
        }
    }
    Ok(written)
}

/// What one row of output is made of.
struct Rows<'a> {
    /// The row that is updated.
    row: &'a mut [i8],
    /// The row below it, empty at the bottom.
    below: &'a [i8],
    /// Original values of the row above plus those of this row; left as those
    /// of this row plus those of the row below.
    above: &'a mut [i16],
    /// Rows that a window covers here.
    window_rows: i32,
}

/// Updates `N` channels along one row.
#[inline(always)]
fn columns<const N: usize>(
    step: &Pooling<'_>,
    factor: &[i32],
    channel: usize,
    rows: &mut Rows<'_>,
) -> Result<Partial, Fault> {
    let [_, width, channels] = step.shape;
    let factor: &[i32; N] = lanes(factor, channel)?;
    let (inner, edge) = (weight(3 * rows.window_rows), weight(2 * rows.window_rows));
    let only = weight(rows.window_rows);

    let mut written = Partial::default();
    let mut left = [0i32; N];
    let mut centre = vertical::<N>(rows, channel)?;
    for x in 0..width {
        let at = x * channels + channel;
        let last = x + 1 == width;
        let right = if last {
            [0; N]
        } else {
            vertical::<N>(rows, at + channels)?
        };
        let weight = match (x == 0, last) {
            (false, false) => inner,
            (true, true) => only,
            _ => edge,
        };
        let row: &mut [i8; N] = lanes_mut(rows.row, at)?;
        let sums = left.iter().zip(&centre).zip(&right);
        for ((q, ((left, centre), right)), factor) in row.iter_mut().zip(sums).zip(factor) {
            let value = i32::from(*q);
            let e = (left + centre + right) * weight - 36 * value;
            let acc = step
                .residual
                .wrapping_mul(value)
                .wrapping_add(step.offset)
                .wrapping_add(factor * e);
            *q = saturate_i8(acc >> 16);
            written.add(*q);
        }
        (left, centre) = (centre, right);
    }
    Ok(written)
}

/// Sums of one column of the window for `N` channels, and `above` moved on by
/// one row.
#[inline(always)]
fn vertical<const N: usize>(rows: &mut Rows<'_>, at: usize) -> Result<[i32; N], Fault> {
    let row: &[i8; N] = lanes(rows.row, at)?;
    let above: &mut [i16; N] = lanes_mut(rows.above, at)?;
    let mut sums = above.map(i32::from);
    if !rows.below.is_empty() {
        let below: &[i8; N] = lanes(rows.below, at)?;
        for (((sum, above), &row), &below) in sums.iter_mut().zip(above).zip(row).zip(below) {
            *sum += i32::from(below);
            *above = i16::from(row) + i16::from(below);
        }
    }
    Ok(sums)
}

#[inline(always)]
fn lanes<T, const N: usize>(values: &[T], at: usize) -> Result<&[T; N], Fault> {
    values
        .get(at..)
        .and_then(|tail| tail.first_chunk())
        .ok_or(Fault::Geometry)
}

#[inline(always)]
fn lanes_mut<T, const N: usize>(values: &mut [T], at: usize) -> Result<&mut [T; N], Fault> {
    values
        .get_mut(at..)
        .and_then(|tail| tail.first_chunk_mut())
        .ok_or(Fault::Geometry)
}
