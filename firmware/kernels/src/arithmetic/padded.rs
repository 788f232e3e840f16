//! Matrices whose outputs are no multiple of their layout's group.
//!
//! The last group is padded with weights of zero. Whole groups are left to the layout's
//! own kernel; the sums of the last one are taken by it too, and the few that are wanted
//! are finished here, one after the other. A layout of its own, so that no image whose
//! matrices are whole holds this code.

use core::marker::PhantomData;

use crate::arch::cast;
use crate::arithmetic::fixed::{saturate_i8, saturate_u8};
#[cfg(any(tadpool_core = "dsp", tadpool_core = "host"))]
use crate::arithmetic::layout::Dsp;
#[cfg(any(tadpool_core = "helium", tadpool_core = "host"))]
use crate::arithmetic::layout::Helium;
use crate::arithmetic::layout::{Kernel, Layout};
#[cfg(any(tadpool_core = "helium", tadpool_core = "host"))]
use crate::arithmetic::matmul::TILE_HEADER;
use crate::arithmetic::matmul::{Linear, Product, Sum, each_tile, look_up};
use crate::arithmetic::norm::Partial;
use crate::present::{Present, missing};

/// `K` for any number of outputs. See [`Layout::DspPadded`].
#[derive(Debug, Clone, Copy)]
pub struct Padded<K>(PhantomData<K>);

/// A layout whose outputs are packed in groups.
pub trait Groups {
    /// Outputs of a group.
    const GROUP: usize;

    /// Puts a value into a tile.
    fn put(tile: &mut [i32], token: usize, input: usize, value: i8);

    /// Makes the tile of the next layer one that values are put into.
    fn begin(tile: &[i32], next: &mut [i32]) {
        let _ = (tile, next);
    }
}

#[cfg(any(tadpool_core = "dsp", tadpool_core = "host"))]
impl Groups for Dsp {
    const GROUP: usize = Layout::Dsp.group();

    fn put(tile: &mut [i32], token: usize, input: usize, value: i8) {
        let word = input / 4 * 4 + input % 2 * 2 + token;
        let values = cast::words_as_i16s_mut(tile);
        match values.get_mut(2 * word + input / 2 % 2) {
            Some(wide) => *wide = i16::from(value),
            None => missing(),
        }
    }
}

#[cfg(any(tadpool_core = "helium", tadpool_core = "host"))]
impl Groups for Helium {
    const GROUP: usize = Layout::Helium.group();

    fn put(tile: &mut [i32], token: usize, input: usize, value: i8) {
        let at = 4 * TILE_HEADER + input / 16 * 64 + token * 16 + input % 16;
        match cast::words_as_i8s_mut(tile).get_mut(at) {
            Some(place) => *place = value,
            None => missing(),
        }
    }

    fn begin(tile: &[i32], next: &mut [i32]) {
        for (next, &held) in next.iter_mut().zip(tile).take(TILE_HEADER) {
            *next = held;
        }
    }
}

impl<K: Kernel + Groups> Kernel for Padded<K> {
    const LAYOUT: Layout = K::LAYOUT.padded();
    type Padded = Self;
}

/// Words of a group's constants, and of its sums for a tile, in every layout.
const WORDS: usize = 8;

/// Hands each sum of the outputs behind the whole groups to `each`, with the numbers of its
/// token and of its output in its layer.
#[inline(always)]
fn each_other<K: Kernel + Groups>(
    linear: &Linear<'_>,
    tile: &[i32],
    mut each: impl FnMut(usize, usize, Sum),
) {
    let first = linear.outputs() - linear.outputs() % K::GROUP;
    let pairs = linear.constants().as_chunks::<2>().0;
    let pairs = pairs.get(first..).present();
    let (mut constants, mut sums) = ([0; WORDS], [0; WORDS]);
    let constants = constants.get_mut(..2 * K::GROUP).present();
    for (place, &pair) in constants.as_chunks_mut::<2>().0.iter_mut().zip(pairs) {
        *place = pair;
    }
    K::arrange(constants);
    let Some(group) = linear.last_group::<K>(constants) else {
        return;
    };
    let sums = sums.get_mut(..K::TOKENS * K::GROUP).present();
    K::sums(&group, tile, sums);
    for (token, sums) in sums.chunks_exact(K::GROUP).enumerate() {
        for (output, (&[_, multiplier], &acc)) in (first..).zip(pairs.iter().zip(sums)) {
            each(token, output, Sum { acc, multiplier });
        }
    }
}

impl<K: Kernel + Groups> Product for Padded<K> {
    const TOKENS: usize = K::TOKENS;

    fn expand(tokens: &[i8], stride: usize, inputs: usize, first: usize, tile: &mut [i32]) {
        let whole = inputs - inputs % 4;
        if K::LAYOUT.reads_whole(inputs) || stride >= whole + 4 {
            return K::expand(tokens, stride, inputs, first, tile);
        }
        // What lies behind a token is another one, or nothing.
        if whole > 0 {
            K::expand(tokens, stride, whole, first, tile);
        }
        let rows = tokens.chunks_exact(stride.max(1));
        let last = rows.clone().last().unwrap_or(&[]);
        for (token, row) in (first..K::TOKENS).zip(rows.chain(core::iter::repeat(last))) {
            for (input, &value) in row.iter().enumerate().take(inputs).skip(whole) {
                K::put(tile, token, input, value);
            }
        }
    }

    fn arrange(constants: &mut [i32]) {
        let rest = constants.len() % (2 * K::GROUP);
        let whole = constants.len() - rest;
        K::arrange(constants.get_mut(..whole).present());
    }

    fn unpack(packed: &[i32], unpacked: &mut [i32]) {
        K::unpack(packed, unpacked);
    }

    fn write(linear: &Linear<'_>, input: &[i8], tile: &mut [i32], output: &mut [i8]) {
        each_tile::<Self>(linear, input, tile, output, |tile, tokens| {
            Self::write_counted(linear, tile, tokens);
        });
    }

    fn write_counted(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) -> Partial {
        let whole = linear.whole_groups::<K>();
        let written = whole.map(|whole| K::write_counted(&whole, tile, tokens));
        join::<K>(linear, &[], tile, tokens, written.unwrap_or_default())
    }

    fn sums(linear: &Linear<'_>, tile: &[i32], sums: &mut [i32]) {
        let outputs = linear.outputs();
        debug_assert_eq!(sums.len(), K::TOKENS * outputs);
        if let Some(whole) = linear.whole_groups::<K>() {
            let count = whole.outputs();
            K::sums(&whole, tile, sums.get_mut(..K::TOKENS * count).present());
            // To the places that they have beside the others, the last ones first.
            for token in (1..K::TOKENS).rev() {
                for output in (0..count).rev() {
                    let sum = sums.get(token * count + output).copied().present();
                    match sums.get_mut(token * outputs + output) {
                        Some(place) => *place = sum,
                        None => missing(),
                    }
                }
            }
        }
        each_other::<K>(linear, tile, |token, output, sum| {
            match sums.get_mut(token * outputs + output) {
                Some(place) => *place = sum.acc,
                None => missing(),
            }
        });
    }

    fn activate(linear: &Linear<'_>, table: &[i8; 256], tile: &[i32], next: &mut [i32]) {
        match linear.whole_groups::<K>() {
            Some(whole) => K::activate(&whole, table, tile, next),
            None => K::begin(tile, next),
        }
        each_other::<K>(linear, tile, |token, output, sum| {
            let value = look_up(table, saturate_u8(sum.requantized(linear.zero())));
            K::put(next, token, linear.first() + output, value as i8);
        });
    }

    fn update(linear: &Linear<'_>, residual: &[i32], tile: &[i32], tokens: &mut [i8]) -> Partial {
        let whole = linear.whole_groups::<K>();
        let written = whole.map(|whole| K::update(&whole, residual, tile, tokens));
        join::<K>(linear, residual, tile, tokens, written.unwrap_or_default())
    }
}

/// Adds the outputs behind the whole groups to `tokens`, whose values count if there is a
/// `residual`, and counts them. One copy for what is written and what is updated.
#[inline(never)]
fn join<K: Kernel + Groups>(
    linear: &Linear<'_>,
    residual: &[i32],
    tile: &[i32],
    tokens: &mut [i8],
    mut written: Partial,
) -> Partial {
    let width = linear.width();
    each_other::<K>(linear, tile, |token, output, mut sum| {
        let output = linear.first() + output;
        // A tile that is not full has more tokens than are written.
        if let Some(q) = tokens.get_mut(token * width + output) {
            let factor = residual.get(output).copied().unwrap_or(0);
            sum.acc = sum.acc.wrapping_add(factor.wrapping_mul(i32::from(*q)));
            *q = saturate_i8(sum.requantized(linear.zero()));
            written.add(*q);
        }
    });
    written
}
