//! Moments of what a matrix reads: the mean of each input and the products of
//! every two.
//!
//! They tell how much a change of the weights changes the outputs:
//! `E[(d . x)^2] = d' C d + (d . mean)^2` with the covariance `C`.

use fearless_simd::{Level, Simd, SimdBase, dispatch, f32x16};

/// Tokens that are summed in single precision, before the sums are added in double.
const TOKENS: usize = 64;
/// Rows of products that are added together.
const ROWS: usize = 4;
/// Inputs of one row of products that are added together; a token is padded with zeros to
/// a multiple.
const LANES: usize = 16;

/// Sums over the tokens that a matrix read.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    inputs: usize,
    tokens: u64,
    sums: Vec<f64>,
    /// `inputs x inputs`; where the column is not less than the row.
    products: Vec<f64>,
}

impl Moments {
    /// No token yet, of `inputs` values each.
    pub fn new(inputs: usize) -> Self {
        Self {
            inputs,
            tokens: 0,
            sums: vec![0.0; inputs],
            products: vec![0.0; inputs * inputs],
        }
    }

    /// Adds tokens, in their order: sums depend on it in their last bits.
    pub fn add(&mut self, tokens: &[f32]) {
        let inputs = self.inputs;
        let rows: Vec<&[f32]> = tokens.chunks_exact(inputs).collect();
        self.tokens += rows.len() as u64;
        for row in &rows {
            for (sum, &value) in self.sums.iter_mut().zip(*row) {
                *sum += f64::from(value);
            }
        }
        let padded = inputs.next_multiple_of(LANES);
        let mut tokens = vec![0.0; TOKENS * padded];
        let level = Level::new();
        for rows in rows.chunks(TOKENS) {
            for (row, token) in rows.iter().zip(tokens.chunks_exact_mut(padded)) {
                token[..inputs].copy_from_slice(row);
            }
            let tokens = &tokens[..rows.len() * padded];
            dispatch!(level, simd => add_products(simd, inputs, tokens, &mut self.products));
        }
    }

    /// Values per token.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Tokens that were added.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The mean of input `input`.
    pub fn mean(&self, input: usize) -> f64 {
        self.sums[input] / self.tokens.max(1) as f64
    }

    /// The covariance of two inputs.
    pub fn covariance(&self, a: usize, b: usize) -> f64 {
        let (row, column) = (a.min(b), a.max(b));
        let product = self.products[row * self.inputs + column] / self.tokens.max(1) as f64;
        product - self.mean(a) * self.mean(b)
    }
}

/// Adds the products of the inputs of a few padded tokens.
#[inline(always)]
fn add_products<S: Simd>(simd: S, inputs: usize, tokens: &[f32], products: &mut [f64]) {
    let tokens = || tokens.chunks_exact(inputs.next_multiple_of(LANES));
    for first in (0..inputs).step_by(ROWS) {
        for column in (first / LANES * LANES..inputs).step_by(LANES) {
            let mut sums = [f32x16::splat(simd, 0.0); ROWS];
            for token in tokens() {
                let b = f32x16::from_slice(simd, &token[column..column + LANES]);
                // Padding makes room for rows that are none.
                for (sum, &a) in sums.iter_mut().zip(&token[first..first + ROWS]) {
                    *sum += f32x16::splat(simd, a) * b;
                }
            }
            let width = LANES.min(inputs - column);
            for (row, sums) in (first..inputs).zip(sums) {
                let products = &mut products[row * inputs + column..][..width];
                for (product, &value) in products.iter_mut().zip(sums.as_slice()) {
                    *product += f64::from(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covariance_is_that_of_the_tokens() {
        for inputs in [1, 3, 8, 13, 24] {
            let value = |t: usize, i: usize| ((t * 7 + i * 13 + t * i) % 17) as f32 / 4.0 - 2.0;
            let tokens: Vec<f32> = (0..100)
                .flat_map(|t| (0..inputs).map(move |i| value(t, i)))
                .collect();
            let mut moments = Moments::new(inputs);
            moments.add(&tokens[..40 * inputs]);
            moments.add(&tokens[40 * inputs..]);
            assert_eq!(moments.tokens(), 100);
            for a in 0..inputs {
                for b in 0..inputs {
                    let mean =
                        |i: usize| (0..100).map(|t| f64::from(value(t, i))).sum::<f64>() / 100.0;
                    let both = |t: usize| f64::from(value(t, a)) * f64::from(value(t, b));
                    let expected = (0..100).map(both).sum::<f64>() / 100.0 - mean(a) * mean(b);
                    assert!((moments.mean(a) - mean(a)).abs() < 1e-6);
                    assert!((moments.covariance(a, b) - expected).abs() < 1e-5);
                }
            }
        }
    }
}
