//! [`Helium`]: the inner loops of `helium_product.s`.

#![allow(unsafe_code)]

use core::arch::global_asm;

use crate::layout::Helium;
use crate::matmul::{Linear, Product, TILE_HEADER};
use crate::norm::Partial;

// No target of rustc has the vector extension, so the assembler is told.
global_asm!(
    ".cpu cortex-m55",
    include_str!("helium_product.s"),
    options(raw)
);

/// What a product works on; the assembly has the same offsets.
#[repr(C)]
struct Job {
    tile: *const i32,
    /// Vectors of 16 inputs, at least one.
    vectors: usize,
    constants_end: *const i32,
    table: *const i8,
    residual: *const i32,
    finish: usize,
    constants: *const i32,
    weights: *const u8,
    limit: *const i32,
    out: *mut i8,
    zero: i32,
    /// Where the results of a pair of outputs go: both of token 0, and so on.
    places: [u16; 8],
    /// Where the first output's results go.
    first_places: [u32; 4],
}

// SAFETY: signatures and contract as in `helium_product.s`.
unsafe extern "C" {
    fn tadpool_helium_write(job: *const Job);
    fn tadpool_helium_activate(job: *const Job);
    fn tadpool_helium_update(job: *const Job);
    fn tadpool_helium_expand(values: *const i8, count: usize, tile: *mut i32);
    /// The sum in the low word and the sum of squares in the high word.
    fn tadpool_helium_count(values: *const i8, count: usize) -> u64;
}

impl Job {
    /// A job that writes tokens `stride` bytes apart, the last of `tokens` once
    /// more for those that are missing. [`Linear`] has checked its parts.
    #[inline(always)]
    fn new(
        linear: &Linear<'_>,
        tile: &[i32],
        out: *mut i8,
        stride: usize,
        tokens: usize,
    ) -> Option<Self> {
        let vectors = (linear.inputs() + 15) / 16;
        let values = tile.get(TILE_HEADER..TILE_HEADER + 16 * vectors)?;
        let last = tokens.checked_sub(1)?;
        let place = |token: usize| (token.min(last) * stride) as u32;
        let first_places = [0, place(1), place(2), place(3)];
        let [_, b, c, d] = first_places.map(|place| place as u16);
        Some(Self {
            tile: values.as_ptr(),
            vectors,
            constants_end: linear.constants().as_ptr_range().end,
            table: core::ptr::null(),
            residual: core::ptr::null(),
            finish: 0,
            constants: linear.constants().as_ptr(),
            weights: linear.weights().as_ptr(),
            limit: values.as_ptr_range().end,
            out,
            zero: linear.zero(),
            places: [0, 1, b, b + 1, c, c + 1, d, d + 1],
            first_places,
        })
    }

    /// Writes to one to four whole tokens.
    #[inline(always)]
    fn to_tokens(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) -> Option<Self> {
        let outputs = linear.outputs();
        let count = (tokens.len() / outputs).min(4);
        Self::new(linear, tile, tokens.as_mut_ptr(), outputs, count)
    }
}

impl Product for Helium {
    const TOKENS: usize = 4;

    fn expand(tokens: &[i8], stride: usize, inputs: usize, first: usize, tile: &mut [i32]) {
        let vectors = (inputs + 15) / 16;
        let Some(values) = tile.get_mut(TILE_HEADER..TILE_HEADER + 16 * vectors) else {
            return;
        };
        let mut rows = tokens.chunks(stride.max(1));
        let mut row = rows.next().unwrap_or(&[]);
        for values in values.chunks_mut(4).take(4).skip(first) {
            if inputs == 0 || row.len() < inputs {
                return;
            }
            // SAFETY: `row` holds `inputs` values. They go 64 bytes apart from
            // the token's first vector on, and `values` was taken from a tile
            // of `vectors` times 64 bytes.
            unsafe { tadpool_helium_expand(row.as_ptr(), inputs, values.as_mut_ptr()) }
            row = rows.next().unwrap_or(row);
        }
    }

    fn arrange(constants: &mut [i32]) {
        for [_, m0, s1, _] in constants.as_chunks_mut::<4>().0 {
            core::mem::swap(m0, s1);
        }
    }

    fn write(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) {
        if let Some(job) = Job::to_tokens(linear, tile, tokens) {
            // SAFETY: `Linear` and `Job` checked every length.
            unsafe { tadpool_helium_write(&job) }
        }
    }

    fn write_counted(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) -> Partial {
        Self::write(linear, tile, tokens);
        count(tokens)
    }

    fn activate(
        linear: &Linear<'_>,
        table: &[i8; 256],
        tile: &[i32],
        _tokens: usize,
        next: &mut [i32],
    ) {
        let vectors = (linear.outputs() + 15) / 16;
        let Some(next) = next.get_mut(TILE_HEADER..TILE_HEADER + 16 * vectors) else {
            return;
        };
        if let Some(mut job) = Job::new(linear, tile, next.as_mut_ptr().cast(), 16, 4) {
            job.table = table.as_ptr();
            // SAFETY: `Linear` and `Job` checked what is read, `next` has 64
            // bytes for every 16 outputs, and the table an entry for every `u8`.
            unsafe { tadpool_helium_activate(&job) }
        }
    }

    fn update(linear: &Linear<'_>, residual: &[i32], tile: &[i32], tokens: &mut [i8]) -> Partial {
        if let Some(mut job) = Job::to_tokens(linear, tile, tokens)
            && residual.len() == linear.outputs()
        {
            job.residual = residual.as_ptr();
            // SAFETY: `Linear` and `Job` checked every length but that of
            // `residual`, which was just checked.
            unsafe { tadpool_helium_update(&job) }
        }
        count(tokens)
    }
}

fn count(tokens: &[i8]) -> Partial {
    if tokens.is_empty() {
        return Partial::default();
    }
    // SAFETY: reads the slice, which is not empty.
    let sums = unsafe { tadpool_helium_count(tokens.as_ptr(), tokens.len()) };
    Partial::of(sums as i32, (sums >> 32) as u32)
}
