//! Products of tokens with a weight matrix.

use fearless_simd::{Level, Simd, SimdBase, dispatch, f32x16};

/// Outputs computed together.
const LANES: usize = 16;
/// Tokens computed together.
const TOKENS: usize = 4;

/// A weight matrix, in the order in which products read it.
#[derive(Debug, Clone)]
pub struct Matrix {
    inputs: usize,
    outputs: usize,
    /// [`LANES`] outputs together, outputs fastest; padded with zeros.
    panels: Vec<f32>,
    bias: Vec<f32>,
}

impl Matrix {
    /// For row-major weights of as many rows as there are terms of bias, each of `inputs`.
    pub fn new(inputs: usize, weight: &[f32], bias: &[f32]) -> Self {
        let outputs = bias.len();
        let padded = outputs.next_multiple_of(LANES);
        let mut panels = vec![0.0; padded * inputs];
        for (output, row) in weight.chunks_exact(inputs.max(1)).enumerate() {
            let panel = &mut panels[output / LANES * LANES * inputs..][..LANES * inputs];
            let places = panel.iter_mut().skip(output % LANES).step_by(LANES);
            for (place, weight) in places.zip(row) {
                *place = *weight;
            }
        }
        let mut bias = bias.to_vec();
        bias.resize(padded, 0.0);
        Self {
            inputs,
            outputs,
            panels,
            bias,
        }
    }

    /// `weight * x + bias` for each token; `x` is `tokens x inputs`.
    pub fn product(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len() / self.inputs.max(1) * self.outputs];
        self.apply(x, &mut y);
        y
    }

    /// `y = weight * x + bias` for each token; `x` is `tokens x inputs`, `y` is
    /// `tokens x outputs`.
    ///
    /// Each output is summed in the order of its inputs, and products are rounded before
    /// they are added: the bits are the same whatever the machine. A BLAS promises neither,
    /// and what is generated depends on the last bit of a range.
    pub fn apply(&self, x: &[f32], y: &mut [f32]) {
        let level = Level::new();
        dispatch!(level, simd => self.apply_with(simd, x, y));
    }

    #[inline(always)]
    fn apply_with<S: Simd>(&self, simd: S, x: &[f32], y: &mut [f32]) {
        let Self {
            inputs, outputs, ..
        } = *self;
        let mut block = vec![[0.0; TOKENS]; inputs];
        let blocks = x
            .chunks((TOKENS * inputs).max(1))
            .zip(y.chunks_mut((TOKENS * outputs).max(1)));
        for (x, y) in blocks {
            for (token, x) in x.chunks_exact(inputs).enumerate() {
                for (values, &x) in block.iter_mut().zip(x) {
                    values[token] = x;
                }
            }
            let panels = self.panels.chunks_exact(LANES * inputs);
            for (index, (weights, bias)) in panels.zip(self.bias.chunks_exact(LANES)).enumerate() {
                let bias = f32x16::from_slice(simd, bias);
                store(&product(simd, &block, weights, bias), index, outputs, y);
            }
        }
    }
}

/// One panel's outputs of the tokens in `block`, given inputs first.
#[inline(always)]
fn product<S: Simd>(
    simd: S,
    block: &[[f32; TOKENS]],
    weights: &[f32],
    bias: f32x16<S>,
) -> [f32x16<S>; TOKENS] {
    let mut acc = [bias; TOKENS];
    for (x, weights) in block.iter().zip(weights.chunks_exact(LANES)) {
        let weights = f32x16::from_slice(simd, weights);
        for (acc, &x) in acc.iter_mut().zip(x) {
            *acc += f32x16::splat(simd, x) * weights;
        }
    }
    acc
}

#[inline(always)]
fn store<S: Simd>(acc: &[f32x16<S>], panel: usize, outputs: usize, y: &mut [f32]) {
    let start = panel * LANES;
    let width = LANES.min(outputs - start);
    for (y, acc) in y.chunks_exact_mut(outputs).zip(acc) {
        y[start..start + width].copy_from_slice(&acc.as_slice()[..width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number of tokens and outputs around the block sizes.
    #[test]
    fn blocks_agree_with_a_plain_loop() {
        for (tokens, inputs, outputs) in [
            (1, 1, 1),
            (3, 5, 7),
            (4, 3, 8),
            (9, 2, 17),
            (8, 6, 16),
            (5, 9, 71),
        ] {
            let value = |i: usize| ((i * 37 % 23) as f32 - 11.0) / 8.0;
            let weight: Vec<f32> = (0..inputs * outputs).map(value).collect();
            let bias: Vec<f32> = (0..outputs).map(value).collect();
            let x: Vec<f32> = (0..tokens * inputs).map(|i| value(i + 5)).collect();
            let mut y = vec![f32::NAN; tokens * outputs];
            Matrix::new(inputs, &weight, &bias).apply(&x, &mut y);
            for token in 0..tokens {
                for output in 0..outputs {
                    let expected = (0..inputs).fold(bias[output], |acc, i| {
                        acc + weight[output * inputs + i] * x[token * inputs + i]
                    });
                    assert_eq!(y[token * outputs + output], expected);
                }
            }
        }
    }
}
