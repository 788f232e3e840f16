//! The pooling mixer on an int8 stream: its token, channel after channel.

use crate::arch::cast;
use crate::arena::{self, Fault};
use crate::arithmetic::fixed::saturate_i8;
use crate::arithmetic::layout::Kernel;
use crate::arithmetic::norm::{NormScale, Partial};
use crate::present::Present;
use crate::steps::pooling::{Pooling, factor, weight, window_rows};
use crate::steps::progress::{Piece, Progress};

/// Runs a piece of the pooling mixer, of at most `most` rows, on a map of the step's
/// shape; returns whether it is complete.
#[inline(always)]
pub(crate) fn pool<K: Kernel>(
    step: &Pooling<'_>,
    norm: &NormScale,
    progress: &mut Progress,
    most: usize,
    map: &mut [i8],
    mut scratch: &mut [i32],
) -> Result<bool, Fault> {
    let [height, width, channels] = step.shape;
    step.check(K::LAYOUT, map.len())?;
    let row_size = width * channels;
    let factors = arena::cut(&mut scratch, channels)?;
    if progress.begins() {
        for (each, base) in factors.iter_mut().zip(step.factor) {
            *each = factor(*base, norm);
        }
    }
    let (sums, above) = cast::words_as_i16s_mut(scratch)
        .split_at_mut_checked(3 * channels)
        .ok_or(Fault::Buffer)?;
    let (sums, _) = sums.as_chunks_mut();
    let above = above.get_mut(..row_size).ok_or(Fault::Buffer)?;
    let piece = Piece::next(progress, height, most, 1);
    let mut rest = map
        .get_mut(piece.first * row_size..)
        .ok_or(Fault::Geometry)?;
    if progress.begins() {
        for (above, &q) in above.iter_mut().zip(rest.iter()) {
            *above = i16::from(q);
        }
    }

    let mut written = progress.written;
    for y in piece.first..piece.end {
        let row;
        (row, rest) = rest.split_at_mut_checked(row_size).ok_or(Fault::Geometry)?;
        let below = rest.get(..row_size).unwrap_or(&[]);
        debug_assert_eq!(below.is_empty(), y + 1 == height);
        let window_rows = window_rows(y, height) as i32;
        arena::clear(sums, [0; 3]);
        advance(sums, above, row, below);
        for x in 0..width {
            let at = x * channels;
            let ahead = at + channels;
            let below = below.get(ahead..).unwrap_or(&[]);
            let (token, row) = row.split_at_mut_checked(ahead).ok_or(Fault::Geometry)?;
            advance(sums, above.get_mut(ahead..).present(), row, below);
            let window_columns = 1 + i32::from(x > 0) + i32::from(!row.is_empty());
            let weight = weight(window_rows * window_columns);
            let token = token.get_mut(at..).present();
            written.merge(update(step, factors, sums, weight, token));
        }
    }
    Ok(progress.reach(piece.end, height, written))
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
