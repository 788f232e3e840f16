//! Least squares without negative coefficients.

use tadpool_latency::cost::{FEATURES, Features};

/// Rounds of the descent; it ends before if nothing changes.
const ROUNDS: usize = 20_000;

/// The weight of a coefficient's square beside the errors, so that few samples of many features
/// have one solution that is not extreme.
const RIDGE: f64 = 1e-4;

/// A step that was executed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) features: Features,
    pub(super) cycles: f64,
    /// The weight of its error.
    pub(super) weight: f64,
}

/// The coefficients of least squared weighted error, none of them negative, by descent along
/// one coefficient after the other.
pub(super) fn solve(samples: &[Sample]) -> Features {
    // Products of the features' columns, each of length 1, with each other and the cycles.
    let mut lengths = [0.0; FEATURES];
    for sample in samples {
        for (length, feature) in lengths.iter_mut().zip(sample.features) {
            *length += (feature * sample.weight).powi(2);
        }
    }
    let lengths = lengths.map(|square: f64| square.sqrt().max(1e-300));
    let mut products = [[0.0; FEATURES]; FEATURES];
    let mut target = [0.0; FEATURES];
    for sample in samples {
        let mut row = sample.features;
        for (value, length) in row.iter_mut().zip(lengths) {
            *value *= sample.weight / length;
        }
        for (at, value) in row.iter().enumerate() {
            target[at] += value * sample.cycles * sample.weight;
            for (product, other) in products[at].iter_mut().zip(row) {
                *product += value * other;
            }
        }
    }
    for (at, row) in products.iter_mut().enumerate() {
        row[at] += if row[at] > 0.0 { RIDGE } else { 0.0 };
    }
    let mut solution = [0.0; FEATURES];
    for _ in 0..ROUNDS {
        let mut moved = 0.0_f64;
        for at in 0..FEATURES {
            if products[at][at] < 1e-12 {
                continue;
            }
            let sum: f64 = (products[at].iter())
                .zip(solution)
                .map(|(a, b)| a * b)
                .sum();
            let step = (target[at] - sum) / products[at][at];
            let next = (solution[at] + step).max(0.0);
            moved = moved.max((next - solution[at]).abs());
            solution[at] = next;
        }
        if moved < 1e-9 {
            break;
        }
    }
    let mut coefficients = [0.0; FEATURES];
    for at in 0..FEATURES {
        coefficients[at] = solution[at] / lengths[at];
    }
    coefficients
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_are_found_and_none_is_negative() {
        let sample = |a: f64, b: f64, cycles: f64| {
            let mut features = [0.0; FEATURES];
            (features[0], features[1]) = (a, b);
            Sample {
                features,
                cycles,
                weight: 1.0 / cycles,
            }
        };
        let samples = [
            sample(1.0, 2.0, 108.0),
            sample(1.0, 5.0, 120.0),
            sample(1.0, 9.0, 136.0),
        ];
        let found = solve(&samples);
        assert!((found[0] - 100.0).abs() < 1.0 && (found[1] - 4.0).abs() < 0.2);
        let falling = [sample(1.0, 2.0, 108.0), sample(1.0, 5.0, 90.0)];
        assert!(solve(&falling).iter().all(|&it| it >= 0.0));
    }
}
