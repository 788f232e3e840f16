//! Shares with their confidence intervals.

use serde::Serialize;

/// Standard deviations of a normal distribution that hold 95 % of it.
const Z: f64 = 1.959_964;

/// A share of images, with the interval of 95 % confidence by Wilson's score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// Images that count.
    pub part: usize,
    /// All images.
    pub whole: usize,
    /// `part / whole`; zero without images.
    pub share: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Share {
    /// `part` of `whole` images.
    pub fn new(part: usize, whole: usize) -> Self {
        let n = whole as f64;
        if whole == 0 {
            return Self {
                part,
                whole,
                share: 0.0,
                low: 0.0,
                high: 1.0,
            };
        }
        let share = part as f64 / n;
        let centre = share + Z * Z / (2.0 * n);
        let reach = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        Self {
            part,
            whole,
            share,
            // Exact at the ends, where rounding would leave a last bit.
            low: if part == 0 {
                0.0
            } else {
                ((centre - reach) / scale).max(0.0)
            },
            high: if part == whole {
                1.0
            } else {
                ((centre + reach) / scale).min(1.0)
            },
        }
    }
}

/// How much more often one run is right than another on the same images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// Images that only the first run has right.
    pub only_first: usize,
    /// Images that only the second run has right.
    pub only_second: usize,
    /// Share of the second less share of the first.
    pub difference: f64,
    /// Lower end of the interval of 95 % confidence.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Difference {
    /// Of two runs over the same `whole` images. The runs are paired, so only the
    /// images on which one of them is wrong count for the interval.
    pub fn new(only_first: usize, only_second: usize, whole: usize) -> Self {
        let (first, second) = (only_first as f64, only_second as f64);
        let n = (whole as f64).max(1.0);
        let difference = (second - first) / n;
        let reach = Z / n
            * (first + second - (second - first).powi(2) / n)
                .max(0.0)
                .sqrt();
        Self {
            only_first,
            only_second,
            difference,
            low: difference - reach,
            high: difference + reach,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_textbook() {
        // Brown, Cai and DasGupta, 2001, and by hand for the extremes.
        let share = Share::new(81, 263);
        assert!((share.low - 0.2553).abs() < 1e-4 && (share.high - 0.3662).abs() < 1e-4);
        let all = Share::new(10, 10);
        assert!((all.low - 0.7225).abs() < 1e-4, "{all:?}");
        assert_eq!(all.high, 1.0);
        assert_eq!(Share::new(0, 10).low, 0.0);
        assert_eq!((Share::new(0, 0).low, Share::new(0, 0).high), (0.0, 1.0));
    }

    #[test]
    fn paired_runs_differ_by_what_only_one_has_right() {
        let difference = Difference::new(60, 50, 1000);
        assert!((difference.difference + 0.01).abs() < 1e-12);
        assert!(difference.low < difference.difference && difference.high > 0.0);
        assert_eq!(Difference::new(0, 0, 10).low, 0.0);
    }
}
