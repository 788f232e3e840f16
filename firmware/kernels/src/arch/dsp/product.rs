//! [`Dsp`]: the inner loops of `product.s`.

#![allow(unsafe_code)]

use crate::arithmetic::layout::Dsp;
use crate::arithmetic::matmul::{Linear, Product, each_tile};
use crate::arithmetic::norm::Partial;
use crate::present::missing;

assembly!("product.s");

/// The arguments of a product; the assembly has the same offsets.
#[repr(C)]
struct Job {
    /// Where in the tile the last of many turns begins or, if two instructions are
    /// issued at once, ends.
    turns_end: *const i32,
    zero: i32,
    /// Token 0, or the next tile.
    out: *mut u8,
    constants: *const i32,
    /// Bytes of code in the first turn of the loop.
    first_turn: usize,
    tile: *const i32,
    other: Other,
    /// `out` after the last group.
    end: *const u8,
    /// Factors of what is written over, or null.
    residual: *const i32,
    /// Pairs of inputs in the turns after the first one.
    rest: usize,
    /// Sum and sum of squares of `q + 128`.
    counts: [u32; 2],
    /// The code that follows the sums.
    finish: Code,
    weights: *const u8,
}

offsets!(Job: turns_end 0, zero 4, out 8, constants 12, first_turn 16, tile 20, other 24,
    end 28, residual 32, rest 36, counts 40, finish 48, weights 52; 56);

#[repr(C)]
#[derive(Clone, Copy)]
union Other {
    /// Bytes from token 0 to token 1.
    to_second: usize,
    table: *const i8,
}

/// A place in the assembly, which only the assembly goes to.
type Code = unsafe extern "C" fn();

/// Where a product's results go.
struct Target {
    out: *mut u8,
    end: *const u8,
    other: Other,
    residual: *const i32,
    zero: i32,
    finish: Code,
}

/// Whether the loop is written for a core that issues two instructions at once.
const DUAL_ISSUE: bool = cfg!(feature = "dsp-m7");

/// Pairs of inputs that a turn of the loop takes; the assembly has the same.
///
/// A turn of 16 is 704 bytes, which fits the instruction cache of 1 KB between the core and
/// the flash of an STM32L4; one of 32 would be fetched anew each turn. The Cortex-M7 has a
/// larger cache of its own.
const UNROLL: usize = if DUAL_ISSUE { 32 } else { 16 };

/// Bytes of code for a pair of inputs, as the assembly checks.
const STEP_SIZE: usize = if DUAL_ISSUE { 56 } else { 44 };

/// Pairs of inputs before the loop, and after it.
const OUTSIDE: usize = if DUAL_ISSUE { 2 } else { 1 };

// SAFETY: signatures and contract as in `product.s`.
unsafe extern "C" {
    fn tadpool_dsp_product(job: *const Job) -> u64;
    fn tadpool_dsp_look_up();
    fn tadpool_dsp_count();
    fn tadpool_dsp_write();
    fn tadpool_dsp_sums();
    fn tadpool_dsp_expand(first: *const i8, second: *const i8, tile: *mut i32, fours: usize);
    fn tadpool_dsp_unpack(packed: *const i32, unpacked: *mut i32, words: usize);
}

impl Target {
    /// One or two whole tokens of the layer's width, whose values are `finish`ed.
    #[inline(always)]
    fn tokens(linear: &Linear<'_>, tokens: &mut [i8], finish: Code) -> Option<Self> {
        let width = linear.width();
        let copies = tokens.len() < 2 * width;
        let first = linear.of_mut(tokens);
        if first.is_empty() {
            return None;
        }
        let first = first.as_mut_ptr_range();
        Some(Self {
            out: first.start.cast(),
            end: first.end.cast(),
            other: Other {
                to_second: if copies { 0 } else { width },
            },
            residual: core::ptr::null(),
            zero: linear.zero(),
            finish,
        })
    }
}

impl Job {
    /// Multiplies `values` and writes to `target`. [`Linear`] has checked its parts, and
    /// [`values`] the tile.
    #[inline(always)]
    fn new(linear: &Linear<'_>, values: &[i32], target: &Target) -> Self {
        // Of four inputs at least.
        let inside = (values.len() / 2).max(2) - OUTSIDE;
        let rest = inside.saturating_sub(1) / UNROLL * UNROLL;
        let values = values.as_ptr_range();
        let last_turn = if DUAL_ISSUE { 0 } else { 2 * UNROLL };
        Self {
            turns_end: values.end.wrapping_sub(last_turn),
            zero: target.zero,
            out: target.out,
            constants: linear.constants().as_ptr(),
            first_turn: (inside - rest) * STEP_SIZE,
            tile: values.start,
            other: target.other,
            end: target.end,
            residual: target.residual,
            rest,
            counts: [0; 2],
            finish: target.finish,
            weights: linear.weights().as_ptr(),
        }
    }
}

/// The values of a tile that a product reads, if it is long enough.
#[inline(always)]
fn values<'a>(linear: &Linear<'_>, tile: &'a [i32]) -> Option<&'a [i32]> {
    tile.get(..(linear.inputs() + 3) & !3)
}

/// Multiplies and returns in halves what was counted, if the values are counted. One copy
/// for all products.
///
/// # Safety
/// From `out` to `end` there is a place for every output, as `finish` writes it,
/// and, if it writes two tokens, as much `to_second` bytes from there; a `residual`
/// that is not null has a word for every output, a table 256 bytes.
#[inline(never)]
unsafe fn product(linear: &Linear<'_>, tile: &[i32], target: &Target) -> u64 {
    match values(linear, tile) {
        // SAFETY: what is read was checked by `Linear` and here; what is written, by
        // the caller.
        Some(values) => unsafe { tadpool_dsp_product(&Job::new(linear, values, target)) },
        None => {
            missing();
            0
        }
    }
}

impl Product for Dsp {
    const TOKENS: usize = 2;

    #[inline(always)]
    fn expand(tokens: &[i8], stride: usize, inputs: usize, _first: usize, tile: &mut [i32]) {
        let padded = (inputs + 3) & !3;
        let Some(room) = tokens.len().checked_sub(padded) else {
            // There may be no tokens, but no part of one.
            debug_assert!(tokens.is_empty());
            return;
        };
        let to_second = if stride <= room { stride } else { 0 };
        let first = tokens.as_ptr();
        debug_assert!(inputs > 0 && tile.len() >= padded);
        if inputs > 0 && tile.len() >= padded {
            // SAFETY: both tokens hold `padded` values, since `padded` of them follow
            // `room` ones, the tile as many words, and `padded / 4` is not zero.
            unsafe {
                let second = first.add(to_second);
                tadpool_dsp_expand(first, second, tile.as_mut_ptr(), padded / 4);
            }
        }
    }

    #[inline(never)]
    fn arrange(constants: &mut [i32]) {
        for group in constants.as_chunks_mut::<8>().0 {
            let [s0, m0, s1, m1, s2, m2, s3, m3] = *group;
            *group = [s0, s2, s1, s3, m0, m1, m2, m3];
        }
    }

    fn write(linear: &Linear<'_>, input: &[i8], tile: &mut [i32], output: &mut [i8]) {
        let width = linear.width();
        // `Linear::new` has all of them.
        if linear.outputs() != width {
            return missing();
        }
        let Some(target) = Target::tokens(linear, output, tadpool_dsp_write) else {
            return missing();
        };
        let Some(values) = values(linear, tile) else {
            return missing();
        };
        let mut job = Job::new(linear, values, &target);
        each_tile::<Self>(linear, input, tile, output, |tile, tokens| {
            if tokens.len() < 2 * width {
                job.other.to_second = 0;
            }
            let Some(first) = tokens.get_mut(..width) else {
                return missing();
            };
            let first = first.as_mut_ptr_range();
            (job.out, job.end) = (first.start.cast(), first.end.cast());
            job.tile = tile.as_ptr();
            // SAFETY: there is room for every output of one token or of two; what
            // is read was checked by `Linear` and above.
            unsafe { tadpool_dsp_product(&job) };
        });
    }

    fn write_counted(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) -> Partial {
        counted(linear, tile, tokens, None)
    }

    fn activate(linear: &Linear<'_>, table: &[i8; 256], tile: &[i32], next: &mut [i32]) {
        let next = linear.of_mut(next);
        debug_assert!(!next.is_empty());
        if !next.is_empty() {
            let next = next.as_mut_ptr_range();
            let target = Target {
                out: next.start.cast(),
                end: next.end.cast(),
                other: Other {
                    table: table.as_ptr(),
                },
                residual: core::ptr::null(),
                zero: linear.zero(),
                finish: tadpool_dsp_look_up,
            };
            // SAFETY: `next` has a word for every output, and the table one entry
            // for every `u8`.
            unsafe { product(linear, tile, &target) };
        }
    }

    fn unpack(packed: &[i32], unpacked: &mut [i32]) {
        debug_assert!(!packed.is_empty() && unpacked.len() == 2 * packed.len());
        if !packed.is_empty() && unpacked.len() == 2 * packed.len() {
            // SAFETY: there is a word to be read, and two are written for each.
            unsafe {
                tadpool_dsp_unpack(packed.as_ptr(), unpacked.as_mut_ptr(), packed.len());
            }
        }
    }

    fn sums(linear: &Linear<'_>, tile: &[i32], sums: &mut [i32]) {
        let outputs = linear.outputs();
        debug_assert_eq!(sums.len(), 2 * outputs);
        if sums.len() == 2 * outputs {
            let sums = sums.as_mut_ptr();
            let target = Target {
                out: sums.cast(),
                end: sums.wrapping_add(outputs).cast(),
                other: Other {
                    to_second: 4 * outputs,
                },
                residual: core::ptr::null(),
                zero: 0,
                finish: tadpool_dsp_sums,
            };
            // SAFETY: `sums` has a word for every output of both tokens.
            unsafe { product(linear, tile, &target) };
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
    let Some(mut target) = Target::tokens(linear, tokens, tadpool_dsp_count) else {
        missing();
        return Partial::default();
    };
    target.zero += 128;
    if let Some(residual) = residual {
        if residual.len() != linear.width() {
            missing();
            return Partial::default();
        }
        target.residual = linear.of(residual).as_ptr();
    }
    // SAFETY: `Target::tokens` leaves room for every output, each of which has its
    // `residual` if there are any.
    let counted = unsafe { product(linear, tile, &target) };
    // A single token was counted twice.
    let copies = u32::from(tokens.len() < 2 * linear.width());
    let [sum, squares] = [counted as u32, (counted >> 32) as u32].map(|count| count >> copies);
    Partial::of_biased(sum, squares, (2 * linear.outputs() as u32) >> copies)
}
