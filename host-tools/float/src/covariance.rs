//! Rounding that looks at the outputs: a weight is not rounded alone, but so
//! that the whole row changes what it computes as little as possible.
//!
//! A row with the rounding error `e` is off by `e . (x - mean)` once its bias is
//! corrected by `e . mean`, so the mean square is `e' H e` with the covariance
//! `H` of the inputs `x`. Its least value over whole numbers is searched as in
//! GPTQ: with the Cholesky factor `H = R' R`, one input after the other is
//! rounded and what that costs is made up for by those that follow (Frantar et
//! al., 2022; Chen et al., 2025, show that this is Babai's nearest plane). Then
//! single weights are moved by whole steps as long as that helps.

use fearless_simd::{Level, Simd, SimdBase, dispatch, f64x8};
use rayon::prelude::*;

use crate::moments::Moments;

/// Part of the mean variance that is added to each, so that inputs which
/// calibration saw too little of do not carry large corrections.
const DAMPING: f64 = 0.01;
/// Passes over a row in which weights are moved one at a time.
const PASSES: usize = 8;

/// The integers that a weight may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// The least difference of two of them, at least 1.
    pub step: i8,
    /// The largest; the smallest is its negative.
    pub largest: i8,
}

impl Grid {
    /// The nearest of them to `value`.
    pub fn nearest(self, value: f64) -> i8 {
        let (step, largest) = (f64::from(self.step), f64::from(self.largest));
        ((value / step).round() * step).clamp(-largest, largest) as i8
    }
}

/// Where the column of a matrix comes from: the input that calibration saw, and
/// what the trained weight of it was multiplied with.
pub type Column = (usize, f64);

/// The covariance of a matrix's inputs and its factor.
#[derive(Debug, Clone)]
pub struct Covariance {
    /// Inputs in the order of the factor: the one that varies most is the last,
    /// and rounded first.
    order: Vec<usize>,
    /// `R`, row-major.
    factor: Vec<f64>,
    /// `R' R`, symmetric.
    covariance: Vec<f64>,
}

impl Covariance {
    /// For a matrix with these columns; `None` if calibration saw no variance.
    pub fn of(moments: &Moments, columns: &[Column]) -> Option<Self> {
        let count = columns.len();
        let covariance = |a: usize, b: usize| {
            let ((a, by_a), (b, by_b)) = (columns[a], columns[b]);
            // A column that is multiplied with zero is one of zeros.
            match by_a * by_b {
                0.0 => 0.0,
                by => moments.covariance(a, b) / by,
            }
        };
        let variance: Vec<f64> = (0..count)
            .map(|column| covariance(column, column))
            .collect();
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|&a, &b| variance[a].total_cmp(&variance[b]).then(a.cmp(&b)));
        let damping = DAMPING * variance.iter().sum::<f64>() / count.max(1) as f64;
        if !(damping.is_finite() && damping > 0.0) {
            return None;
        }
        let mut ordered = vec![0.0; count * count];
        ordered
            .par_chunks_exact_mut(count)
            .enumerate()
            .for_each(|(row, values)| {
                for (column, value) in values.iter_mut().enumerate() {
                    *value = covariance(order[row], order[column]);
                }
                values[row] += damping;
            });
        let factor = dispatch!(Level::new(), simd => cholesky(simd, &ordered, count))?;
        Some(Self {
            factor,
            covariance: ordered,
            order,
        })
    }

    /// Rounds all rows of a matrix, given row-major: the integers of each, and its scale,
    /// which is the real size of a step.
    ///
    /// `widest` holds the scale of each row that cuts off no weight. `reaches` are the parts of
    /// it that are tried, the first being 1; `allowed` is the next scale that a row can have to
    /// one that is wished for.
    pub fn round(
        &self,
        weights: &[f64],
        grid: Grid,
        widest: &[f64],
        reaches: &[f64],
        allowed: &(dyn Fn(f64) -> f64 + Sync),
    ) -> Vec<(Vec<i8>, f64)> {
        let inputs = self.order.len();
        weights
            .par_chunks_exact(inputs)
            .zip(widest)
            .map(|(row, &widest)| {
                let ordered: Vec<f64> = self.order.iter().map(|&input| row[input]).collect();
                let (scale, rounded) = dispatch!(Level::new(), simd => {
                    self.round_row(simd, &ordered, grid, widest, reaches, allowed)
                });
                let mut integers = vec![0; inputs];
                for (&input, &integer) in self.order.iter().zip(&rounded) {
                    integers[input] = integer;
                }
                (integers, scale)
            })
            .collect()
    }

    /// Scale and integers of one row, in the order of the factor.
    #[inline(always)]
    fn round_row<S: Simd>(
        &self,
        simd: S,
        row: &[f64],
        grid: Grid,
        widest: f64,
        reaches: &[f64],
        allowed: &dyn Fn(f64) -> f64,
    ) -> (f64, Vec<i8>) {
        let nearest = row.iter().map(|weight| grid.nearest(weight / widest));
        let nearest: Vec<i8> = nearest.collect();
        let mut best = (self.error(simd, row, &nearest, widest), widest, nearest);
        for reach in reaches {
            let scale = if *reach == 1.0 {
                widest
            } else {
                allowed(widest * reach)
            };
            let rounded = self.nearest_plane(simd, row, grid, scale);
            let error = self.error(simd, row, &rounded, scale);
            if error < best.0 {
                best = (error, scale, rounded);
            }
        }
        let (_, scale, mut rounded) = best;
        self.improve(simd, row, grid, scale, &mut rounded);
        (scale, rounded)
    }

    /// Rounds the last input, then the one before it for what that left over, and
    /// so on.
    #[inline(always)]
    fn nearest_plane<S: Simd>(&self, simd: S, row: &[f64], grid: Grid, scale: f64) -> Vec<i8> {
        let count = row.len();
        let mut rounded = vec![0; count];
        let mut errors = vec![0.0; count];
        for at in (0..count).rev() {
            let factor = &self.factor[at * count..][..count];
            let left = dot(simd, &factor[at + 1..], &errors[at + 1..]) / factor[at];
            rounded[at] = grid.nearest((row[at] + left) / scale);
            errors[at] = row[at] - scale * f64::from(rounded[at]);
        }
        rounded
    }

    /// Moves one weight at a time to where the others leave the least error.
    #[inline(always)]
    fn improve<S: Simd>(&self, simd: S, row: &[f64], grid: Grid, scale: f64, rounded: &mut [i8]) {
        let count = row.len();
        let line = |at: usize| &self.covariance[at * count..][..count];
        let errors: Vec<f64> = errors(row, rounded, scale).collect();
        let mut slope: Vec<f64> = (0..count).map(|at| dot(simd, line(at), &errors)).collect();
        for _ in 0..PASSES {
            let mut moved = false;
            for at in 0..count {
                let variance = line(at)[at];
                let here = scale * f64::from(rounded[at]);
                let to = grid.nearest((here + slope[at] / variance) / scale);
                // What the move adds to the error of this weight.
                let change = here - scale * f64::from(to);
                let gain = -change * (2.0 * slope[at] + change * variance);
                if to != rounded[at] && gain > 1e-12 * variance * scale * scale {
                    rounded[at] = to;
                    moved = true;
                    for (slope, value) in slope.iter_mut().zip(line(at)) {
                        *slope += change * value;
                    }
                }
            }
            if !moved {
                break;
            }
        }
    }

    /// `e' H e`.
    #[inline(always)]
    fn error<S: Simd>(&self, simd: S, row: &[f64], rounded: &[i8], scale: f64) -> f64 {
        let errors: Vec<f64> = errors(row, rounded, scale).collect();
        let lines = self.factor.chunks_exact(row.len()).enumerate();
        lines
            .map(|(at, line)| dot(simd, &line[at..], &errors[at..]).powi(2))
            .sum()
    }
}

fn errors(row: &[f64], rounded: &[i8], scale: f64) -> impl Iterator<Item = f64> {
    row.iter()
        .zip(rounded)
        .map(move |(weight, &integer)| weight - scale * f64::from(integer))
}

/// The upper triangle `R` with `R' R = matrix`; `None` if there is none.
#[inline(always)]
fn cholesky<S: Simd>(simd: S, matrix: &[f64], count: usize) -> Option<Vec<f64>> {
    let mut lower = vec![0.0; count * count];
    for row in 0..count {
        let (above, line) = lower.split_at_mut(row * count);
        for column in 0..row {
            let other = &above[column * count..][..count];
            let rest = matrix[row * count + column] - dot(simd, &line[..column], &other[..column]);
            line[column] = rest / other[column];
        }
        let rest = matrix[row * count + row] - dot(simd, &line[..row], &line[..row]);
        if !(rest > 0.0 && rest.is_finite()) {
            return None;
        }
        line[row] = rest.sqrt();
    }
    let mut upper = vec![0.0; count * count];
    for row in 0..count {
        for column in 0..=row {
            upper[column * count + row] = lower[row * count + column];
        }
    }
    Some(upper)
}

/// A sum of products in a fixed order of eight lanes, the same on every machine.
#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f64], b: &[f64]) -> f64 {
    let (a_lanes, a_rest) = a.as_chunks::<8>();
    let (b_lanes, b_rest) = b.as_chunks::<8>();
    let mut lanes = f64x8::splat(simd, 0.0);
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        lanes += f64x8::from_slice(simd, a) * f64x8::from_slice(simd, b);
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.as_slice().iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(covariance: &Covariance, row: &[f64], rounded: &[i8], scale: f64) -> f64 {
        dispatch!(Level::new(), simd => covariance.error(simd, row, rounded, scale))
    }

    /// Correlated inputs and rows of weights from a seed.
    fn example(seed: u64, inputs: usize, outputs: usize) -> (Moments, Vec<f64>, Vec<f32>) {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut value = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let mix: Vec<f32> = (0..inputs * inputs).map(|_| value()).collect();
        let mut tokens = Vec::new();
        for _ in 0..3 * inputs {
            let source: Vec<f32> = (0..inputs).map(|_| value()).collect();
            let rows = mix.chunks_exact(inputs);
            tokens.extend(
                rows.map(|row| row.iter().zip(&source).map(|(a, b)| a * b).sum::<f32>() + 0.5),
            );
        }
        let mut moments = Moments::new(inputs);
        moments.add(&tokens);
        let weights = (0..inputs * outputs).map(|_| f64::from(value())).collect();
        (moments, weights, tokens)
    }

    const INT8: Grid = Grid {
        step: 1,
        largest: 127,
    };
    const INT4: Grid = Grid {
        step: 16,
        largest: 112,
    };
    const REACHES: [f64; 5] = [1.0, 0.9, 0.8, 0.7, 0.6];

    fn widest(weights: &[f64], inputs: usize, grid: Grid) -> Vec<f64> {
        let largest = |row: &[f64]| row.iter().fold(0.0f64, |max, w| max.max(w.abs()));
        weights
            .chunks_exact(inputs)
            .map(|row| largest(row) / f64::from(grid.largest))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn never_worse_than_the_nearest_step(seed in any::<u64>(), inputs in 1usize..40, int4 in any::<bool>()) {
            let grid = if int4 { INT4 } else { INT8 };
            let reaches = if int4 { &REACHES[..] } else { &REACHES[..1] };
            let (moments, weights, _) = example(seed, inputs, 3);
            let columns: Vec<Column> = (0..inputs).map(|input| (input, 1.0)).collect();
            let covariance = Covariance::of(&moments, &columns).unwrap();
            let widest = widest(&weights, inputs, grid);
            let rounded = covariance.round(&weights, grid, &widest, reaches, &|scale| scale);
            let ordered = |row: &[f64]| covariance.order.iter().map(|&i| row[i]).collect::<Vec<_>>();
            for (output, row) in weights.chunks_exact(inputs).enumerate() {
                let nearest: Vec<i8> = row.iter().map(|w| grid.nearest(w / widest[output])).collect();
                let (integers, scale) = &rounded[output];
                let error = |integers: &[i8], scale: f64| {
                    let integers: Vec<i8> = covariance.order.iter().map(|&i| integers[i]).collect();
                    error(&covariance, &ordered(row), &integers, scale)
                };
                let (plain, looked) = (error(&nearest, widest[output]), error(integers, *scale));
                prop_assert!(looked <= plain * (1.0 + 1e-9), "{} > {}", looked, plain);
                for &integer in integers {
                    prop_assert!(integer.unsigned_abs() <= grid.largest.unsigned_abs());
                    prop_assert_eq!(integer % grid.step, 0);
                }
            }
        }
    }

    #[test]
    fn looking_at_the_outputs_pays() {
        let (mut nearest, mut looked) = (0.0, 0.0);
        for seed in 0..4 {
            let (moments, weights, _) = example(seed, 32, 8);
            let columns: Vec<Column> = (0..32).map(|input| (input, 1.0)).collect();
            let covariance = Covariance::of(&moments, &columns).unwrap();
            let widest = widest(&weights, 32, INT4);
            for (row, &scale) in weights.chunks_exact(32).zip(&widest) {
                let row: Vec<f64> = covariance.order.iter().map(|&i| row[i]).collect();
                let plain: Vec<i8> = row.iter().map(|w| INT4.nearest(w / scale)).collect();
                nearest += error(&covariance, &row, &plain, scale);
                let (scale, integers) = dispatch!(Level::new(), simd => {
                    covariance.round_row(simd, &row, INT4, scale, &REACHES, &|scale| scale)
                });
                looked += error(&covariance, &row, &integers, scale);
            }
        }
        assert!(looked < 0.6 * nearest, "{looked} against {nearest}");
    }

    #[test]
    fn the_number_of_threads_does_not_count() {
        let (moments, weights, _) = example(7, 40, 24);
        let columns: Vec<Column> = (0..40).map(|input| (input, 1.0 + input as f64)).collect();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let covariance = Covariance::of(&moments, &columns).unwrap();
                let widest = widest(&weights, 40, INT4);
                covariance.round(&weights, INT4, &widest, &REACHES, &|scale| scale)
            })
        };
        assert_eq!(run(1), run(3));
    }
}
