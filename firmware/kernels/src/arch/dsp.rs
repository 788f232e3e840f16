//! [`Dsp`]: the inner loops of `dsp_product.s`.

#![allow(unsafe_code)]

use core::arch::global_asm;

use crate::layout::Dsp;
use crate::matmul::{Linear, Product, TILE_HEADER};
use crate::norm::Partial;

// The core that the assembler is told to write for; the default of the target
// is one without the DSP extension on Armv8-M.
#[cfg(not(tadpool_armv8m))]
global_asm!(
    ".cpu cortex-m4",
    include_str!("dsp_product.s"),
    options(raw)
);
#[cfg(tadpool_armv8m)]
global_asm!(
    ".cpu cortex-m33",
    include_str!("dsp_product.s"),
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

// SAFETY: signatures and contract as in `dsp_product.s`.
unsafe extern "C" {
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
        let values = values
            .get_mut(..linear.outputs())
            .map(<[i32]>::as_mut_ptr_range);
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

    fn update(linear: &Linear<'_>, residual: &[i32], tile: &[i32], tokens: &mut [i8]) -> Partial {
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
