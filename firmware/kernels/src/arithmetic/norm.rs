//! GroupNorm with one group, as two scalars.
//!
//! The mean and the standard deviation of a whole feature map come from its
//! exact integer sum and sum of squares, so they are the same on every core.
//! In units of the map's quantization step the scale of the map cancels; only
//! the norm's epsilon needs it, and the host folds that in.

use core::hint::black_box;

use crate::arithmetic::fixed::{half, narrow};

/// Sums over a feature map's `q` values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Sum of `q`.
    pub sum: i64,
    /// Sum of `q^2`.
    pub sum_of_squares: u64,
}

/// Constants of a norm; its other input is [`Stats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Norm {
    /// Values in the map: tokens times channels, below `2^24`.
    pub elements: u32,
    /// `elements^2 * epsilon / scale^2`, rounded, below `2^62`.
    pub epsilon: u64,
    /// The value that deviations are taken from, if that is not the mean: the one that stands
    /// for zero, of a norm that takes no mean (RMSNorm); below `2^15`.
    pub about: Option<i32>,
}

fields!(part norm::Norm: elements, epsilon, about);

impl Norm {
    /// A norm whose statistics are fixed, as BatchNorm's are: with the sums of no values
    /// the mean is zero and the deviation one.
    pub const FIXED: Self = Self {
        elements: 0,
        epsilon: 1,
        about: None,
    };

    /// Whether its statistics are fixed.
    pub const fn is_fixed(&self) -> bool {
        self.elements == 0
    }
}

/// Mean and standard deviation in units of the map's quantization step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormScale {
    /// Mean, Q16.
    pub mean: i32,
    /// Standard deviation with epsilon, Q16.
    pub sigma: i32,
    /// One over the standard deviation, Q24; at most `i32::MAX`.
    pub inv_sigma: i32,
}

impl Stats {
    /// Sums of one slice.
    pub fn of(values: &[i8]) -> Self {
        let mut stats = Self::default();
        // A partial sum of 2^16 squares stays below 2^30.
        for part in values.chunks(1 << 16) {
            let mut partial = Partial::default();
            for &value in part {
                partial.add(value);
            }
            stats.merge(partial);
        }
        stats
    }

    /// Adds the sums of a few values.
    #[inline(always)]
    pub(crate) fn merge(&mut self, partial: Partial) {
        self.sum += i64::from(partial.sum);
        self.sum_of_squares += u64::from(partial.sum_of_squares);
    }
}

impl From<Partial> for Stats {
    #[inline(always)]
    fn from(partial: Partial) -> Self {
        let mut stats = Self::default();
        stats.merge(partial);
        stats
    }
}

/// Sums in single registers, for at most `2^16` values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Partial {
    sum: i32,
    sum_of_squares: u32,
}

impl Partial {
    /// From sums.
    #[cfg(any(tadpool_core = "dsp", tadpool_core = "helium", tadpool_x86))]
    pub(crate) fn of(sum: i32, sum_of_squares: u32) -> Self {
        Self {
            sum,
            sum_of_squares,
        }
    }

    /// From the sums of `q + 128` over `count` values.
    #[cfg(tadpool_core = "dsp")]
    pub(crate) fn of_biased(sum: u32, sum_of_squares: u32, count: u32) -> Self {
        Self {
            sum: sum.wrapping_sub(count << 7) as i32,
            sum_of_squares: sum_of_squares
                .wrapping_sub(sum << 8)
                .wrapping_add(count << 14),
        }
    }

    /// Adds the sums of a few more values.
    #[cfg(any(tadpool_core = "helium", tadpool_x86))]
    pub(crate) fn merge(&mut self, other: Self) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.sum_of_squares = self.sum_of_squares.wrapping_add(other.sum_of_squares);
    }

    /// Counts one value in.
    #[inline(always)]
    pub(crate) fn add(&mut self, value: i8) {
        let value = i32::from(value);
        self.sum = self.sum.wrapping_add(value);
        self.sum_of_squares = self
            .sum_of_squares
            .wrapping_add(value.wrapping_mul(value) as u32);
    }
}

impl NormScale {
    /// Mean and deviation of a map with these sums.
    ///
    /// With `V = elements * sum_of_squares - sum^2 + epsilon`, the standard
    /// deviation is `sqrt(V) / elements`. The root is taken of `V` shifted to
    /// fill 64 bits, so it has 32 significant bits; `sigma` is off by less than
    /// `2^-16`, `inv_sigma` by less than `2^-24` plus a part in `2^31`.
    pub fn new(stats: &Stats, norm: &Norm) -> Self {
        let elements = norm.elements.max(1);
        if let Some(zero) = norm.about {
            let squares = squares_about(stats, norm, i64::from(zero));
            let v = u64::from(elements).saturating_mul(squares as u64);
            return Self::of_variance(elements, 0, v.saturating_add(norm.epsilon), 0, 0)
                .about(zero);
        }
        let sum = stats.sum.unsigned_abs();
        let v = u64::from(elements)
            .wrapping_mul(stats.sum_of_squares)
            .saturating_sub(sum.wrapping_mul(sum))
            .saturating_add(norm.epsilon);
        Self::of_variance(elements, stats.sum, v, 0, 0)
    }

    /// Mean and deviation of a map of values `256 * q` with these sums, in units
    /// of `q`.
    ///
    /// As [`NormScale::new`], with `V` in units of `q^2 / 2^16`: it is exact, and
    /// what does not fit 64 bits is cut off, a part in `2^62`.
    pub fn of_int16(stats: &Stats, norm: &Norm) -> Self {
        let elements = norm.elements.max(1);
        let (squares, sum) = match norm.about {
            Some(zero) => (squares_about(stats, norm, i64::from(zero) << 8) as u64, 0),
            None => (stats.sum_of_squares, stats.sum),
        };
        let of_mean = u128::from(sum.unsigned_abs());
        let v = (u128::from(elements) * u128::from(squares))
            .saturating_sub(of_mean * of_mean)
            .saturating_add(u128::from(norm.epsilon) << 16);
        let cut = (64 - v.leading_zeros().min(64)).div_ceil(2);
        let scale = Self::of_variance(elements, sum, (v >> (2 * cut)) as u64, 8, cut);
        match norm.about {
            Some(zero) => scale.about(zero),
            None => scale,
        }
    }

    /// The same deviation from another value than the mean.
    fn about(self, zero: i32) -> Self {
        Self {
            mean: zero << 16,
            ..self
        }
    }

    /// From the sum, and the root of `v` times `2^cut`, which both have `fraction`
    /// fractional bits.
    #[inline(always)]
    fn of_variance(elements: u32, sum: i64, v: u64, fraction: u32, cut: u32) -> Self {
        let v = v.max(1);
        let half_shift = v.leading_zeros() / 2;
        let root = root(v << (2 * half_shift));
        let half_shift = (half_shift + fraction).saturating_sub(cut);
        let sigma = (u64::from(root) << 16) >> half_shift;
        let inv_shift = 24 + half_shift;
        let inv_sigma = if u64::from(elements).leading_zeros() < inv_shift {
            i32::MAX
        } else {
            divide(u64::from(elements) << inv_shift, root)
        };
        let dividend =
            (sum.unsigned_abs() << (16 - fraction)).wrapping_add(u64::from(elements / 2));
        let mean = divide(dividend, elements);
        Self {
            mean: if sum < 0 { -mean } else { mean },
            sigma: divide(sigma, elements),
            inv_sigma,
        }
    }

    /// Takes the map as it is: mean `zero_point`, deviation one.
    pub fn identity(zero_point: i8) -> Self {
        Self {
            mean: i32::from(zero_point) << 16,
            sigma: 1 << 16,
            inv_sigma: 1 << 24,
        }
    }

    /// Accumulator start of a linear layer that reads the normalised map:
    /// `bias * sigma - row_sum * mean`, with `bias` in Q8.
    #[inline(never)]
    pub(crate) fn start(&self, bias: i32, row_sum: i32) -> i32 {
        let bias = i64::from(bias) * i64::from(self.sigma);
        let mean = (i64::from(row_sum) * i64::from(self.mean)) << 8;
        narrow(bias.wrapping_sub(mean).wrapping_add(half(24)), 24)
    }

    /// `base / sigma`, with four more fractional bits than `base`.
    #[inline(never)]
    pub(crate) fn multiplier(&self, base: i32) -> i32 {
        narrow(i64::from(base) * i64::from(self.inv_sigma) + half(20), 20)
    }
}

/// The sum of the squares of `value - zero`, for the values with these sums. One copy for
/// all steps.
#[inline(never)]
fn squares_about(stats: &Stats, norm: &Norm, zero: i64) -> i64 {
    let of_zero = zero.wrapping_mul(zero).wrapping_mul(norm.elements.into());
    let mixed = stats.sum.wrapping_mul(zero).wrapping_mul(2);
    (stats.sum_of_squares as i64)
        .wrapping_sub(mixed)
        .wrapping_add(of_zero)
}

/// The square root, rounded down; smaller than the standard library's.
fn root(value: u64) -> u32 {
    // The compiler is not to know how often, or it writes every turn out.
    let (mut root, mut bit) = (0u32, black_box(1u32 << 31));
    while bit != 0 {
        let trial = root | bit;
        if u64::from(trial) * u64::from(trial) <= value {
            root = trial;
        }
        bit >>= 1;
    }
    root
}

/// `dividend / divisor`, rounded down, at most `i32::MAX`; `divisor` is not zero.
///
/// Two digits of 16 bits by the processor's own division, which is smaller and
/// faster than what the compiler calls for 64 bits.
#[inline(never)]
pub(crate) fn divide(dividend: u64, divisor: u32) -> i32 {
    if dividend >> 31 >= u64::from(divisor) {
        return i32::MAX;
    }
    let shift = divisor.leading_zeros();
    let (mut rest, divisor) = (dividend << shift, u64::from(divisor << shift));
    // Never too large a digit, and too small by a few at most.
    let estimate = (divisor >> 16) as u32 + 1;
    let mut quotient = 0;
    for place in [16, 0] {
        let mut digit = (rest >> (16 + place)) as u32 / estimate;
        rest -= (u64::from(digit) * divisor) << place;
        while rest >= divisor << place {
            rest -= divisor << place;
            digit += 1;
        }
        quotient += digit << place;
    }
    quotient as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn check(values: &[i8], epsilon: u64) {
        let elements = values.len() as f64;
        let norm = Norm {
            elements: values.len() as u32,
            epsilon,
            about: None,
        };
        let scale = NormScale::new(&Stats::of(values), &norm);
        let mean = values.iter().map(|&q| f64::from(q)).sum::<f64>() / elements;
        let variance = values
            .iter()
            .map(|&q| (f64::from(q) - mean).powi(2))
            .sum::<f64>()
            / elements;
        let sigma = (variance + epsilon as f64 / elements.powi(2)).sqrt();
        assert!((f64::from(scale.mean) / 65536.0 - mean).abs() <= 1.0 / 65536.0);
        if sigma > 0.02 {
            assert!((f64::from(scale.sigma) / 65536.0 - sigma).abs() <= 1.01 / 65536.0);
            let inverse = f64::from(scale.inv_sigma) / 16_777_216.0;
            let bound = 1.01 / 16_777_216.0 + 1.0 / sigma / f64::from(1u32 << 30);
            assert!((inverse - 1.0 / sigma).abs() <= bound, "{inverse} {sigma}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_real_arithmetic(
            values in prop::collection::vec(any::<i8>(), 1..3000),
            epsilon in 0u64..1_000_000,
        ) {
            check(&values, epsilon);
        }
    }

    proptest! {
        #[test]
        fn divides(dividend in any::<u64>(), shift in 0u32..64, divisor in 1u32.., less in 0u32..32) {
            let (dividend, divisor) = (dividend >> shift, (divisor >> less).max(1));
            let quotient = i32::try_from(dividend / u64::from(divisor)).unwrap_or(i32::MAX);
            prop_assert_eq!(divide(dividend, divisor), quotient);
        }

        #[test]
        fn takes_roots(value in any::<u64>(), shift in 0u32..64) {
            prop_assert_eq!(u64::from(root(value >> shift)), (value >> shift).isqrt());
        }
    }

    #[test]
    fn deviations_are_taken_from_zero() {
        let values: Vec<i8> = (0..100).map(|i| (i * 37 % 251 - 125) as i8).collect();
        for zero in [-128, -5, 0, 127] {
            let norm = Norm {
                elements: 100,
                epsilon: 500,
                about: Some(zero),
            };
            let squares = values
                .iter()
                .map(|&q| (f64::from(q) - f64::from(zero)).powi(2));
            let sigma = (squares.sum::<f64>() / 100.0 + 500.0 / 1e4).sqrt();
            let wide = Stats::of_int16(values.iter().map(|&q| i16::from(q) << 8));
            let narrow = NormScale::new(&Stats::of(&values), &norm);
            for scale in [narrow, NormScale::of_int16(&wide, &norm)] {
                assert_eq!(scale.mean, zero << 16);
                assert!(
                    (f64::from(scale.sigma) / 65536.0 - sigma).abs() < 1e-4,
                    "{sigma}"
                );
            }
        }
    }

    #[test]
    fn fixed_statistics_are_those_of_the_identity() {
        let nothing = Stats::default();
        let identity = NormScale::identity(0);
        assert_eq!(NormScale::new(&nothing, &Norm::FIXED), identity);
        assert_eq!(NormScale::of_int16(&nothing, &Norm::FIXED), identity);
    }

    #[test]
    fn extremes() {
        for value in [0, 1, u64::MAX, u64::MAX - 1, 1 << 62, (1 << 62) - 1] {
            assert_eq!(u64::from(root(value)), value.isqrt());
        }
        assert_eq!(divide(u64::MAX, u32::MAX), i32::MAX);
        assert_eq!(divide((1 << 31) - 1, 1), i32::MAX);
        assert_eq!(divide((1 << 62) - 1, 1 << 31), i32::MAX);
        check(&[127; 4096], 4096);
        check(&[-128; 4096], 4096);
        let alternating: Vec<i8> = (0..200_704)
            .map(|i| if i % 2 == 0 { 127 } else { -128 })
            .collect();
        check(&alternating, 100);
        let constant = NormScale::new(
            &Stats::of(&[5; 64]),
            &Norm {
                elements: 64,
                epsilon: 0,
                about: None,
            },
        );
        assert_eq!(constant.inv_sigma, 1 << 30);
    }
}
