//! Pieces that several layer kinds share.

use super::gptq::{Guide, RoundedMatrix, correction, round};
use super::lattice;
use crate::calibrate::ranges::Range;
use crate::quantize::quant_model::{Quant, QuantMatrix, WeightBits};

/// 256 steps over `range` and zero, the first of them numbered `lowest`.
pub(crate) fn affine(range: Range, lowest: i32) -> Quant {
    let min = f64::from(range.min).min(0.0);
    let max = f64::from(range.max).max(0.0);
    // A map of zeros only has no scale of its own.
    let scale = ((max - min) / 255.0).max(1e-9);
    Quant {
        scale,
        zero_point: lowest + ((-min / scale).round() as i32).clamp(0, 255),
    }
}

/// Largest sum of a row's magnitudes. The fastest kernels need one below `2^16`
/// ([`Layout::holds`](tadpool_kernels::layout::Layout::holds)); the rest is
/// left for what rounding adds, and a row that needs more gets the slower kernel. Rows
/// of some 2000 inputs and more come to it, and lose a part of a bit.
const LARGEST_SUM: f64 = 64_000.0;

/// A weight matrix being quantized, with one scale per output channel.
pub(crate) struct Rows {
    inputs: usize,
    bits: WeightBits,
    weights: Vec<f64>,
    /// Whether rows that are whole numbers of steps keep their step.
    pub(crate) trained: bool,
}

impl Rows {
    /// Real weights `outputs x inputs`, row-major.
    pub(crate) fn new(inputs: usize, bits: WeightBits, weights: impl Iterator<Item = f64>) -> Self {
        Self {
            inputs,
            bits,
            weights: weights.collect(),
            trained: false,
        }
    }

    /// The same, with the steps that the weights were trained for.
    pub(crate) fn trained(self, trained: bool) -> Self {
        Self { trained, ..self }
    }

    /// The smallest scale of each row that clips no weight and keeps to
    /// [`LARGEST_SUM`], or the one that it was trained for; at least `floor`.
    pub(crate) fn scales(&self, floor: f64) -> Vec<f64> {
        self.weights
            .chunks_exact(self.inputs)
            .map(|row| {
                let largest = row.iter().fold(0.0f64, |max, weight| max.max(weight.abs()));
                let sum: f64 = row.iter().map(|weight| weight.abs()).sum();
                let tight = (largest / f64::from(self.bits.largest())).max(sum / LARGEST_SUM);
                let trained = lattice::step(row, self.bits).filter(|_| self.trained);
                let step = f64::from(self.bits.step());
                trained.map_or(tight, |size| size / step).max(floor)
            })
            .collect()
    }

    /// Rounds the weights: with a covariance for the least error of the outputs,
    /// without one each to the nearest multiple of its row's scale; weights that
    /// were trained for integers keep what they are. `scales` cut off no weight;
    /// `allowed` is the next scale that a row can have.
    pub(crate) fn round(
        &self,
        scales: Vec<f64>,
        guide: &Guide,
        allowed: impl Fn(f64) -> f64 + Sync,
    ) -> RoundedMatrix {
        if self.trained {
            return self.nearest(scales);
        }
        let mut rounded = match &guide.covariance {
            Some(covariance) => round(covariance, &self.weights, self.bits, &scales, allowed),
            None => self.nearest(scales),
        };
        if let Some(mean) = &guide.mean {
            rounded.correction = correction(&self.weights, &rounded.matrix, &rounded.scales, mean);
        }
        rounded
    }

    fn nearest(&self, scales: Vec<f64>) -> RoundedMatrix {
        let weights = self
            .weights
            .chunks_exact(self.inputs)
            .zip(&scales)
            .flat_map(|(row, scale)| {
                row.iter()
                    .map(move |weight| self.bits.nearest(weight / scale))
            })
            .collect();
        RoundedMatrix {
            matrix: QuantMatrix {
                outputs: scales.len(),
                inputs: self.inputs,
                bits: self.bits,
                weights,
            },
            correction: vec![0.0; scales.len()],
            scales,
        }
    }
}

/// Largest magnitude of `weights . x` for `x` in `-128..=127`.
pub(crate) fn product_bound(row: &[i8]) -> f64 {
    row.iter()
        .map(|weight| 128.0 * f64::from(weight.unsigned_abs()))
        .sum()
}

/// The part of a step of the stream that is one step of each channel as matrix
/// products read it: one if the stream is int8 or if eight bits are dropped.
pub(crate) fn parts(shift: &[u8], channels: usize) -> Vec<f64> {
    if shift.is_empty() {
        return vec![1.0; channels];
    }
    shift
        .iter()
        .map(|&shift| 2f64.powi(i32::from(shift) - i32::from(super::context::STREAM_FRACTION)))
        .collect()
}

#[cfg(test)]
mod tests {
    use tadpool_kernels::layout::Layout;

    use super::*;

    /// Weights between -1 and 1, no two alike.
    fn row(inputs: usize) -> impl Iterator<Item = f64> {
        (0..inputs).map(|i| ((i * 7919) % 10_007) as f64 / 5003.0 - 1.0)
    }

    #[test]
    fn long_rows_suit_the_fastest_kernels() {
        for bits in [WeightBits::Int8, WeightBits::Int4] {
            for inputs in [512, 1024, 2048, 4608] {
                let rows = Rows::new(inputs, bits, row(inputs));
                let rounded = rows.nearest(rows.scales(0.0));
                let weights = &rounded.matrix.weights;
                assert!(Layout::Dsp.holds(weights, inputs), "{bits:?}, {inputs}");
                let sum: u32 = weights.iter().map(|w| u32::from(w.unsigned_abs())).sum();
                // No more is given away than needed.
                assert!(sum > 60_000 || inputs < 1100, "{inputs}: {sum}");
                let largest = weights.iter().map(|w| w.unsigned_abs()).max();
                if inputs < 1000 {
                    assert_eq!(largest, Some(bits.largest().unsigned_abs()));
                }
            }
        }
    }
}
