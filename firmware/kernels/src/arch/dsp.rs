//! [`Dsp`]: the inner loops of `dsp_product.s` and `dsp_pooling.s`.

#![allow(unsafe_code)]

use core::arch::global_asm;

use crate::arch::cast;
use crate::arena::{self, Fault, ensure};
use crate::layout::Dsp;
use crate::matmul::{Linear, Product, TILE_HEADER};
use crate::norm::{NormScale, Partial, Stats};
use crate::pooling::{Pooling, weight};

// The core that the assembler is told to write for; the default of the target
// is one without the DSP extension on Armv8-M.
#[cfg(not(tadpool_armv8m))]
global_asm!(
    ".cpu cortex-m4",
    include_str!("dsp_product.s"),
    include_str!("dsp_pooling.s"),
    options(raw)
);
#[cfg(tadpool_armv8m)]
global_asm!(
    ".cpu cortex-m33",
    include_str!("dsp_product.s"),
    include_str!("dsp_pooling.s"),
    options(raw)
);

/// What a product works on; the assembly has the same offsets.
#[repr(C)]
struct Job {
    tile: *const i32,
    constants: *const i32,
    sums: [i32; 2],
    /// Pairs of inputs, at least one.
    steps: usize,
    limit: *const i32,
    zero: i32,
    finish: usize,
    end: *const u8,
    /// Tokens 0 and 1, or the next tile and the table.
    out: [*mut u8; 2],
    /// Sum and sum of squares of `q + 128`, or the next tile's two sums.
    counts: [u32; 2],
    residual: *const i32,
    weights: *const u8,
}

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

// SAFETY: signatures and contract as in `dsp_product.s` and `dsp_pooling.s`.
unsafe extern "C" {
    fn tadpool_dsp_pool_row(row: *mut Row);
    fn tadpool_dsp_write(job: *mut Job);
    fn tadpool_dsp_write_counted(job: *mut Job);
    fn tadpool_dsp_activate(job: *mut Job);
    fn tadpool_dsp_update(job: *mut Job);
    fn tadpool_dsp_expand(first: *const i8, second: *const i8, tile: *mut i32, fours: usize);
}

impl Job {
    /// A job with nowhere to write yet. [`Linear`] has checked its parts.
    #[inline(always)]
    fn new(linear: &Linear<'_>, tile: &[i32]) -> Option<Self> {
        let padded = (linear.inputs() + 3) & !3;
        let (&[first, second, ..], values) = tile.split_first_chunk::<TILE_HEADER>()?;
        let values = values.get(..padded)?;
        Some(Self {
            tile: values.as_ptr(),
            constants: linear.constants().as_ptr(),
            sums: [first, second],
            steps: padded / 2,
            limit: values.as_ptr_range().end,
            zero: linear.zero(),
            finish: 0,
            end: core::ptr::null(),
            out: [core::ptr::null_mut(); 2],
            counts: [0; 2],
            residual: core::ptr::null(),
            weights: linear.weights().as_ptr(),
        })
    }

    /// Writes to one or two whole tokens.
    #[inline(always)]
    fn to_tokens(mut self, linear: &Linear<'_>, tokens: &mut [i8]) -> Option<Self> {
        let outputs = linear.outputs();
        let first = tokens.get_mut(..outputs)?.as_mut_ptr_range();
        self.end = first.end.cast();
        self.out = [first.start.cast(); 2];
        if let Some(second) = tokens.get_mut(outputs..2 * outputs) {
            self.out = [self.out[0], second.as_mut_ptr().cast()];
        }
        Some(self)
    }

    /// What was counted, of `values` values that were each written `copies` times.
    #[inline(always)]
    fn counted(&self, outputs: usize) -> Partial {
        let copies = if self.out[0] == self.out[1] { 2 } else { 1 };
        let [sum, squares] = self.counts.map(|count| count / copies);
        Partial::of_biased(sum, squares, 2 * outputs as u32 / copies)
    }
}

impl Product for Dsp {
    const TOKENS: usize = 2;

    fn expand(tokens: &[i8], stride: usize, inputs: usize, _first: usize, tile: &mut [i32]) {
        let padded = (inputs + 3) & !3;
        let Some(first) = tokens.get(..padded) else {
            return;
        };
        let second = tokens.get(stride..).and_then(|rest| rest.get(..padded));
        let second = second.unwrap_or(first);
        if inputs > 0 && tile.len() >= TILE_HEADER + padded {
            // SAFETY: both tokens hold `padded` values, the tile as many words
            // behind its header, and `padded / 4` is not zero.
            unsafe {
                tadpool_dsp_expand(
                    first.as_ptr(),
                    second.as_ptr(),
                    tile.as_mut_ptr(),
                    padded / 4,
                );
            }
        }
    }

    fn arrange(constants: &mut [i32]) {
        for group in constants.as_chunks_mut::<8>().0 {
            let [s0, m0, s1, m1, s2, m2, s3, m3] = *group;
            let even = |even: i32, odd: i32| even.wrapping_add(odd << 8);
            *group = [s1, s3, even(s0, s1), even(s2, s3), m0, m1, m2, m3];
        }
    }

    fn write(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) {
        let job = Job::new(linear, tile).and_then(|job| job.to_tokens(linear, tokens));
        if let Some(mut job) = job {
            // SAFETY: `Job::new` and `to_tokens` checked every length.
            unsafe { tadpool_dsp_write(&mut job) }
        }
    }

    fn write_counted(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) -> Partial {
        let job = Job::new(linear, tile).and_then(|job| job.to_tokens(linear, tokens));
        let Some(mut job) = job else {
            return Partial::default();
        };
        job.zero = job.zero.wrapping_add(128);
        // SAFETY: `Job::new` and `to_tokens` checked every length.
        unsafe { tadpool_dsp_write_counted(&mut job) }
        job.counted(linear.outputs())
    }

    fn activate(
        linear: &Linear<'_>,
        table: &[i8; 256],
        tile: &[i32],
        _tokens: usize,
        next: &mut [i32],
    ) {
        let Some((header, values)) = next.split_at_mut_checked(TILE_HEADER) else {
            return;
        };
        let values = values.get_mut(..linear.outputs()).map(<[i32]>::as_mut_ptr_range);
        if let (Some(mut job), Some(values)) = (Job::new(linear, tile), values) {
            job.end = values.end.cast();
            job.out = [values.start.cast(), table.as_ptr().cast_mut().cast()];
            // SAFETY: `Job::new` checked what is read, `values` has a word for
            // every output, and the table one entry for every `u8`; it is not
            // written.
            unsafe { tadpool_dsp_activate(&mut job) }
            for (word, sum) in header.iter_mut().zip(job.counts) {
                *word = (sum as i32).wrapping_mul(-128);
            }
        }
    }

    fn update(
        linear: &Linear<'_>,
        residual: &[i32],
        tile: &[i32],
        tokens: &mut [i8],
    ) -> Partial {
        let job = Job::new(linear, tile).and_then(|job| job.to_tokens(linear, tokens));
        match job {
            Some(mut job) if residual.len() == linear.outputs() => {
                job.zero = job.zero.wrapping_add(128);
                job.residual = residual.as_ptr();
                // SAFETY: `Job::new` and `to_tokens` checked every length but
                // that of `residual`, which was just checked.
                unsafe { tadpool_dsp_update(&mut job) }
                job.counted(linear.outputs())
            }
            _ => Partial::default(),
        }
    }
}

/// Runs the pooling mixer on a map whose channels are a multiple of four.
pub(crate) fn pool(
    step: &Pooling<'_>,
    norm: &NormScale,
    map: &mut [i8],
    mut scratch: &mut [u8],
) -> Result<Stats, Fault> {
    let [height, width, channels] = step.shape;
    let row_size = width * channels;
    ensure(channels.is_multiple_of(4) && map.len() == height * row_size && row_size > 0)?;
    let factors = arena::take_i32s(&mut scratch, 4 * channels)?;
    let above = arena::take_i8s(&mut scratch, row_size)?;
    let none = arena::take_i8s(&mut scratch, row_size)?;
    above.fill(0);
    none.fill(0);

    let mut written = Stats::default();
    let mut rest = map;
    let mut factors_of = 0;
    for y in 0..height {
        let row;
        (row, rest) = rest.split_at_mut(row_size);
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
