//! The pooling mixer with the DSP extension: the inner loop of `dsp_pooling.s`.

#![allow(unsafe_code)]

use core::arch::global_asm;

use crate::arch::cast;
use crate::arena::{self, Fault, ensure};
use crate::norm::{NormScale, Partial, Stats};
use crate::pooling::{Pooling, weight};

// The core that the assembler is told to write for, as in `dsp.rs`.
#[cfg(not(tadpool_armv8m))]
global_asm!(
    ".cpu cortex-m4",
    include_str!("dsp_pooling.s"),
    options(raw)
);
#[cfg(tadpool_armv8m)]
global_asm!(
    ".cpu cortex-m33",
    include_str!("dsp_pooling.s"),
    options(raw)
);

/// What a row of the pooling mixer works on; the assembly has the same offsets.
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

// SAFETY: signature and contract as in `dsp_pooling.s`.
unsafe extern "C" {
    fn tadpool_dsp_pool_row(row: *mut Row);
}

/// Runs the pooling mixer on a map whose channels are a multiple of four.
pub(crate) fn pool(
    step: &Pooling<'_>,
    norm: &NormScale,
    map: &mut [i8],
    mut scratch: &mut [i32],
) -> Result<Stats, Fault> {
    let [height, width, channels] = step.shape;
    let row_size = width * channels;
    ensure(channels.is_multiple_of(4) && map.len() == height * row_size && row_size > 0)?;
    let factors = arena::cut(&mut scratch, 4 * channels)?;
    let rows = arena::cut(&mut scratch, row_size / 2)?;
    arena::clear(rows);
    let (above, none) = cast::words_as_i8s_mut(rows)
        .split_at_mut_checked(row_size)
        .ok_or(Fault::Buffer)?;

    let mut written = Stats::default();
    let mut rest = map;
    let mut factors_of = 0;
    for y in 0..height {
        let row;
        (row, rest) = rest.split_at_mut_checked(row_size).ok_or(Fault::Geometry)?;
        let below = rest.get_mut(..row_size).unwrap_or(none);
        let window_rows = (height - y).min(2) as i32 + i32::from(y > 0);
        if factors_of != window_rows {
            fill_factors(step, norm, window_rows, factors);
            factors_of = window_rows;
        }
        let ahead = |row: &mut [i8]| row.as_mut_ptr().wrapping_add(channels);
        let mut job = Row {
            ahead: [ahead(above), ahead(below), ahead(row)],
            row: row.as_mut_ptr(),
            stride: channels,
            limit: 0,
            length: row_size - channels,
            offset: step.offset,
            factors: factors.as_ptr(),
            sum: 0,
            sum_of_squares: 0,
        };
        // SAFETY: the rows hold `length + stride` values each, `stride` is a
        // multiple of four and there are four factors a channel.
        unsafe { tadpool_dsp_pool_row(&mut job) }
        written.merge(Partial::of(job.sum, job.sum_of_squares));
    }
    Ok(written)
}

/// For every four channels: A and B of channels 0, 2, 1 and 3 at the row's ends,
/// then between them.
fn fill_factors(step: &Pooling<'_>, norm: &NormScale, window_rows: i32, factors: &mut [i32]) {
    let [_, width, _] = step.shape;
    let [ends, between] = [if width > 1 { 2 } else { 1 }, 3].map(|n| weight(n * window_rows));
    let (groups, _) = factors.as_chunks_mut::<16>();
    let (bases, _) = step.factor.as_chunks::<4>();
    for (group, &[b0, b1, b2, b3]) in groups.iter_mut().zip(bases) {
        let (at_ends, inside) = group.as_chunks_mut::<2>().0.split_at_mut(4);
        for ((at_end, inside), base) in at_ends.iter_mut().zip(inside).zip([b0, b2, b1, b3]) {
            let factor = step.factor(base, norm);
            let own = step.residual.wrapping_sub(36 * factor);
            *at_end = [own, factor * ends];
            *inside = [own, factor * between];
        }
    }
}
