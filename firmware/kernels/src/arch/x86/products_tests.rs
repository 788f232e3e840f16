//! Every kind of processor's loops against plain ones.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by a panic"
)]

use super::*;
use crate::arithmetic::fixed::{saturate_i8, saturate_u8};
use crate::arithmetic::layout::Rows;
use crate::arithmetic::matmul::{Sum, look_up, tile_words};
use std::vec;
use std::vec::Vec;

/// What a layer makes of two tokens: sums, values and the next tile's.
#[derive(Debug, PartialEq)]
struct Made {
    sums: Vec<i32>,
    values: Vec<i8>,
    written: Partial,
    next: Vec<i8>,
}

struct Case {
    rows: Vec<i8>,
    constants: Vec<i32>,
    residual: Vec<i32>,
    table: [i8; 256],
    tokens: Vec<i8>,
    stream: Vec<i8>,
    inputs: usize,
    outputs: usize,
}

impl Case {
    fn new(inputs: usize, outputs: usize) -> Self {
        let mut state = (inputs * 1000 + outputs) as u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 32) as i32
        };
        let mut bytes = |count| (0..count).map(|_| next() as i8).collect::<Vec<_>>();
        let (rows, tokens) = (bytes(inputs * outputs), bytes(2 * inputs));
        let stream = bytes(2 * outputs);
        let table = core::array::from_fn(|index| (index * 89 + 7) as u8 as i8);
        let constant = |index: usize| match index % 2 {
            0 => next() >> 12,
            _ => (next() >> 6).abs(),
        };
        Self {
            rows,
            tokens,
            stream,
            table,
            constants: (0..2 * outputs).map(constant).collect(),
            residual: (0..outputs).map(|index| 1000 * index as i32 - 7).collect(),
            inputs,
            outputs,
        }
    }

    fn linear(&self) -> Linear<'_> {
        let shape = [self.inputs, self.outputs];
        let rows = cast::bytes(&self.rows);
        Linear::new::<Rows>(rows, shape, &self.constants, 3).unwrap()
    }

    /// By plain loops.
    fn expected(&self) -> Made {
        let mut made = Made {
            sums: Vec::new(),
            values: self.stream.clone(),
            written: Partial::default(),
            next: Vec::new(),
        };
        let tokens = self.tokens.chunks(self.inputs).enumerate();
        for (token, values) in tokens {
            for output in 0..self.outputs {
                let row = &self.rows[output * self.inputs..][..self.inputs];
                let products = row.iter().zip(values);
                let sum: i32 = products.map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
                let multiplier = self.constants[2 * output + 1];
                let acc = sum + self.constants[2 * output];
                made.sums.push(acc);
                let index = saturate_u8(Sum { acc, multiplier }.requantized(3));
                made.next.push(look_up(&self.table, index) as i8);
                let q = &mut made.values[token * self.outputs + output];
                let acc = acc + self.residual[output] * i32::from(*q);
                *q = saturate_i8(Sum { acc, multiplier }.requantized(3));
                made.written.add(*q);
            }
        }
        made
    }

    fn by_wide(&self) -> Made {
        let linear = self.linear();
        let mut tile = vec![0; tile_words(self.inputs)];
        wide::expand(&self.tokens, self.inputs, self.inputs, &mut tile);
        let (mut sums, mut values) = (vec![0; 2 * self.outputs], self.stream.clone());
        let mut next = vec![0; tile_words(self.outputs)];
        wide::sums(&linear, &tile, &mut sums);
        wide::activate(&linear, &self.table, &tile, &mut next);
        let written = wide::write(&linear, Some(&self.residual), &tile, &mut values);
        let next = wide::both_mut(&mut next, self.outputs).concat();
        Made {
            sums,
            values,
            written,
            next,
        }
    }

    /// By one of the other functions for all outputs.
    fn by_narrow<const VNNI: bool>(&self) -> Made {
        let linear = self.linear();
        let mut tile = vec![0; tile_words(self.inputs)];
        for (place, token) in halves_mut(&mut tile, self.inputs)
            .into_iter()
            .zip(self.tokens.chunks(self.inputs))
        {
            for (place, &value) in place.iter_mut().zip(token) {
                *place = value.into();
            }
        }
        let tokens = halves(&tile, self.inputs);
        // SAFETY: who calls this has asked for what the processor has; a row has a weight
        // for each value of a token.
        let hand = |sink: &mut dyn Sink| unsafe {
            match VNNI {
                true => with_vnni(&linear, &self.rows, tokens, sink),
                false => with_avx2(&linear, &self.rows, tokens, sink),
            }
        };
        let (mut sums, mut stream) = (vec![0; 2 * self.outputs], self.stream.clone());
        let (first, second) = sums.split_at_mut(self.outputs);
        hand(&mut Sums([first, second]));
        let mut values = Values::new(&linear, Some(&self.residual), &mut stream);
        hand(&mut values);
        let written = values.written();
        let mut next = vec![0; 2 * self.outputs];
        let (first, second) = next.split_at_mut(self.outputs);
        hand(&mut Indices {
            tokens: [first, second],
            zero: linear.zero(),
        });
        look_up_all(&self.table, &mut next);
        Made {
            sums,
            values: stream,
            written,
            next: next.into_iter().map(|value| value as i8).collect(),
        }
    }
}

/// A processor takes the best of them only, so the steps' tests reach no other.
#[test]
fn all_that_this_processor_has_make_the_same() {
    let sizes = [1, 2, 7, 15, 16, 17, 31, 32, 63, 64, 65, 96, 130, 200];
    for (inputs, outputs) in sizes.into_iter().flat_map(|i| sizes.map(|o| (i, o))) {
        let case = Case::new(inputs, outputs);
        let expected = case.expected();
        let name = std::format!("{inputs} -> {outputs}");
        if has_avx2() {
            assert_eq!(case.by_narrow::<false>(), expected, "{name}, AVX2");
        }
        if has_vnni() {
            assert_eq!(case.by_narrow::<true>(), expected, "{name}, VNNI");
        }
        if wide::is_here() {
            assert_eq!(case.by_wide(), expected, "{name}, 512 bits");
        }
    }
}
