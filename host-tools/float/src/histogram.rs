//! Histograms of real values: counts in buckets that widen with the value.

use crate::range::Range;

/// Low bits of an `f32` that a bucket does not tell apart: five bits of the
/// mantissa are left, so a bucket is a thirty-second of its values wide.
const DROPPED_BITS: u32 = 18;
/// Buckets: one for every value of the bits that are left.
const BUCKETS: usize = 1 << (32 - DROPPED_BITS);
/// Steps of an eight-bit range.
const STEPS: f64 = 255.0;

/// How often values fell into each bucket; exact counts, so the order in which
/// values and histograms are added changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    range: Range,
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            range: Range::default(),
            counts: vec![0; BUCKETS],
        }
    }
}

impl Histogram {
    /// The histogram of `values`.
    pub fn of(values: &[f32]) -> Self {
        let mut histogram = Self {
            range: Range::of(values),
            ..Self::default()
        };
        for &value in values {
            histogram.counts[bucket(value)] += 1;
        }
        histogram
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.range = self.range.union(other.range);
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
    }

    /// From the smallest to the largest value.
    pub fn min_max(&self) -> Range {
        self.range
    }

    /// The range that leaves out `100 - percent` per cent of the values, half of
    /// them at each end, to the width of a bucket.
    pub fn percentile(&self, percent: f64) -> Range {
        let total: u64 = self.counts.iter().sum();
        let outside = (total as f64 * (100.0 - percent) / 200.0).floor() as u64;
        let bars = self.bars();
        let first = first_beyond(bars.iter(), outside);
        let last = first_beyond(bars.iter().rev(), outside);
        let (Some(first), Some(last)) = (first, last) else {
            return self.range;
        };
        Range {
            min: self.range.min.max(first.low),
            max: self.range.max.min(last.high),
        }
    }

    /// The range whose 255 steps give the least squared error: of rounding within
    /// it, and of what is cut off outside.
    pub fn least_error(&self) -> Range {
        let bars = self.bars();
        let total: f64 = bars.iter().map(|bar| bar.count as f64).sum();
        let cut = |limit: f64, outside: &dyn Fn(f64) -> bool| -> f64 {
            let bars = bars.iter().filter(|bar| outside(bar.middle));
            bars.map(|bar| bar.count as f64 * (bar.middle - limit).powi(2))
                .sum()
        };
        let (min, max) = (self.range.min.min(0.0), self.range.max.max(0.0));
        let lows = candidates(min, &|limit| cut(limit, &|value| value < limit));
        let highs = candidates(max, &|limit| cut(limit, &|value| value > limit));
        least(&lows, &highs, |low, high| {
            total * ((high - low) / STEPS).powi(2) / 12.0
        })
    }

    /// The range of an activation's input whose 255 steps give the least squared
    /// error of its output, which is rounded to 255 steps as well.
    pub fn least_activated_error(&self, activation: &dyn Fn(f64) -> f64, range: Range) -> Range {
        let bars: Vec<(Bar, f64)> = self
            .bars()
            .into_iter()
            .map(|bar| (bar, activation(bar.middle)))
            .collect();
        let total: f64 = bars.iter().map(|(bar, _)| bar.count as f64).sum();
        let slope = |value: f64| (activation(value + 1e-3) - activation(value - 1e-3)) / 2e-3;
        let slopes: f64 = bars
            .iter()
            .map(|(bar, _)| bar.count as f64 * slope(bar.middle).powi(2))
            .sum();
        let cut = |limit: f64, outside: &dyn Fn(f64) -> bool| -> f64 {
            let at_limit = activation(limit);
            let bars = bars.iter().filter(|(bar, _)| outside(bar.middle));
            bars.map(|(bar, value)| bar.count as f64 * (value - at_limit).powi(2))
                .sum()
        };
        let (min, max) = (range.min.min(0.0), range.max.max(0.0));
        let lows = candidates(min, &|limit| cut(limit, &|value| value < limit));
        let highs = candidates(max, &|limit| cut(limit, &|value| value > limit));
        least(&lows, &highs, |low, high| {
            let input = ((high - low) / STEPS).powi(2) * slopes;
            let lowest = activation(low).min(activation(-0.75));
            let output = ((activation(high) - lowest.min(0.0)) / STEPS).powi(2) * total;
            (input + output) / 12.0
        })
    }

    /// The range, both ends the same part of the outermost values, whose 256 steps
    /// have the distribution that diverges least from that of the values, as
    /// TensorRT chooses them: what is cut off counts to the ends.
    pub fn least_divergence(&self) -> Range {
        let bars = self.bars();
        let (min, max) = (self.range.min.min(0.0), self.range.max.max(0.0));
        let mut best = (f64::INFINITY, Range { min, max });
        for part in (0..=64u8).map(|part| 1.0 - f32::from(part) / 80.0) {
            let range = Range {
                min: min * part,
                max: max * part,
            };
            let divergence = divergence(&bars, range);
            if divergence < best.0 {
                best = (divergence, range);
            }
        }
        best.1
    }

    /// Buckets that hold values, in the order of these.
    fn bars(&self) -> Vec<Bar> {
        let counts = self.counts.iter().enumerate();
        counts
            .filter(|&(_, &count)| count > 0)
            .map(|(bucket, &count)| {
                let (low, high) = limits(bucket as u32);
                Bar {
                    count,
                    low,
                    high,
                    middle: (f64::from(low) + f64::from(high)) / 2.0,
                }
            })
            .filter(|bar| bar.middle.is_finite())
            .collect()
    }
}

/// Values of one bucket.
#[derive(Debug, Clone, Copy)]
struct Bar {
    count: u64,
    low: f32,
    high: f32,
    middle: f64,
}

/// The first bar with which the counts exceed `outside`.
fn first_beyond<'a>(mut bars: impl Iterator<Item = &'a Bar>, outside: u64) -> Option<&'a Bar> {
    let mut left_out = 0;
    bars.find(|bar| {
        left_out += bar.count;
        left_out > outside
    })
}

/// How far the distribution of 256 steps of `range` is from that of `bars`, in
/// nats; infinite if the range holds none.
fn divergence(bars: &[Bar], range: Range) -> f64 {
    let (low, high) = (f64::from(range.min), f64::from(range.max));
    let first = bars.partition_point(|bar| bar.middle < low);
    let end = bars.partition_point(|bar| bar.middle <= high).max(first);
    let Some(inside) = bars.get(first..end).filter(|inside| !inside.is_empty()) else {
        return f64::INFINITY;
    };
    let total = |bars: &[Bar]| bars.iter().map(|bar| bar.count as f64).sum::<f64>();
    let (below, above) = (total(&bars[..first]), total(&bars[end..]));
    let (all, kept) = (total(bars), total(inside));
    let step = ((high - low) / STEPS).max(f64::MIN_POSITIVE);
    let number = |bar: &Bar| ((bar.middle - low) / step).round();
    let width = |bar: &Bar| (f64::from(bar.high) - f64::from(bar.low)).max(f64::MIN_POSITIVE);

    let mut sum = 0.0;
    let last = inside.len() - 1;
    let mut at = 0;
    for step in inside.chunk_by(|a, b| number(a) == number(b)) {
        // A step's values are spread over its bars by their width.
        let (count, widths) = (total(step), step.iter().map(width).sum::<f64>());
        for bar in step {
            let ends = [(at == 0, below), (at == last, above)];
            let cut: f64 = ends.iter().filter(|end| end.0).map(|end| end.1).sum();
            let real = (bar.count as f64 + cut) / all;
            let rounded = count * width(bar) / widths / kept;
            sum += real * (real / rounded).ln();
            at += 1;
        }
    }
    sum
}

/// Ends of a range that are tried: the outermost value and 64 parts of it down
/// to a fifth, each with the error of what it cuts off.
fn candidates(outermost: f32, cut: &dyn Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let outermost = f64::from(outermost);
    if outermost == 0.0 || !outermost.is_finite() {
        return vec![(outermost, 0.0)];
    }
    (0..=64)
        .map(|part| {
            let limit = outermost * (1.0 - f64::from(part) / 80.0);
            (limit, if part == 0 { 0.0 } else { cut(limit) })
        })
        .collect()
}

/// The pair of ends with the least error; the widest of equals.
fn least(lows: &[(f64, f64)], highs: &[(f64, f64)], within: impl Fn(f64, f64) -> f64) -> Range {
    let mut best = (f64::INFINITY, lows[0].0, highs[0].0);
    for &(low, below) in lows {
        for &(high, above) in highs {
            let error = within(low, high) + below + above;
            if error < best.0 {
                best = (error, low, high);
            }
        }
    }
    Range {
        min: best.1 as f32,
        max: best.2 as f32,
    }
}

/// Number of a value's bucket; buckets are in the order of their values.
fn bucket(value: f32) -> usize {
    let bits = value.to_bits();
    let ordered = if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    };
    (ordered >> DROPPED_BITS) as usize
}

/// The smallest and the largest value of a bucket.
fn limits(bucket: u32) -> (f32, f32) {
    let value = |ordered: u32| {
        let bits = if ordered >> 31 == 1 {
            ordered & !(1 << 31)
        } else {
            !ordered
        };
        f32::from_bits(bits)
    };
    let low = bucket << DROPPED_BITS;
    (value(low), value(low | ((1 << DROPPED_BITS) - 1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Mean squared error of rounding `values` to 255 steps of `range`.
    fn error(values: &[f32], range: Range) -> f64 {
        let (min, max) = (f64::from(range.min.min(0.0)), f64::from(range.max.max(0.0)));
        let step = (max - min) / STEPS;
        values
            .iter()
            .map(|&value| {
                let value = f64::from(value);
                let rounded = ((value - min) / step).round().clamp(0.0, STEPS) * step + min;
                (rounded - value).powi(2)
            })
            .sum::<f64>()
            / values.len() as f64
    }

    #[test]
    fn an_outlier_is_cut_off_if_that_pays() {
        let mut values: Vec<f32> = (0..1_000_000)
            .map(|i| (i as f32 / 1e6) * 2.0 - 1.0)
            .collect();
        let whole = Histogram::of(&values).least_error();
        assert!(whole.max > 0.98 && whole.min < -0.98, "{whole:?}");
        values.push(3.0);
        let range = Histogram::of(&values).least_error();
        assert!(range.max < 1.5, "{range:?}");
        let all = Histogram::of(&values).min_max();
        assert!(error(&values, range) < 0.7 * error(&values, all));
    }

    #[test]
    fn divergence_cuts_off_a_thin_tail() {
        // A bell of deviation one, and a few values ten times as far out.
        let bell = |i: usize| {
            let unit = |n: usize| (i * n % 1009) as f32 / 1009.0;
            unit(37) + unit(101) + unit(239) + unit(499) - 2.0
        };
        let mut values: Vec<f32> = (0..100_000).map(bell).collect();
        let whole = Histogram::of(&values).least_divergence();
        assert!(whole.max > 0.8 && whole.min < -0.8, "{whole:?}");
        values.extend([18.0, -18.0, 17.0]);
        let histogram = Histogram::of(&values);
        let range = histogram.least_divergence();
        assert!(range.max < 9.0 && range.min > -9.0, "{range:?}");
        assert_eq!(
            Histogram::of(&[0.0; 4]).least_divergence(),
            Range { min: 0.0, max: 0.0 }
        );
        assert!(Histogram::of(&[2.0, 3.0]).least_divergence().max >= 0.6);
    }

    proptest! {
        #[test]
        fn buckets_hold_their_values(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            let (low, high) = limits(bucket(value) as u32);
            prop_assert!(low <= value && value <= high);
        }

        #[test]
        fn ranges_shrink_with_the_percentile(values in prop::collection::vec(-1e3f32..1e3, 1..400)) {
            let histogram = Histogram::of(&values);
            let mut wider = histogram.min_max();
            prop_assert_eq!(histogram.percentile(100.0), wider);
            for percent in [99.9, 99.0, 95.0, 80.0, 51.0] {
                let range = histogram.percentile(percent);
                prop_assert!(range.min >= wider.min && range.max <= wider.max);
                prop_assert!(range.min <= range.max);
                let outside = values.iter().filter(|v| **v < range.min || **v > range.max).count();
                prop_assert!(outside as f64 <= values.len() as f64 * (100.0 - percent) / 100.0);
                wider = range;
            }
        }

        #[test]
        fn the_least_error_is_inside_the_range(values in prop::collection::vec(-1e3f32..1e3, 1..400)) {
            let histogram = Histogram::of(&values);
            let (all, range) = (histogram.min_max(), histogram.least_error());
            prop_assert!(range.min >= all.min.min(0.0) && range.max <= all.max.max(0.0));
            // The model of the error is that of many values, within a bucket's width.
            let step = f64::from(all.max.max(0.0) - all.min.min(0.0)) / STEPS;
            let bound = 2.0 * error(&values, all) + step * step + 1e-9;
            prop_assert!(error(&values, range) <= bound);
        }

        #[test]
        fn order_does_not_count(values in prop::collection::vec(any::<f32>(), 2..200), at in 0usize..200) {
            prop_assume!(values.iter().all(|value| !value.is_nan()));
            let (a, b) = values.split_at(at.min(values.len()));
            let mut there = Histogram::of(a);
            there.merge(&Histogram::of(b));
            let mut back = Histogram::of(b);
            back.merge(&Histogram::of(a));
            prop_assert_eq!(&there, &back);
            prop_assert_eq!(there, Histogram::of(&values));
        }
    }
}
