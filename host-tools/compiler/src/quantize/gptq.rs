//! GPTQ: rounds the rows of a matrix so that they change what it computes as little as
//! possible, by the [covariance](tadpool_float::Covariance) of what it reads.

use tadpool_float::{Column, Covariance, Moments};

use crate::quantize::quant_model::{QuantMatrix, WeightBits};

/// Parts of the largest weight that the steps of an int4 row may reach up to.
const REACHES: [f64; 10] = [1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55];

/// A rounded matrix.
pub(crate) struct RoundedMatrix {
    pub(crate) matrix: QuantMatrix,
    /// Real size of a weight's step, per row.
    pub(crate) scales: Vec<f64>,
    /// The correction of each row's bias: the mean error that rounding adds to its
    /// output on average, if that is corrected.
    pub(crate) correction: Vec<f64>,
}

/// The calibration data that rounding uses besides the weights.
#[derive(Default)]
pub(crate) struct Guide {
    /// For the least error of the outputs.
    pub(crate) covariance: Option<Covariance>,
    /// Mean of each column, for the correction of the bias.
    pub(crate) mean: Option<Vec<f64>>,
}

/// The mean that replacing `weights` by whole numbers of steps takes from each row's output
/// on average.
pub(crate) fn correction(
    weights: &[f64],
    matrix: &QuantMatrix,
    scales: &[f64],
    mean: &[f64],
) -> Vec<f64> {
    let rows = weights.chunks_exact(matrix.inputs.max(1));
    rows.zip(matrix.rows())
        .zip(scales)
        .map(|((row, integers), &scale)| {
            let weights = row.iter().zip(integers).zip(mean);
            weights
                .map(|((weight, &integer), mean)| (weight - scale * f64::from(integer)) * mean)
                .sum()
        })
        .collect()
}

/// The mean of each column.
pub(crate) fn means(moments: &Moments, columns: &[Column]) -> Vec<f64> {
    let mean = |&(input, by): &Column| match by {
        // A column that is multiplied with zero is one of zeros.
        0.0 => 0.0,
        by => moments.mean(input) / by,
    };
    columns.iter().map(mean).collect()
}

/// Rounds all rows of a matrix, given row-major. `widest` holds the scale of each row that cuts
/// off no weight, `allowed` is the next scale that a row can have to one that is wished for.
pub(crate) fn round(
    covariance: &Covariance,
    weights: &[f64],
    bits: WeightBits,
    widest: &[f64],
    allowed: impl Fn(f64) -> f64 + Sync,
) -> RoundedMatrix {
    let reaches: &[f64] = match bits {
        WeightBits::Int8 => &REACHES[..1],
        WeightBits::Int4 => &REACHES,
    };
    let rows = covariance.round(weights, bits.grid(), widest, reaches, &allowed);
    RoundedMatrix {
        scales: rows.iter().map(|(_, scale)| *scale).collect(),
        correction: vec![0.0; rows.len()],
        matrix: QuantMatrix {
            outputs: rows.len(),
            inputs: weights.len() / rows.len().max(1),
            bits,
            weights: rows.into_iter().flat_map(|(row, _)| row).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A number in -1..1.
    fn value(state: &mut u64) -> f32 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn the_correction_keeps_the_mean(seed in any::<u64>(), inputs in 1usize..24) {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            // What the inputs share makes them depend on each other.
            let tokens: Vec<f32> = (0..3 * inputs)
                .flat_map(|_| {
                    let shared = value(&mut state) + 0.5;
                    (0..inputs).map(|_| shared + value(&mut state)).collect::<Vec<_>>()
                })
                .collect();
            let mut moments = Moments::new(inputs);
            moments.add(&tokens);
            let weights: Vec<f64> = (0..2 * inputs).map(|_| f64::from(value(&mut state))).collect();
            let columns: Vec<Column> = (0..inputs).map(|input| (input, 1.0)).collect();
            let covariance = Covariance::of(&moments, &columns).unwrap();
            let bits = WeightBits::Int4;
            let widest = |row: &[f64]| {
                let largest = row.iter().fold(0.0f64, |max, w| max.max(w.abs()));
                largest / f64::from(bits.largest())
            };
            let widest: Vec<f64> = weights.chunks_exact(inputs).map(widest).collect();
            let rounded = round(&covariance, &weights, bits, &widest, |scale| scale);
            let mean = means(&moments, &columns);
            let correction = correction(&weights, &rounded.matrix, &rounded.scales, &mean);
            for (output, row) in weights.chunks_exact(inputs).enumerate() {
                let integers = &rounded.matrix.weights[output * inputs..][..inputs];
                let off: f64 = tokens.chunks_exact(inputs).map(|token| {
                    let errors = row.iter().zip(integers).zip(token);
                    errors.map(|((w, &q), &x)| (w - rounded.scales[output] * f64::from(q)) * f64::from(x)).sum::<f64>()
                }).sum::<f64>() / (tokens.len() / inputs) as f64;
                prop_assert!((off - correction[output]).abs() < 1e-5);
            }
        }
    }
}
