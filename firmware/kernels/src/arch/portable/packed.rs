//! The packed layouts' kernels in plain Rust, for the host.
//!
//! Slow and for tests: what they prove is that packing, tiles and constants hold
//! what the assembly is told they hold, and that its sums are exact.

use crate::arch::cast;
use crate::arithmetic::fixed::{requantize, saturate_i8, saturate_u8};
use crate::arithmetic::layout::{Dsp, Helium, INT4_BIAS};
use crate::arithmetic::matmul::{Linear, Product, TILE_HEADER, each_tile, look_up};
use crate::arithmetic::norm::Partial;
use crate::arithmetic::padded::Groups;
use crate::arithmetic::weights;
use crate::present::{Present, missing};

/// The differences between the two layouts.
trait Model: Groups {
    const TOKENS: usize;

    fn arrange(group: &mut [i32]);

    fn unpack(packed: &[i32], unpacked: &mut [i32]) {
        weights::unpack(packed, unpacked);
    }

    /// Sums and multipliers of one group of outputs for one token.
    fn sums(linear: &Linear<'_>, group: usize, tile: &[i32], token: usize) -> [(i32, i32); 4];
}

impl<M: Model> Product for M {
    const TOKENS: usize = M::TOKENS;

    fn expand(tokens: &[i8], stride: usize, inputs: usize, first: usize, tile: &mut [i32]) {
        if first == 0 {
            tile.fill(0);
        }
        let rows = tokens.chunks(stride.max(1));
        // Of no tokens nothing is put.
        let last = rows.clone().last().unwrap_or(&[]);
        for (token, row) in (first..M::TOKENS).zip(rows.chain(core::iter::repeat(last))) {
            for (input, &value) in row.iter().enumerate().take(inputs) {
                M::put(tile, token, input, value);
            }
        }
    }

    fn arrange(constants: &mut [i32]) {
        constants.chunks_mut(2 * M::GROUP).for_each(M::arrange);
    }

    fn unpack(packed: &[i32], unpacked: &mut [i32]) {
        <M as Model>::unpack(packed, unpacked);
    }

    fn write(linear: &Linear<'_>, input: &[i8], tile: &mut [i32], output: &mut [i8]) {
        each_tile::<Self>(linear, input, tile, output, |tile, tokens| {
            Self::write_counted(linear, tile, tokens);
        });
    }

    fn write_counted(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) -> Partial {
        Self::update(linear, &[], tile, tokens)
    }

    fn sums(linear: &Linear<'_>, tile: &[i32], sums: &mut [i32]) {
        let tokens = sums.chunks_exact_mut(linear.outputs().max(1));
        for (token, values) in tokens.enumerate().take(M::TOKENS) {
            for (output, value) in values.iter_mut().enumerate() {
                let sums = M::sums(linear, output / M::GROUP, tile, token);
                (*value, _) = sums.get(output % M::GROUP).copied().present();
            }
        }
    }

    fn activate(linear: &Linear<'_>, table: &[i8; 256], tile: &[i32], next: &mut [i32]) {
        if linear.first() == 0 {
            next.fill(0);
        }
        for token in 0..M::TOKENS {
            for output in 0..linear.outputs() {
                let sums = M::sums(linear, output / M::GROUP, tile, token);
                let (acc, multiplier) = sums.get(output % M::GROUP).copied().present();
                let index = saturate_u8(requantize(acc, multiplier).saturating_add(linear.zero()));
                M::put(
                    next,
                    token,
                    linear.first() + output,
                    look_up(table, index) as i8,
                );
            }
        }
    }

    fn update(linear: &Linear<'_>, residual: &[i32], tile: &[i32], tokens: &mut [i8]) -> Partial {
        let mut written = Partial::default();
        for (token, values) in tokens.chunks_mut(linear.width().max(1)).enumerate() {
            for (output, q) in linear.of_mut(values).iter_mut().enumerate() {
                let sums = M::sums(linear, output / M::GROUP, tile, token);
                let (acc, multiplier) = sums.get(output % M::GROUP).copied().present();
                let residual = match residual {
                    [] => 0,
                    factors => factors.get(linear.first() + output).copied().present(),
                };
                let acc = acc.wrapping_add(residual.wrapping_mul(i32::from(*q)));
                *q = saturate_i8(requantize(acc, multiplier).saturating_add(linear.zero()));
                written.add(*q);
            }
        }
        written
    }
}

impl Model for Dsp {
    const TOKENS: usize = 2;

    fn unpack(packed: &[i32], unpacked: &mut [i32]) {
        weights::unpack(packed, unpacked);
        for halfword in cast::words_as_i16s_mut(unpacked) {
            *halfword = halfword.wrapping_sub(INT4_BIAS);
        }
    }

    fn arrange(group: &mut [i32]) {
        if let &mut [
            ref mut s0,
            ref mut m0,
            ref mut s1,
            ref mut m1,
            ref mut s2,
            ref mut m2,
            ref mut s3,
            _,
        ] = group
        {
            let starts = [*s0, *s2, *s1, *s3];
            let multipliers = [*m0, *m1, *m2];
            [*s0, *m0, *s1, *m1] = starts;
            [*s2, *m2, *s3] = multipliers;
        }
    }

    fn sums(linear: &Linear<'_>, group: usize, tile: &[i32], token: usize) -> [(i32, i32); 4] {
        let padded = linear.inputs().next_multiple_of(4);
        let weights = linear.weights().chunks(4 * padded).nth(group).present();
        let constants = linear.constants().chunks(8).nth(group).present();
        let &[s0, s2, s1, s3, m0, m1, m2, m3] = constants else {
            missing();
            return [(0, 0); 4];
        };
        let mut both = [s0, s2];
        let mut even = both;
        // Two words of weights meet one word of the tile: two inputs.
        for (at, word) in weights.as_chunks::<4>().0.iter().enumerate() {
            let values = cast::words_as_i16s(tile);
            let at_tile = 2 * (at / 2 * 2 + token);
            let [low, high] = [0, 1].map(|half| values.get(at_tile + half).copied().present());
            let packed = |low: u8, high: u8| i32::from(i16::from_le_bytes([low, high]));
            let products = packed(word[0], word[1])
                .wrapping_mul(low.into())
                .wrapping_add(packed(word[2], word[3]).wrapping_mul(high.into()));
            let evens = i32::from(word[0] as i8) * i32::from(low)
                + i32::from(word[2] as i8) * i32::from(high);
            if let (Some(both), Some(even)) = (both.get_mut(at % 2), even.get_mut(at % 2)) {
                *both = both.wrapping_add(products);
                *even = even.wrapping_add(evens);
            }
        }
        let odd =
            |both: i32, even: i32, start: i32| (both.wrapping_sub(even) >> 8).wrapping_add(start);
        [
            (even[0], m0),
            (odd(both[0], even[0], s1), m1),
            (even[1], m2),
            (odd(both[1], even[1], s3), m3),
        ]
    }
}

impl Model for Helium {
    const TOKENS: usize = 4;

    fn arrange(group: &mut [i32]) {
        if let [_, m0, s1, _] = group {
            core::mem::swap(m0, s1);
        }
    }

    fn sums(linear: &Linear<'_>, group: usize, tile: &[i32], token: usize) -> [(i32, i32); 4] {
        let padded = linear.inputs().next_multiple_of(16);
        let weights = linear.weights().chunks(2 * padded).nth(group).present();
        let constants = linear.constants().chunks(4).nth(group).present();
        let &[s0, s1, m0, m1] = constants else {
            missing();
            return [(0, 0); 4];
        };
        let mut sums = [s0, s1];
        let values = cast::words_as_bytes(tile);
        for (at, &weight) in weights.iter().enumerate() {
            let place = 4 * TILE_HEADER + at / 32 * 64 + token * 16 + at % 16;
            let value = i32::from(values.get(place).copied().present() as i8);
            if let Some(sum) = sums.get_mut(at / 16 % 2) {
                *sum = sum.wrapping_add(i32::from(weight as i8) * value);
            }
        }
        [(sums[0], m0), (sums[1], m1), (0, 0), (0, 0)]
    }
}
