//! The pooling mixer with the DSP extension: the inner loop of `pooling.s`.

#![allow(unsafe_code)]

use crate::arena::{self, Fault};
use crate::arithmetic::layout::{Kernel, Layout};
use crate::arithmetic::norm::{NormScale, Partial};
use crate::present::missing;
use crate::steps::pooling::{self, Pooling, weight, window_rows};
use crate::steps::progress::{Piece, Progress};

assembly!("pooling.s");

/// The arguments of the loop over a row; the assembly has the same offsets.
#[repr(C)]
struct Row {
    /// One token ahead of the row above as it was, of the row below, and of the
    /// row itself.
    ahead: [*mut i8; 3],
    row: *mut i8,
    stride: usize,
    limit: usize,
    /// Bytes of a row less one token.
    length: usize,
    offset: i32,
    factors: *const i32,
    sum: i32,
    sum_of_squares: u32,
}

offsets!(Row: ahead 0, row 12, stride 16, limit 20, length 24, offset 28, factors 32,
    sum 36, sum_of_squares 40; 44);

// SAFETY: signature and contract as in `pooling.s`.
unsafe extern "C" {
    fn tadpool_dsp_pool_row(row: *mut Row);
}

/// Runs a piece of the pooling mixer, of at most `most` rows, in this core's own layout;
/// returns whether it is complete.
#[inline(always)]
pub(crate) fn pool<K: Kernel>(
    step: &Pooling<'_>,
    norm: &NormScale,
    progress: &mut Progress,
    most: usize,
    map: &mut [i8],
    scratch: &mut [i32],
) -> Result<bool, Fault> {
    pool_map(step, norm, progress, most, map, scratch)
}

fn pool_map(
    step: &Pooling<'_>,
    norm: &NormScale,
    progress: &mut Progress,
    most: usize,
    map: &mut [i8],
    mut scratch: &mut [i32],
) -> Result<bool, Fault> {
    let [height, width, channels] = step.shape;
    step.check(Layout::Dsp, map.len())?;
    let row_size = width * channels;
    let factors = arena::cut(&mut scratch, 4 * channels)?;
    let rows = arena::cut(&mut scratch, row_size / 2)?;
    if progress.begins() {
        // Two words at a time.
        arena::clear(rows.as_chunks_mut::<2>().0, [0; 2]);
    }
    let above = rows.as_mut_ptr().cast::<i8>();
    let none = above.wrapping_add(row_size);

    let piece = Piece::next(progress, height, most, 1);
    let mut written = progress.written;
    let ahead = |row: *mut i8| row.wrapping_add(channels);
    let mut job = Row {
        ahead: [ahead(above); 3],
        row: map.as_mut_ptr().wrapping_add(piece.first * row_size),
        stride: channels,
        limit: 0,
        length: row_size - channels,
        offset: step.offset,
        factors: core::ptr::null(),
        sum: 0,
        sum_of_squares: 0,
    };
    let mut factors_of = 0;
    for y in piece.first..piece.end {
        let next = job.row.wrapping_add(row_size);
        let below = if y + 1 < height { next } else { none };
        let window_rows = window_rows(y, height);
        if factors_of != window_rows {
            fill_factors(step, norm, window_rows as i32, factors);
            factors_of = window_rows;
        }
        job.ahead = [ahead(above), ahead(below), ahead(job.row)];
        job.factors = factors.as_ptr();
        (job.sum, job.sum_of_squares) = (0, 0);
        // SAFETY: `map` holds `height` rows of `row_size` values and `rows` two more,
        // `above` and `none`; `stride` is a multiple of four, and there are sixteen
        // factors for every four channels.
        unsafe { tadpool_dsp_pool_row(&mut job) }
        written.merge(Partial::of(job.sum, job.sum_of_squares));
        job.row = next;
    }
    Ok(progress.reach(piece.end, height, written))
}

/// For every four channels: A and B of each at the row's ends, then between them.
#[inline(never)]
fn fill_factors(step: &Pooling<'_>, norm: &NormScale, window_rows: i32, factors: &mut [i32]) {
    let [_, width, _] = step.shape;
    let [ends, between] = [if width > 1 { 2 } else { 1 }, 3].map(|n| weight(n * window_rows));
    for (channel, &base) in step.factor.iter().enumerate() {
        let factor = pooling::factor(base, norm);
        let own = step.residual.wrapping_sub(36 * factor);
        let at = 2 * (channel + (channel & !3));
        let pairs = factors.get_mut(at..).and_then(<[i32]>::first_chunk_mut);
        let Some([own_at_end, at_end, _, _, _, _, _, _, own_inside, inside]) = pairs else {
            missing();
            continue;
        };
        (*own_at_end, *at_end) = (own, factor * ends);
        (*own_inside, *inside) = (own, factor * between);
    }
}
