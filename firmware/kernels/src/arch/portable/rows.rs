//! [`Rows`]: products in portable Rust, of matrices as they are.

use crate::arch::{self, cast};
use crate::arithmetic::fixed::{saturate_i8, saturate_u8};
use crate::arithmetic::layout::Rows;
use crate::arithmetic::matmul::{Linear, Product, Sum, TILE_HEADER, each_tile, look_up};
use crate::arithmetic::norm::Partial;
use crate::present::{Present, missing};

impl Product for Rows {
    const TOKENS: usize = 2;

    fn expand(tokens: &[i8], stride: usize, inputs: usize, _first: usize, tile: &mut [i32]) {
        if arch::products::expand(tokens, stride, inputs, tile) {
            return;
        }
        let [first, second] = halves_mut(tile, inputs);
        let mut rows = tokens.chunks(stride.max(1));
        // Of no tokens nothing is read.
        let token = rows.next().unwrap_or(&[]);
        widen(token, first);
        widen(rows.next().unwrap_or(token), second);
    }

    fn arrange(_constants: &mut [i32]) {}

    fn write(linear: &Linear<'_>, input: &[i8], tile: &mut [i32], output: &mut [i8]) {
        each_tile::<Self>(linear, input, tile, output, |tile, tokens| {
            if arch::products::write(linear, tile, tokens).is_some() {
                return;
            }
            each_output(linear, tile, |o, sums| {
                for (token, sum) in tokens.chunks_exact_mut(linear.width().max(1)).zip(sums) {
                    match token.get_mut(linear.first() + o) {
                        Some(q) => *q = saturate_i8(sum.requantized(linear.zero())),
                        None => missing(),
                    }
                }
            });
        });
    }

    fn write_counted(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) -> Partial {
        if let Some(written) = arch::products::write(linear, tile, tokens) {
            return written;
        }
        let mut written = Partial::default();
        each_output(linear, tile, |o, sums| {
            for (token, sum) in tokens.chunks_exact_mut(linear.width().max(1)).zip(sums) {
                match token.get_mut(linear.first() + o) {
                    Some(q) => {
                        *q = saturate_i8(sum.requantized(linear.zero()));
                        written.add(*q);
                    }
                    None => missing(),
                }
            }
        });
        written
    }

    fn sums(linear: &Linear<'_>, tile: &[i32], sums: &mut [i32]) {
        debug_assert_eq!(sums.len(), 2 * linear.outputs());
        if arch::products::sums(linear, tile, sums) {
            return;
        }
        let (first, second) = sums.split_at_mut(linear.outputs().min(sums.len()));
        each_output(linear, tile, |o, [a, b]| {
            match (first.get_mut(o), second.get_mut(o)) {
                (Some(first), Some(second)) => (*first, *second) = (a.acc, b.acc),
                _ => missing(),
            }
        });
    }

    fn activate(linear: &Linear<'_>, table: &[i8; 256], tile: &[i32], next: &mut [i32]) {
        if arch::products::activate(linear, table, tile, next) {
            return;
        }
        let [first, second] = halves_mut(next, linear.width());
        let (first, second) = (linear.of_mut(first), linear.of_mut(second));
        each_output(linear, tile, |o, [a, b]| {
            match (first.get_mut(o), second.get_mut(o)) {
                (Some(first), Some(second)) => {
                    *first = look_up(table, saturate_u8(a.requantized(linear.zero())));
                    *second = look_up(table, saturate_u8(b.requantized(linear.zero())));
                }
                _ => missing(),
            }
        });
    }

    fn update(linear: &Linear<'_>, residual: &[i32], tile: &[i32], tokens: &mut [i8]) -> Partial {
        if let Some(written) = arch::products::update(linear, residual, tile, tokens) {
            return written;
        }
        let mut written = Partial::default();
        each_output(linear, tile, |o, sums| {
            let o = linear.first() + o;
            let residual = residual.get(o).copied().present();
            for (token, mut sum) in tokens.chunks_exact_mut(linear.width().max(1)).zip(sums) {
                match token.get_mut(o) {
                    Some(q) => {
                        sum.acc = sum.acc.wrapping_add(residual.wrapping_mul(i32::from(*q)));
                        *q = saturate_i8(sum.requantized(linear.zero()));
                        written.add(*q);
                    }
                    None => missing(),
                }
            }
        });
        written
    }
}

/// The two tokens of a [`Rows`] tile.
pub(crate) fn halves_mut(tile: &mut [i32], inputs: usize) -> [&mut [i16]; 2] {
    let values = cast::words_as_i16s_mut(tile.get_mut(TILE_HEADER..).present());
    debug_assert!(values.len() >= 2 * inputs);
    let (first, rest) = values.split_at_mut(inputs.min(values.len()));
    let inputs = inputs.min(rest.len());
    [first, rest.split_at_mut(inputs).0]
}

pub(crate) fn halves(tile: &[i32], inputs: usize) -> [&[i16]; 2] {
    let values = cast::words_as_i16s(tile.get(TILE_HEADER..).present());
    debug_assert!(values.len() >= 2 * inputs);
    let (first, rest) = values.split_at(inputs.min(values.len()));
    [first, rest.split_at(inputs.min(rest.len())).0]
}

fn widen(values: &[i8], wide: &mut [i16]) {
    for (wide, &value) in wide.iter_mut().zip(values) {
        *wide = i16::from(value);
    }
}

/// Hands every output's sums for both tokens of a tile to `sink`.
///
/// Two outputs at a time: four products for four loads.
#[inline(always)]
fn each_output(linear: &Linear<'_>, tile: &[i32], mut sink: impl FnMut(usize, [Sum; 2])) {
    let tokens = halves(tile, linear.inputs());
    let rows = cast::i8s(linear.weights()).chunks((2 * linear.row_size()).max(1));
    let (constants, _) = linear.constants().as_chunks::<2>();
    let mut output = 0;
    for (rows, constants) in rows.zip(constants.chunks(2)) {
        // Rows may be longer than tokens, by zeros.
        let (first, second) = rows.split_at(linear.row_size().min(rows.len()));
        let sums = if second.is_empty() {
            [dot(first, tokens[0]), dot(first, tokens[1]), 0, 0]
        } else {
            arch::dots::dots(first, second, tokens[0], tokens[1])
        };
        for (&[start, multiplier], &[a, b]) in constants.iter().zip(sums.as_chunks::<2>().0) {
            let sum = |product: i32| Sum {
                acc: start.wrapping_add(product),
                multiplier,
            };
            sink(output, [sum(a), sum(b)]);
            output += 1;
        }
    }
}

/// The product of one output channel's weights with one token.
#[inline(always)]
fn dot(weights: &[i8], token: &[i16]) -> i32 {
    let products = weights.iter().zip(token);
    products.fold(0i32, |acc, (&w, &x)| {
        acc.wrapping_add(i32::from(w) * i32::from(x))
    })
}
