//! [`Helium`]: the inner loops of `product.s`.

#![allow(unsafe_code)]

use crate::arithmetic::layout::Helium;
use crate::arithmetic::matmul::{Linear, Product, TILE_HEADER, each_tile};
use crate::arithmetic::norm::{Partial, Stats};
use crate::present::missing;

assembly!("product.s");

/// The arguments of a product; the assembly has the same offsets.
#[repr(C)]
struct Job {
    constants: *const i32,
    out: *mut i8,
    tile_end: *const i32,
    /// The end of the constants, or residual factors.
    end_or_residual: *const i32,
    weights: *const u8,
    tile: *const i32,
    /// Vectors of 16 inputs that a token has behind its first one.
    others: usize,
    /// Tokens in the tile, those that are repeated not counted.
    held: i32,
    zero: i32,
    /// The table of an activation, or the end of the constants beside residual
    /// factors.
    table_or_end: *const (),
    /// Where a vector of the next tile is full.
    full: *const i8,
    /// Where the results of a pair of outputs go: both of token 0, and so on.
    places: [u16; 8],
    /// Where the first output's results go.
    first_places: [u32; 4],
}

offsets!(Job: constants 0, out 4, tile_end 8, end_or_residual 12, weights 16, tile 20,
    others 24, held 28, zero 32, table_or_end 36, full 40, places 44, first_places 60; 76);

// SAFETY: signatures and contract as in `product.s`.
unsafe extern "C" {
    fn tadpool_helium_write(job: *const Job);
    fn tadpool_helium_activate(job: *const Job);
    fn tadpool_helium_update(job: *const Job);
    fn tadpool_helium_sums(job: *const Job);
    fn tadpool_helium_expand(
        values: *const i8,
        inputs: usize,
        stride: usize,
        tile: *mut i32,
        tokens: usize,
    );
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
        let vectors = linear.inputs().div_ceil(16);
        let parts = tile.split_first_chunk::<TILE_HEADER>();
        let parts = parts.and_then(|(header, values)| Some((header, values.get(..16 * vectors)?)));
        debug_assert!(parts.is_some() && tokens > 0);
        let (&[held, ..], values) = parts?;
        let last = tokens.checked_sub(1)?;
        let place = |token: usize| (token.min(last) * stride) as u32;
        let first_places = [0, place(1), place(2), place(3)];
        let [_, b, c, d] = first_places.map(|place| place as u16);
        Some(Self {
            constants: linear.constants().as_ptr(),
            out,
            tile_end: values.as_ptr_range().end,
            end_or_residual: linear.constants().as_ptr_range().end,
            weights: linear.weights().as_ptr(),
            tile: values.as_ptr(),
            others: vectors.saturating_sub(1),
            held,
            zero: linear.zero(),
            table_or_end: core::ptr::null(),
            full: core::ptr::null(),
            places: [0, 1, b, b + 1, c, c + 1, d, d + 1],
            first_places,
        })
    }

    /// Writes to one to four whole tokens.
    #[inline(always)]
    fn to_tokens(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) -> Option<Self> {
        let width = linear.width();
        let count = (tokens.len() / width.max(1)).min(4);
        let first = linear.of_mut(tokens).as_mut_ptr();
        Self::new(linear, tile, first, width, count)
    }
}

impl Product for Helium {
    const TOKENS: usize = 4;

    fn expand(tokens: &[i8], stride: usize, inputs: usize, first: usize, tile: &mut [i32]) {
        let size = 16 * inputs.div_ceil(16);
        let Some(([held, ..], values)) = tile.split_first_chunk_mut::<TILE_HEADER>() else {
            return missing();
        };
        let values = values.get_mut(..size);
        let Some(values) = values.and_then(|values| values.get_mut(4 * first..)) else {
            return missing();
        };
        let count = tokens.len() / stride.max(1);
        debug_assert!(inputs > 0 && inputs <= stride && first + count <= 4);
        // Of no tokens nothing is read.
        if inputs == 0 || inputs > stride || count == 0 || first + count > 4 {
            return;
        }
        *held = (first + count) as i32;
        let (tokens, tile) = (tokens.as_ptr(), values.as_mut_ptr());
        let missing = 4 - first - count;
        // SAFETY: `tokens` holds `count` tokens of `stride` values, of which
        // `inputs` are read. A token's vectors go 64 bytes apart, the tokens' first
        // ones 16 bytes, and the tile has 64 bytes for every 16 inputs. What a last
        // vector has beyond `inputs` meets weights of zero.
        unsafe {
            tadpool_helium_expand(tokens, inputs, stride, tile, count);
            if missing > 0 {
                let last = tokens.add((count - 1) * stride);
                tadpool_helium_expand(last, inputs, 0, tile.add(4 * count), missing);
            }
        }
    }

    fn arrange(constants: &mut [i32]) {
        for [_, m0, s1, _] in constants.as_chunks_mut::<4>().0 {
            core::mem::swap(m0, s1);
        }
    }

    fn write(linear: &Linear<'_>, input: &[i8], tile: &mut [i32], output: &mut [i8]) {
        each_tile::<Self>(linear, input, tile, output, |tile, tokens| {
            write_tile(linear, tile, tokens);
        });
    }

    fn write_counted(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) -> Partial {
        write_tile(linear, tile, tokens);
        count_outputs(linear, tokens)
    }

    fn sums(linear: &Linear<'_>, tile: &[i32], sums: &mut [i32]) {
        let outputs = linear.outputs();
        debug_assert_eq!(sums.len(), 4 * outputs);
        if sums.len() == 4 * outputs
            && let Some(job) = Job::new(linear, tile, sums.as_mut_ptr().cast(), 4 * outputs, 4)
        {
            // SAFETY: `Linear` and `Job` checked what is read, and `sums` has a
            // word for every output of four tokens.
            unsafe { tadpool_helium_sums(&job) }
        }
    }

    fn activate(linear: &Linear<'_>, table: &[i8; 256], tile: &[i32], next: &mut [i32]) {
        let vectors = linear.width().div_ceil(16);
        let Some(([held, ..], values)) = next.split_first_chunk_mut::<TILE_HEADER>() else {
            return missing();
        };
        let Some(values) = values.get_mut(..16 * vectors) else {
            return missing();
        };
        // A vector of each token, one after the other.
        let place = linear.first() / 16 * 64 + linear.first() % 16;
        let out = values.as_mut_ptr().cast::<i8>().wrapping_add(place);
        if let Some(mut job) = Job::new(linear, tile, out, 16, 4) {
            *held = job.held;
            job.table_or_end = table.as_ptr().cast();
            job.full = out.wrapping_add(16 - linear.first() % 16);
            // SAFETY: `Linear` and `Job` checked what is read, `next` has 64
            // bytes for every 16 outputs, and the table an entry for every `u8`.
            unsafe { tadpool_helium_activate(&job) }
        }
    }

    fn update(linear: &Linear<'_>, residual: &[i32], tile: &[i32], tokens: &mut [i8]) -> Partial {
        debug_assert_eq!(residual.len(), linear.width());
        if let Some(mut job) = Job::to_tokens(linear, tile, tokens)
            && residual.len() == linear.width()
        {
            job.table_or_end = job.end_or_residual.cast();
            job.end_or_residual = linear.of(residual).as_ptr();
            // SAFETY: `Linear` and `Job` checked every length but that of
            // `residual`, which was just checked.
            unsafe { tadpool_helium_update(&job) }
        }
        count_outputs(linear, tokens)
    }
}

fn write_tile(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) {
    if let Some(job) = Job::to_tokens(linear, tile, tokens) {
        // SAFETY: `Linear` and `Job` checked every length.
        unsafe { tadpool_helium_write(&job) }
    }
}

/// Counts what was written to whole tokens.
fn count_outputs(linear: &Linear<'_>, tokens: &[i8]) -> Partial {
    if linear.outputs() == linear.width() {
        return count(tokens);
    }
    let mut written = Partial::default();
    for token in tokens.chunks_exact(linear.width().max(1)) {
        written.merge(count(linear.of(token)));
    }
    written
}

/// Sums of a map.
pub(super) fn count_map(map: &[i8]) -> Stats {
    let mut stats = Stats::default();
    for part in map.chunks(1 << 16) {
        stats.merge(count(part));
    }
    stats
}

/// Sums of at most `2^16` values.
fn count(values: &[i8]) -> Partial {
    if values.is_empty() {
        return Partial::default();
    }
    // SAFETY: reads the slice, which is not empty.
    let sums = unsafe { tadpool_helium_count(values.as_ptr(), values.len()) };
    Partial::of(sums as i32, (sums >> 32) as u32)
}
