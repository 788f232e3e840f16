//! Made-up data, packed weights, and an arena to run a step in.

use super::*;

/// How values are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fill {
    Random,
    Lowest,
    Highest,
    /// Lowest and highest in turn.
    Alternating,
}

pub(crate) const FILLS: [Fill; 4] = [Fill::Random, Fill::Lowest, Fill::Highest, Fill::Alternating];

pub(crate) fn fills() -> impl Strategy<Value = Fill> {
    prop_oneof![
        4 => Just(Fill::Random),
        1 => proptest::sample::select(&FILLS[1..]),
    ]
}

/// A source of values: xorshift, after G. Marsaglia.
pub(crate) struct Source {
    state: u64,
    fill: Fill,
}

impl Source {
    pub(crate) fn new(seed: u64, fill: Fill) -> Self {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { state, fill }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state >> 16
    }

    /// `count` values of `low..=high`.
    pub(crate) fn values<T: TryFrom<i64, Error: Debug>>(
        &mut self,
        count: usize,
        low: i64,
        high: i64,
    ) -> Vec<T> {
        (0..count)
            .map(|i| {
                let value = match self.fill {
                    Fill::Random => low + (self.next() % (high - low + 1) as u64) as i64,
                    Fill::Lowest => low,
                    Fill::Highest => high,
                    Fill::Alternating if i % 2 == 0 => low,
                    Fill::Alternating => high,
                };
                T::try_from(value).unwrap()
            })
            .collect()
    }

    pub(crate) fn map(&mut self, count: usize) -> Vec<i8> {
        self.values(count, -128, 127)
    }

    /// Multipliers that leave results of about a byte, or anything at all.
    pub(crate) fn multipliers(
        &mut self,
        count: usize,
        inputs: usize,
        full_range: bool,
    ) -> Vec<i32> {
        if full_range {
            return self.values(count, i32::MIN.into(), i32::MAX.into());
        }
        let top = (1 << 27) / (64 * (inputs as f64).sqrt() as i64 + 1);
        self.values(count, top / 2, top)
    }

    pub(crate) fn linear(&mut self, outputs: usize, inputs: usize, full_range: bool) -> Linear {
        Linear {
            weights: self.values(outputs * inputs, -127, 127),
            bias: self.values(outputs, -100_000, 100_000),
            residual: self.values(outputs, -30_000, 30_000),
            multiplier: self.multipliers(outputs, inputs, full_range),
        }
    }
}

/// Weights in a layout, on a 4-byte boundary.
pub(crate) struct Packed {
    storage: Vec<u8>,
    range: Range<usize>,
    int4: bool,
}

impl Packed {
    pub(crate) fn new(layout: Layout, weights: &[i8], inputs: usize, int4: bool) -> Self {
        let outputs = weights.len() / inputs;
        let size = match int4 {
            true => layout.packed_size_int4(outputs, inputs),
            false => layout.packed_size(outputs, inputs),
        };
        let mut storage = vec![0xee; size + 3];
        let start = storage.as_ptr().align_offset(4);
        let range = start..start + size;
        let packed = &mut storage[range.clone()];
        match int4 {
            true => layout.pack_int4(weights, inputs, packed).unwrap(),
            false => layout.pack(weights, inputs, packed).unwrap(),
        }
        Self {
            storage,
            range,
            int4,
        }
    }

    pub(crate) fn weights(&self) -> Weights<'_> {
        let packed = &self.storage[self.range.clone()];
        match self.int4 {
            true => Weights::Int4(packed),
            false => Weights::Int8(packed),
        }
    }
}

/// The nearest weights towards zero that four bits hold, if they are to.
pub(crate) fn narrow(weights: &mut [i8], int4: bool) {
    if int4 {
        weights
            .iter_mut()
            .for_each(|weight| *weight -= *weight % 16);
    }
}

pub(crate) fn bytes(values: &[i8]) -> Vec<u8> {
    values.iter().map(|&q| q as u8).collect()
}

pub(crate) fn norm(elements: usize, epsilon: u64) -> Norm {
    Norm {
        elements: elements as u32,
        epsilon,
        about: None,
    }
}

/// The sums that a step returned are those of the bytes that it wrote.
pub(crate) fn written(stats: Stats, output: &[u8]) -> Vec<u8> {
    let values: Vec<i8> = output.iter().map(|&byte| byte as i8).collect();
    let (sum, sum_of_squares) = oracle::sums(&values);
    assert_eq!((stats.sum, stats.sum_of_squares), (sum, sum_of_squares));
    output.to_vec()
}

/// An arena with `map` at its start and scratch behind it, filled with `0x5a`,
/// on an 8-byte boundary.
pub(crate) struct Arena {
    storage: Vec<u8>,
    start: usize,
    pub(crate) map: Buffer,
    pub(crate) scratch: Buffer,
}

impl Arena {
    pub(crate) fn new(map: &[i8], scratch_size: usize) -> Self {
        Self::of_bytes(&bytes(map), scratch_size)
    }

    pub(crate) fn of_bytes(map: &[u8], scratch_size: usize) -> Self {
        let offset = map.len().next_multiple_of(8);
        let storage = vec![0x5a; offset + scratch_size + 7];
        let start = storage.as_ptr().align_offset(8);
        let mut arena = Self {
            storage,
            start,
            map: Buffer {
                offset: 0,
                size: map.len(),
            },
            scratch: Buffer {
                offset,
                size: scratch_size,
            },
        };
        arena.bytes()[..map.len()].copy_from_slice(map);
        arena
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..]
    }

    pub(crate) fn output(&mut self) -> Vec<u8> {
        let size = self.map.size;
        self.bytes()[..size].to_vec()
    }
}
