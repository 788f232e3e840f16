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

/// The factor of a channel for this deviation, Q16.
pub(crate) fn factor(base: i32, norm: &NormScale) -> i32 {
    requantize(base, norm.inv_sigma).clamp(-FACTOR_MAX, FACTOR_MAX - 1)
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
    let row_size = width * channels;
    let factors = arena::cut(&mut scratch, channels)?;
    for (each, base) in factors.iter_mut().zip(step.factor) {
        *each = factor(*base, &norm);
    }
    let (sums, above) = cast::words_as_i16s_mut(scratch)
        .split_at_mut_checked(3 * channels)
        .ok_or(Fault::Buffer)?;
    let (sums, _) = sums.as_chunks_mut();
    let above = above.get_mut(..row_size).ok_or(Fault::Buffer)?;
    let mut rest = cast::i8s_mut(map);
    for (above, &q) in above.iter_mut().zip(rest.iter()) {
        *above = i16::from(q);
    }

    let mut written = Stats::default();
    for y in 0..height {
        let row;
        (row, rest) = rest.split_at_mut_checked(row_size).ok_or(Fault::Geometry)?;
        let below = rest.get(..row_size).unwrap_or(&[]);
        let window_rows = 1 + i32::from(y > 0) + i32::from(!below.is_empty());
        arena::clear(sums, [0; 3]);
        advance(sums, above, row, below);
        for x in 0..width {
            let at = x * channels;
            let ahead = at + channels;
            let below = below.get(ahead..).unwrap_or(&[]);
            let (token, row) = row.split_at_mut_checked(ahead).ok_or(Fault::Geometry)?;
            advance(sums, above.get_mut(ahead..).unwrap_or(&mut []), row, below);
            let window_columns = 1 + i32::from(x > 0) + i32::from(!row.is_empty());
            let weight = weight(window_rows * window_columns);
            let token = token.get_mut(at..).unwrap_or(&mut []);
            written.merge(update(step, factors, sums, weight, token));
        }
    }
    Ok(written)
}

/// A channel's sums over three columns of the window: left, centre, right.
type Sums = [i16; 3];

/// Moves every channel's sums on by one column.
///
/// `above` holds the original values of the row above plus those of this row, and is
/// left with those of this row plus those of the row below. Beyond the row's end it
/// and `row` are empty; at the bottom `below` is.
#[inline(never)]
fn advance(sums: &mut [Sums], above: &mut [i16], row: &[i8], below: &[i8]) {
    if row.is_empty() {
        for sums in sums {
            *sums = [sums[1], sums[2], 0];
        }
    } else if below.is_empty() {
        for (sums, &above) in sums.iter_mut().zip(above.iter()) {
            *sums = [sums[1], sums[2], above];
        }
    } else {
        let rows = row.iter().zip(below);
        for ((sums, above), (&row, &below)) in sums.iter_mut().zip(above).zip(rows) {
            let below = i16::from(below);
            *sums = [sums[1], sums[2], above.wrapping_add(below)];
            *above = below.wrapping_add(row.into());
        }
    }
}

/// Updates the values of one token.
#[inline(never)]
fn update(
    step: &Pooling<'_>,
    factor: &[i32],
    sums: &[Sums],
    weight: i32,
    token: &mut [i8],
) -> Partial {
    let (residual, offset) = (step.residual, step.offset);
    let mut written = Partial::default();
    for (q, (&[left, centre, right], &factor)) in token.iter_mut().zip(sums.iter().zip(factor)) {
        let value = i32::from(*q);
        let sum = i32::from(left) + i32::from(centre) + i32::from(right);
        let acc = residual.wrapping_mul(value).wrapping_add(offset);
        let acc = acc.wrapping_add(factor.wrapping_mul(sum * weight - 36 * value));
        *q = saturate_i8(acc >> 16);
        written.add(*q);
    }
    written
}
