//! The values that cases are made of.

use crate::arch::cast;
use crate::arena::{self, Fault};
use crate::arithmetic::layout::Kernel;
use crate::arithmetic::linear::ResidualLinear;
use crate::arithmetic::weights::Weights;
use crate::cases::{SEEDS, Seed};

/// A source of values: xorshift, after G. Marsaglia.
pub(super) struct Source {
    state: u32,
    extreme: bool,
    /// Whether maps of pooling mixers have so small a deviation that factors are
    /// clamped.
    quiet: bool,
}

impl Source {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            state: seed.0.wrapping_mul(0x9e37_79b9) | 1,
            extreme: seed.0 % 2 == 1,
            quiet: seed.0 % SEEDS == 4,
        }
    }

    fn next(&mut self) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        self.state
    }

    /// Values of at most `bound`, or `i8::MIN` and `i8::MAX`.
    pub(super) fn fill(&mut self, values: &mut [i8], bound: i8) {
        for value in values {
            let random = self.next() >> 8;
            *value = if self.extreme {
                if random % 4 < 3 { i8::MIN } else { i8::MAX }
            } else {
                ((((random & 0xff) as i32 - 128) * i32::from(bound)) >> 7) as i8
            };
        }
    }

    /// Values of a pooling mixer's map.
    pub(super) fn fill_pooled(&mut self, values: &mut [i8]) {
        let bound = if self.quiet { 8 } else { 127 };
        self.fill(values, bound);
    }

    /// Factors of a pooling mixer, or any at all.
    pub(super) fn factors<'a>(
        &mut self,
        count: usize,
        memory: &mut &'a mut [u8],
    ) -> Result<&'a [i32], Fault> {
        let any = self.extreme || self.quiet;
        self.ints(count, if any { i32::MAX } else { 1 << 20 }, memory)
    }

    /// Values of at most `bound`, and zero now and then.
    pub(super) fn ints<'a>(
        &mut self,
        count: usize,
        bound: i32,
        memory: &mut &'a mut [u8],
    ) -> Result<&'a [i32], Fault> {
        let values = arena::take_i32s(memory, count)?;
        for value in values.iter_mut() {
            let random = i64::from(self.next() as i32);
            *value = ((random * i64::from(bound)) >> 31) as i32;
        }
        Ok(values)
    }

    /// Multipliers that leave about a byte, or any at all.
    pub(super) fn multipliers<'a>(
        &mut self,
        count: usize,
        inputs: usize,
        memory: &mut &'a mut [u8],
    ) -> Result<&'a [i32], Fault> {
        let bound = if self.extreme {
            i32::MAX
        } else {
            (1 << 21) / (inputs.isqrt() as i32 + 1)
        };
        self.ints(count, bound, memory)
    }

    /// A linear layer that adds to a stream of eight bits.
    pub(super) fn residual_linear<'a>(
        &mut self,
        weights: Weights<'a>,
        [outputs, inputs]: [usize; 2],
        memory: &mut &'a mut [u8],
    ) -> Result<ResidualLinear<'a>, Fault> {
        Ok(ResidualLinear {
            weights,
            bias: self.ints(outputs, 10_000, memory)?,
            residual: self.ints(outputs, 5_000, memory)?,
            multiplier: self.multipliers(outputs, inputs, memory)?,
            offset: &[],
            zero_point: 7,
        })
    }

    /// A packed matrix, of four bits a weight if so, and the sums of its rows.
    pub(super) fn matrix<'a, K: Kernel>(
        &mut self,
        [outputs, inputs]: [usize; 2],
        int4: bool,
        memory: &mut &'a mut [u8],
    ) -> Result<(Weights<'a>, &'a [i32]), Fault> {
        let packed_size = if int4 {
            K::LAYOUT.packed_size_int4(outputs, inputs)
        } else {
            K::LAYOUT.packed_size(outputs, inputs)
        };
        let packed = arena::take(memory, packed_size.next_multiple_of(4))?;
        let packed = packed.get_mut(..packed_size).unwrap_or(&mut []);
        let sums = arena::take_i32s(memory, outputs)?;
        // The rest of the memory serves for a moment.
        let rows = memory.get_mut(..outputs * inputs).ok_or(Fault::Buffer)?;
        let rows = cast::i8s_mut(rows);
        self.fill(rows, 127);
        // Many small ones and few large ones, as in a trained network.
        for weight in rows.iter_mut() {
            let large = !self.extreme && self.next() & 0x300 == 0;
            *weight = if self.extreme || large {
                (*weight).max(-i8::MAX)
            } else {
                *weight / 4
            };
            if int4 {
                *weight = *weight / 16 * 16;
            }
        }
        for (sum, row) in sums.iter_mut().zip(rows.chunks(inputs)) {
            *sum = row.iter().map(|&weight| i32::from(weight)).sum();
        }
        let weights = if int4 {
            K::LAYOUT.pack_int4(rows, inputs, packed)?;
            Weights::Int4(packed)
        } else {
            K::LAYOUT.pack(rows, inputs, packed)?;
            Weights::Int8(packed)
        };
        Ok((weights, sums))
    }
}
