//! Moments of what a matrix reads: the mean of each input and the products of
//! every two.
//!
//! They tell how much a change of the weights changes the outputs:
//! `E[(d . x)^2] = d' C d + (d . mean)^2` with the covariance `C`.

use wide::f32x8;

/// Most inputs of a matrix whose moments are taken; 128 MiB of products.
pub(super) const MAX_INPUTS: usize = 4096;

/// Inputs of one row of products that are added together.
const LANES: usize = 8;
/// Rows of products that are added together.
const ROWS: usize = 4;

/// Sums over the tokens that a matrix read.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    inputs: usize,
    tokens: u64,
    sums: Vec<f64>,
    /// `inputs x inputs`; of rows and columns in the same block of eight, or a
    /// later one for the column.
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
        // Single precision within a few tokens, double beyond.
        for rows in rows.chunks(64) {
            for first in (0..inputs).step_by(ROWS) {
                let start = first / LANES * LANES;
                for column in (start..inputs).step_by(LANES) {
                    let block = block(rows, first, column);
                    for (row, block) in (first..inputs).zip(block) {
                        let width = LANES.min(inputs - column);
                        let products = &mut self.products[row * inputs + column..][..width];
                        for (product, value) in products.iter_mut().zip(block) {
                            *product += f64::from(value);
                        }
                    }
                }
            }
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

/// Products of four inputs with eight, summed over tokens.
#[inline(always)]
fn block(rows: &[&[f32]], first: usize, column: usize) -> [[f32; LANES]; ROWS] {
    let inputs = rows.first().map_or(0, |row| row.len());
    if first + ROWS <= inputs && column + LANES <= inputs {
        let mut sums = [f32x8::ZERO; ROWS];
        for row in rows {
            let (Some(a), Some(&b)) = (
                row.get(first..).and_then(|tail| tail.first_chunk::<ROWS>()),
                row.get(column..)
                    .and_then(|tail| tail.first_chunk::<LANES>()),
            ) else {
                continue;
            };
            let b = f32x8::new(b);
            for (sum, &a) in sums.iter_mut().zip(a) {
                *sum += f32x8::splat(a) * b;
            }
        }
        sums.map(f32x8::to_array)
    } else {
        let mut sums = [[0.0; LANES]; ROWS];
        for row in rows {
            for (sums, a) in sums.iter_mut().zip(&row[first..]) {
                for (sum, b) in sums.iter_mut().zip(&row[column..]) {
                    *sum += a * b;
                }
            }
        }
        sums
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
