//! The pooling mixer on an int8 stream: its token, many channels at a time.

use super::has_avx2;
use crate::arch::{cast, portable};
use crate::arena::{self, Fault};
use crate::arithmetic::fixed::saturate_i8;
use crate::arithmetic::layout::Kernel;
use crate::arithmetic::norm::{NormScale, Partial};
use crate::steps::pooling::{Pooling, factor, weight, window_rows};
use crate::steps::progress::{Piece, Progress};

/// Runs a piece of the pooling mixer, of at most `most` rows, on a map of the step's
/// shape; returns whether it is complete.
pub(crate) fn pool<K: Kernel>(
    step: &Pooling<'_>,
    norm: &NormScale,
    progress: &mut Progress,
    most: usize,
    map: &mut [i8],
    scratch: &mut [i32],
) -> Result<bool, Fault> {
    if !has_avx2() {
        return portable::pooling::pool::<K>(step, norm, progress, most, map, scratch);
    }
    step.check(K::LAYOUT, map.len())?;
    // SAFETY: the processor has AVX2.
    unsafe { with_avx2(step, norm, progress, most, map, scratch) }
}

/// As the portable loops, but with the sums of the three columns one after the other, so
/// that neighbouring channels lie together.
#[target_feature(enable = "avx2")]
fn with_avx2(
    step: &Pooling<'_>,
    norm: &NormScale,
    progress: &mut Progress,
    most: usize,
    map: &mut [i8],
    mut scratch: &mut [i32],
) -> Result<bool, Fault> {
    let [height, width, channels] = step.shape;
    let row_size = width * channels;
    let factors = arena::cut(&mut scratch, channels)?;
    if progress.begins() {
        for (each, base) in factors.iter_mut().zip(step.factor) {
            *each = factor(*base, norm);
        }
    }
    let mut halves = cast::words_as_i16s_mut(scratch);
    let mut cut = |count| halves.split_off_mut(..count).ok_or(Fault::Buffer);
    let (mut left, mut centre, mut right) = (cut(channels)?, cut(channels)?, cut(channels)?);
    let above = cut(row_size)?;
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
        let window_rows = window_rows(y, height) as i32;
        centre.fill(0);
        advance(right, above, row, below);
        for x in 0..width {
            (left, centre, right) = (centre, right, left);
            let (at, ahead) = (x * channels, (x + 1) * channels);
            let (token, row) = row.split_at_mut_checked(ahead).ok_or(Fault::Geometry)?;
            let above = above.get_mut(ahead..).ok_or(Fault::Geometry)?;
            advance(right, above, row, below.get(ahead..).unwrap_or(&[]));
            let window_columns = 1 + i32::from(x > 0) + i32::from(!row.is_empty());
            let weight = weight(window_rows * window_columns);
            let token = token.get_mut(at..).ok_or(Fault::Geometry)?;
            written.merge(update(step, factors, [left, centre, right], weight, token));
        }
    }
    Ok(progress.reach(piece.end, height, written))
}

/// Writes every channel's sum over the next column; zeros beyond the row's end.
///
/// `above` holds the original values of the row above plus those of this row, and is
/// left with those of this row plus those of the row below.
#[target_feature(enable = "avx2")]
fn advance(sums: &mut [i16], above: &mut [i16], row: &[i8], below: &[i8]) {
    if row.is_empty() {
        sums.fill(0);
    } else if below.is_empty() {
        for (sum, &above) in sums.iter_mut().zip(above.iter()) {
            *sum = above;
        }
    } else {
        let rows = row.iter().zip(below);
        for ((sum, above), (&row, &below)) in sums.iter_mut().zip(above).zip(rows) {
            let below = i16::from(below);
            *sum = above.wrapping_add(below);
            *above = below.wrapping_add(row.into());
        }
    }
}

/// Updates the values of one token.
#[target_feature(enable = "avx2")]
fn update(
    step: &Pooling<'_>,
    factor: &[i32],
    [left, centre, right]: [&[i16]; 3],
    weight: i32,
    token: &mut [i8],
) -> Partial {
    let (residual, offset) = (step.residual, step.offset);
    let (mut total, mut squares) = (0_i32, 0_u32);
    let sums = left.iter().zip(centre).zip(right);
    for ((q, ((&left, &centre), &right)), &factor) in token.iter_mut().zip(sums).zip(factor) {
        let value = i32::from(*q);
        let sum = i32::from(left) + i32::from(centre) + i32::from(right);
        let acc = residual.wrapping_mul(value).wrapping_add(offset);
        let acc = acc.wrapping_add(factor.wrapping_mul(sum * weight - 36 * value));
        *q = saturate_i8(acc >> 16);
        let written = i32::from(*q);
        total += written;
        squares += (written * written) as u32;
    }
    Partial::of(total, squares)
}
