//! Values of a 16-bit residual stream: rounding, storing, counting. See [`crate::int16`].

use crate::arithmetic::fixed::{saturate_i8, saturate_i16};
use crate::arithmetic::norm::Stats;
use crate::arithmetic::weights::part_outputs;

/// Half a step of the stream, Q32 in units of `q`.
pub(crate) const HALF: i64 = 1 << 23;

/// Scratch bytes for the sums of a tile, which a step needs if what it writes is
/// 16 bits wide.
pub const fn sums_size(outputs: usize, inputs: usize) -> usize {
    let part = part_outputs(inputs);
    let outputs = if outputs < part { outputs } else { part };
    // Four tokens in the layouts that have most, four bytes a sum.
    outputs.saturating_mul(16)
}

/// Rounds one token to 8 bits.
#[inline(always)]
pub(crate) fn round(values: &[i16], shift: &[u8], rounded: &mut [i8]) {
    for ((q, &value), &shift) in rounded.iter_mut().zip(values).zip(shift) {
        // Shifts are at most 8; said where the compiler sees it.
        let shift = u32::from(shift) & 15;
        *q = saturate_i8((i32::from(value) + (1 << shift >> 1)) >> shift);
    }
}

/// Stores the nearest value to `total / 2^24`, half a step included, and returns
/// it.
#[inline(always)]
pub(crate) fn store(value: &mut i16, total: i64) -> i16 {
    *value = saturate_i16(total);
    *value
}

impl Stats {
    /// Sums of the values of a 16-bit map.
    pub fn of_int16(values: impl IntoIterator<Item = i16>) -> Self {
        let mut stats = Self::default();
        for value in values {
            stats.add(value);
        }
        stats
    }

    /// Counts one 16-bit value in.
    #[inline(always)]
    pub(crate) fn add(&mut self, value: i16) {
        let value = i32::from(value);
        self.sum += i64::from(value);
        self.sum_of_squares += u64::from((value * value) as u32);
    }

    /// Adds other sums.
    pub(crate) fn add_all(&mut self, other: Self) {
        self.sum += other.sum;
        self.sum_of_squares += other.sum_of_squares;
    }
}
