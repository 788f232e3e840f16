//! Products of tokens with a weight matrix.

use wide::f32x8;

use crate::network::Linear;

/// Outputs computed together.
const LANES: usize = 8;
/// Tokens computed together.
const TOKENS: usize = 4;

/// Weights in panels of [`LANES`] outputs, outputs fastest; padded with zeros.
pub(crate) struct Matrix {
    inputs: usize,
    outputs: usize,
    panels: Vec<f32x8>,
    bias: Vec<f32x8>,
}

impl Matrix {
    pub(crate) fn new(linear: &Linear) -> Self {
        let (inputs, outputs) = (linear.inputs, linear.outputs);
        let count = outputs.div_ceil(LANES);
        let mut panels = vec![f32x8::ZERO; count * inputs];
        let mut bias = vec![f32x8::ZERO; count];
        for (output, row) in linear.weight.chunks_exact(inputs.max(1)).enumerate() {
            let panel = &mut panels[output / LANES * inputs..][..inputs];
            for (lanes, weight) in panel.iter_mut().zip(row) {
                lanes.as_mut_array()[output % LANES] = *weight;
            }
            bias[output / LANES].as_mut_array()[output % LANES] = linear.bias[output];
        }
        Self {
            inputs,
            outputs,
            panels,
            bias,
        }
    }

    /// `weight * x + bias` for each token; `x` is `tokens x inputs`.
    pub(crate) fn product(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len() / self.inputs.max(1) * self.outputs];
        self.apply(x, &mut y);
        y
    }

    /// `y = weight * x + bias` for each token; `x` is `tokens x inputs`, `y` is
    /// `tokens x outputs`.
    ///
    /// Each output is summed in the order of its inputs, whatever the machine.
    pub(crate) fn apply(&self, x: &[f32], y: &mut [f32]) {
        let Self {
            inputs, outputs, ..
        } = *self;
        let mut block = vec![[0.0; TOKENS]; inputs];
        let blocks = x
            .chunks(TOKENS * inputs)
            .zip(y.chunks_mut(TOKENS * outputs));
        for (x, y) in blocks {
            for (token, x) in x.chunks_exact(inputs).enumerate() {
                for (values, &x) in block.iter_mut().zip(x) {
                    values[token] = x;
                }
            }
            let panels = self.panels.chunks_exact(inputs).zip(&self.bias);
            for (index, (weights, bias)) in panels.enumerate() {
                store(&product(&block, weights, *bias), index, outputs, y);
            }
        }
    }
}

/// One panel's outputs of the tokens in `block`, given inputs first.
#[inline(always)]
fn product(block: &[[f32; TOKENS]], weights: &[f32x8], bias: f32x8) -> [f32x8; TOKENS] {
    let [mut a, mut b, mut c, mut d] = [bias; TOKENS];
    for (x, &weights) in block.iter().zip(weights) {
        a += f32x8::splat(x[0]) * weights;
        b += f32x8::splat(x[1]) * weights;
        c += f32x8::splat(x[2]) * weights;
        d += f32x8::splat(x[3]) * weights;
    }
    [a, b, c, d]
}

fn store(acc: &[f32x8], panel: usize, outputs: usize, y: &mut [f32]) {
    let start = panel * LANES;
    let width = LANES.min(outputs - start);
    for (y, acc) in y.chunks_exact_mut(outputs).zip(acc) {
        y[start..start + width].copy_from_slice(&acc.as_array()[..width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number of tokens and outputs around the block sizes.
    #[test]
    fn blocks_agree_with_a_plain_loop() {
        for (tokens, inputs, outputs) in [(1, 1, 1), (3, 5, 7), (4, 3, 8), (9, 2, 17), (8, 6, 16)] {
            let value = |i: usize| ((i * 37 % 23) as f32 - 11.0) / 8.0;
            let linear = Linear {
                outputs,
                inputs,
                weight: (0..inputs * outputs).map(value).collect(),
                bias: (0..outputs).map(value).collect(),
            };
            let x: Vec<f32> = (0..tokens * inputs).map(|i| value(i + 5)).collect();
            let mut y = vec![f32::NAN; tokens * outputs];
            Matrix::new(&linear).apply(&x, &mut y);
            for token in 0..tokens {
                for output in 0..outputs {
                    let expected = (0..inputs).fold(linear.bias[output], |acc, i| {
                        acc + linear.weight[output * inputs + i] * x[token * inputs + i]
                    });
                    assert_eq!(y[token * outputs + output], expected);
                }
            }
        }
    }
}
