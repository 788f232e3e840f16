//! Weights that are whole numbers of steps already, as quantization-aware
//! training leaves them.

use crate::quantize::quant_model::WeightBits;

/// How far from a whole number of steps a weight may be: training, export and
/// folding round in single precision.
const TOLERANCE: f64 = 1e-3;

/// The largest step of which every weight of `row` is a whole multiple, if the
/// multiples fit `bits`. A row of zeros has none.
pub(crate) fn step(row: &[f64], bits: WeightBits) -> Option<f64> {
    let largest = row.iter().fold(0.0f64, |max, weight| max.max(weight.abs()));
    let most = bits.largest() / bits.step();
    if !(largest > 0.0 && largest.is_finite()) {
        return None;
    }
    (1..=most)
        .map(|count| largest / f64::from(count))
        .find(|step| {
            row.iter().all(|weight| {
                let steps = weight / step;
                (steps - steps.round()).abs() <= TOLERANCE
            })
        })
}

/// The fewest bits that hold the steps of every row of `weights`, and whether
/// there are such steps.
pub(crate) fn fit(inputs: usize, weights: &[f64]) -> (WeightBits, bool) {
    let fits = |bits| {
        weights
            .chunks_exact(inputs)
            .all(|row| row.iter().all(|&weight| weight == 0.0) || step(row, bits).is_some())
    };
    match (fits(WeightBits::Int4), fits(WeightBits::Int8)) {
        (true, _) => (WeightBits::Int4, true),
        (false, kept) => (WeightBits::Int8, kept),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_common_step_is_found() {
        let row = [0.3f32, -0.6, 0.0, 2.1].map(f64::from);
        let found = step(&row, WeightBits::Int4).unwrap();
        assert!((found - 0.3).abs() < 1e-6, "{found}");
    }

    #[test]
    fn steps_must_fit_the_bits() {
        let row = [0.1f32, 12.7].map(f64::from);
        assert!((step(&row, WeightBits::Int8).unwrap() - 0.1).abs() < 1e-6);
        assert_eq!(step(&row, WeightBits::Int4), None);
        assert_eq!(step(&[0.1, 12.8], WeightBits::Int8), None);
        assert_eq!(step(&[0.1, 0.234_567, 0.7], WeightBits::Int8), None);
        assert_eq!(step(&[0.0, 0.0], WeightBits::Int8), None);
        assert_eq!(step(&[f64::NAN, f64::INFINITY], WeightBits::Int8), None);
    }

    #[test]
    fn a_matrix_takes_the_bits_of_its_widest_row() {
        let narrow = [0.5, -3.5, 0.0, 0.0];
        assert_eq!(fit(2, &narrow), (WeightBits::Int4, true));
        let wide = [0.5, -3.5, 0.1, 1.3];
        assert_eq!(fit(2, &wide), (WeightBits::Int8, true));
        let free = [0.5, -3.5, 0.123_456, 1.3];
        assert_eq!(fit(2, &free), (WeightBits::Int8, false));
    }
}
