//! Softmax in integers: weights from scores, and the division by their sum.
//!
//! The weight of a score is `2^-d` of its distance `d >= 0` to the row's largest
//! score, in steps of one [`PEAK`]th. Weights are not divided by their sum: what is
//! summed up with them is.

use crate::arithmetic::fixed::saturate_i8;
use crate::arithmetic::norm::divide;
use crate::present::missing;

/// The weight of the largest score of a row: two signed bytes hold it.
pub const PEAK: u32 = 127 << 8;

/// Most scores of a row. More than these might overflow what they are summed up to.
pub const MAX_SCORES: usize = 1 << 13;

/// Factors of what is divided by a sum of weights stay below this.
pub const MULTIPLIER_MAX: i32 = 1 << 27;

/// Bits of a distance's fraction that choose an entry of [`POWERS`].
const INDEX_BITS: u32 = 6;
/// Bits between two entries.
const REST_BITS: u32 = 13;
/// Fractional bits of the entries.
const FRACTION: u32 = 10;

/// `2^(-i / 64)` times [`PEAK`], less a part in `2^17`: lines between powers lie
/// above their curve by up to twice as much.
static POWERS: [u32; (1 << INDEX_BITS) + 1] = powers();

#[expect(clippy::indexing_slicing, reason = "runs in the compiler")]
const fn powers() -> [u32; (1 << INDEX_BITS) + 1] {
    // 2^(-1 / 64), Q62.
    const RATIO: u128 = 0x3f4f_8303_3d21_b05d;
    let mut powers = [0; (1 << INDEX_BITS) + 1];
    let (mut power, mut i) = (1u128 << 62, 0);
    while i < powers.len() {
        let scaled = (power - (power >> 17)) * ((PEAK << FRACTION) as u128);
        powers[i] = ((scaled + (1 << 61)) >> 62) as u32;
        power = (power * RATIO) >> 62;
        i += 1;
    }
    powers
}

/// `PEAK * 2^-d` for a distance in Q32, within 0.8 steps; never more for a larger
/// distance.
pub(crate) fn weight(distance: u64) -> u32 {
    let (whole, part) = ((distance >> 32) as u32, distance as u32);
    if whole > 15 {
        return 0;
    }
    let index = (part >> (32 - INDEX_BITS)) as usize;
    let rest = part << INDEX_BITS >> (32 - REST_BITS);
    let Some(&[above, below]) = POWERS.get(index..).and_then(|powers| powers.first_chunk()) else {
        missing();
        return 0;
    };
    let power = above - (((above - below) * rest) >> REST_BITS);
    let shift = FRACTION + whole;
    (power + (1 << shift >> 1)) >> shift
}

/// Weighs the scores of a row and returns the sum of their weights, at least
/// [`PEAK`]; a step of the scores is `exponent` in the exponent of two, Q32, not
/// negative.
///
/// A weight is `256 * high + low`.
pub(crate) fn weigh(scores: &[i32], exponent: i32, high: &mut [i8], low: &mut [i8]) -> u32 {
    let largest = scores.iter().copied().fold(i32::MIN, i32::max);
    let exponent = u64::from(exponent as u32);
    let mut sum = 0u32;
    for ((&score, high), low) in scores.iter().zip(high).zip(low) {
        let distance = u64::from(largest.wrapping_sub(score) as u32) * exponent;
        let weight = weight(distance);
        *high = ((weight + 128) >> 8) as i8;
        *low = weight as i8;
        sum = sum.wrapping_add(weight);
    }
    sum
}

/// Division by a sum of weights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quotient {
    factor: i32,
    shift: u32,
}

impl Quotient {
    /// Of sums of products with weights whose sum is `sum`, times `multiplier`, Q20
    /// and less than [`MULTIPLIER_MAX`].
    pub(crate) fn new(multiplier: i32, sum: u32) -> Self {
        // At least PEAK and at most MAX_SCORES times that.
        let shift = sum.max(1).leading_zeros().min(19);
        Self {
            factor: divide(u64::from(multiplier as u32) << 31, sum.max(1) << shift),
            shift: 51 - shift,
        }
    }

    /// The quotient of `256 * high + low`, off the real one by less than 0.5003, since
    /// the sum of products is at most 127 times that of the weights.
    pub(crate) fn of(self, high: i32, low: i32) -> i8 {
        let sum = i64::from(high) * 256 + i64::from(low);
        let scaled = sum.wrapping_mul(i64::from(self.factor));
        // The shift is at least 32, so the upper word is enough.
        let half = 1i64 << (self.shift - 1);
        saturate_i8((scaled.wrapping_add(half) >> 32) as i32 >> (self.shift - 32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    const BITS: u32 = INDEX_BITS + REST_BITS;

    /// The weights of a row of scores, and their sum.
    fn weights(scores: &[i32], exponent: i32) -> (Vec<i64>, u32) {
        let mut high = vec![0; scores.len()];
        let mut low = high.clone();
        let sum = weigh(scores, exponent, &mut high, &mut low);
        let whole = |(&high, &low): (&i8, &i8)| i64::from(high) * 256 + i64::from(low);
        (high.iter().zip(&low).map(whole).collect(), sum)
    }

    /// All fractions that the table tells apart, from their first distance to their
    /// last.
    #[test]
    fn weights_are_close_to_powers_of_two_and_monotone() {
        let (mut largest_error, mut previous) = (0f64, PEAK);
        for whole in 0..18u64 {
            for part in 0..1u64 << BITS {
                let first = (whole << 32) + (part << (32 - BITS));
                let found = weight(first);
                for distance in [first, first + (1 << (32 - BITS)) - 1] {
                    assert_eq!(weight(distance), found);
                    let real = f64::from(PEAK) * (-(distance as f64) / 2f64.powi(32)).exp2();
                    largest_error = largest_error.max((f64::from(found) - real).abs());
                }
                assert!(found <= previous, "{whole} {part}");
                previous = found;
            }
        }
        assert!(largest_error < 0.8, "{largest_error}");
        assert_eq!([weight(0), weight(u64::MAX)], [PEAK, 0]);
    }

    #[test]
    fn rows_at_their_extremes() {
        let scores = [i32::MIN, i32::MAX, 0, i32::MAX];
        for exponent in [0, 1, i32::MAX] {
            let (weights, sum) = weights(&scores, exponent);
            let peak = i64::from(PEAK);
            assert!(matches!(weights[..], [_, a, _, b] if a == peak && b == peak));
            assert_eq!(i64::from(sum), weights.iter().sum());
        }
        // As many as there may be, of the largest weights, values and factor.
        let sum = MAX_SCORES as u32 * PEAK;
        let quotient = Quotient::new(MULTIPLIER_MAX - 1, sum);
        let high = MAX_SCORES as i32 * 127 * 127;
        assert_eq!([quotient.of(high, 0), quotient.of(-high, 0)], [127, -128]);
    }

    proptest! {
        #[test]
        fn shares_add_up(scores in prop::collection::vec(-500_000i32..500_000, 1..300), exponent in 1i32..1 << 24) {
            let (weights, sum) = weights(&scores, exponent);
            prop_assert_eq!(i64::from(sum), weights.iter().sum::<i64>());
            let largest = scores.iter().copied().fold(i32::MIN, i32::max);
            for (&weight, &score) in weights.iter().zip(&scores) {
                let distance = f64::from(largest - score) * f64::from(exponent) / 2f64.powi(32);
                let real = f64::from(PEAK) * (-distance).exp2();
                prop_assert!((weight as f64 - real).abs() < 0.8);
            }
        }

        #[test]
        fn quotients_are_near(sum in PEAK..PEAK * MAX_SCORES as u32, part in -1f64..=1.0, multiplier in 0..MULTIPLIER_MAX) {
            let products = (part * 127.0 * f64::from(sum)) as i64;
            let (high, low) = ((products >> 8) as i32, (products & 255) as i32);
            let real = products as f64 / f64::from(sum) * f64::from(multiplier) / 2f64.powi(20);
            let found = f64::from(Quotient::new(multiplier, sum).of(high, low));
            prop_assert!((found - real.clamp(-128.0, 127.0)).abs() < 0.5003, "{} {}", found, real);
        }
    }
}
