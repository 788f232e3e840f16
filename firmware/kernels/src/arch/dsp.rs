//! [`Dsp`]: the inner loops of `dsp_product.s`.

#![allow(unsafe_code)]

use core::arch::global_asm;

use crate::layout::Dsp;
use crate::matmul::{Linear, Product};
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
    other: Other,
    /// `out` after the last group.
    end: *const u8,
    zero: i32,
    constants: *const i32,
    /// Token 0, or the next tile.
    out: *mut u8,
    residual: *const i32,
    /// Pairs of inputs in the first turn of the loop; the first pair is not part
    /// of it.
    first_turn: usize,
    tile_end: *const i32,
    /// Sum and sum of squares of `q + 128`.
    counts: [u32; 2],
    /// Pairs of inputs in the turns after the first one.
    rest: usize,
    weights: *const u8,
}

#[repr(C)]
union Other {
    /// Bytes from token 0 to token 1.
    to_second: usize,
    table: *const i8,
}

/// Pairs of inputs that a turn of the loop takes; the assembly has the same.
const UNROLL: usize = 64;

// SAFETY: signatures and contract as in `dsp_product.s`.
unsafe extern "C" {
    fn tadpool_dsp_write(job: *mut Job);
    fn tadpool_dsp_write_counted(job: *mut Job);
    fn tadpool_dsp_activate(job: *mut Job);
    fn tadpool_dsp_update(job: *mut Job);
    fn tadpool_dsp_sums(job: *mut Job);
    fn tadpool_dsp_expand(first: *const i8, second: *const i8, tile: *mut i32, fours: usize);
    fn tadpool_dsp_unpack(packed: *const i32, unpacked: *mut i32, words: usize);
}

impl Job {
    /// A job with nowhere to write yet. [`Linear`] has checked its parts.
    #[inline(always)]
    fn new(linear: &Linear<'_>, tile: &[i32]) -> Option<Self> {
        let padded = (linear.inputs() + 3) & !3;
        let values = tile.get(..padded)?;
        let after_first = (padded / 2).checked_sub(1)?;
        let rest = after_first.saturating_sub(1) / UNROLL * UNROLL;
        Some(Self {
            tile: values.as_ptr(),
            other: Other { to_second: 0 },
            end: core::ptr::null(),
            zero: linear.zero(),
            constants: linear.constants().as_ptr(),
            out: core::ptr::null_mut(),
            residual: core::ptr::null(),
            first_turn: after_first - rest,
            tile_end: values.as_ptr_range().end,
            counts: [0; 2],
            rest,
            weights: linear.weights().as_ptr(),
        })
    }

    /// Writes to one or two whole tokens.
    #[inline(always)]
    fn to_tokens(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) -> Option<Self> {
        let mut job = Self::new(linear, tile)?;
        let width = linear.width();
        let copies = tokens.get(width..2 * width).is_none();
        let first = linear.of_mut(tokens);
        if first.is_empty() {
            return None;
        }
        let first = first.as_mut_ptr_range();
        job.end = first.end.cast();
        job.out = first.start.cast();
        job.other.to_second = if copies { 0 } else { width };
        Some(job)
    }

    /// What was counted; a single token was counted twice.
    #[inline(always)]
    fn counted(&self, linear: &Linear<'_>, tokens: &[i8]) -> Partial {
        let copies = if tokens.len() < 2 * linear.width() {
            2
        } else {
            1
        };
        let [sum, squares] = self.counts.map(|count| count / copies);
        Partial::of_biased(sum, squares, 2 * linear.outputs() as u32 / copies)
    }
}

impl Product for Dsp {
    const TOKENS: usize = 2;

    #[inline(always)]
    fn expand(tokens: &[i8], stride: usize, inputs: usize, _first: usize, tile: &mut [i32]) {
        let padded = (inputs + 3) & !3;
        let Some(first) = tokens.get(..padded) else {
            return;
        };
        let second = tokens.get(stride..).and_then(|rest| rest.get(..padded));
        let second = second.unwrap_or(first);
        if inputs > 0 && tile.len() >= padded {
            // SAFETY: both tokens hold `padded` values, the tile as many words,
            // and `padded / 4` is not zero.
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

    fn constants(bias: &[i32], multiplier: &[i32], constants: &mut [i32]) {
        let (groups, _) = constants.as_chunks_mut::<8>();
        let each = bias
            .as_chunks::<4>()
            .0
            .iter()
            .zip(multiplier.as_chunks::<4>().0);
        for (group, (&[s0, s1, s2, s3], &[m0, m1, m2, m3])) in groups.iter_mut().zip(each) {
            *group = [s0, s2, s1, s3, m0, m1, m2, m3];
        }
    }

    fn arrange(constants: &mut [i32]) {
        for group in constants.as_chunks_mut::<8>().0 {
            let [s0, m0, s1, m1, s2, m2, s3, m3] = *group;
            *group = [s0, s2, s1, s3, m0, m1, m2, m3];
        }
    }

    #[inline(always)]
    fn write(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) {
        let job = Job::to_tokens(linear, tile, tokens);
        if let Some(mut job) = job {
            // SAFETY: `Job::new` and `to_tokens` checked every length.
            unsafe { tadpool_dsp_write(&mut job) }
        }
    }

    fn write_counted(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) -> Partial {
        counted(linear, tile, tokens, None)
    }

    fn activate(
        linear: &Linear<'_>,
        table: &[i8; 256],
        tile: &[i32],
        _tokens: usize,
        next: &mut [i32],
    ) {
        let next = linear.of_mut(next);
        if let Some(mut job) = Job::new(linear, tile)
            && !next.is_empty()
        {
            let next = next.as_mut_ptr_range();
            job.end = next.end.cast();
            job.out = next.start.cast();
            job.other.table = table.as_ptr();
            // SAFETY: `Job::new` checked what is read, `next` has a word for
            // every output, and the table one entry for every `u8`.
            unsafe { tadpool_dsp_activate(&mut job) }
        }
    }

    fn unpack(packed: &[i32], unpacked: &mut [i32]) {
        if !packed.is_empty() && unpacked.len() == 2 * packed.len() {
            // SAFETY: there is a word to be read, and two are written for each.
            unsafe {
                tadpool_dsp_unpack(packed.as_ptr(), unpacked.as_mut_ptr(), packed.len());
            }
        }
    }

    fn sums(linear: &Linear<'_>, tile: &[i32], sums: &mut [i32]) {
        let outputs = linear.outputs();
        if let Some(mut job) = Job::new(linear, tile)
            && sums.len() == 2 * outputs
        {
            let sums = sums.as_mut_ptr();
            job.out = sums.cast();
            job.end = sums.wrapping_add(outputs).cast();
            job.other.to_second = 4 * outputs;
            // SAFETY: `Job::new` checked what is read, and `sums` has a word for
            // every output of both tokens.
            unsafe { tadpool_dsp_sums(&mut job) }
        }
    }

    fn update(linear: &Linear<'_>, residual: &[i32], tile: &[i32], tokens: &mut [i8]) -> Partial {
        counted(linear, tile, tokens, Some(residual))
    }
}

/// Writes and counts, or updates and counts. One copy for both.
#[inline(never)]
fn counted(
    linear: &Linear<'_>,
    tile: &[i32],
    tokens: &mut [i8],
    residual: Option<&[i32]>,
) -> Partial {
    let job = Job::to_tokens(linear, tile, tokens);
    let Some(mut job) = job else {
        return Partial::default();
    };
    job.zero = job.zero.wrapping_add(128);
    if let Some(residual) = residual {
        if residual.len() != linear.width() {
            return Partial::default();
        }
        job.residual = linear.of(residual).as_ptr();
        // SAFETY: `Job::new` and `to_tokens` checked every length but that of
        // `residual`, which was just checked.
        unsafe { tadpool_dsp_update(&mut job) }
    } else {
        // SAFETY: `Job::new` and `to_tokens` checked every length.
        unsafe { tadpool_dsp_write_counted(&mut job) }
    }
    job.counted(linear, tokens)
}
