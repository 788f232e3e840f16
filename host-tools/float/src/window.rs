//! Windows over a map.

use std::ops::Range;

use crate::shape::Shape;

/// The windows of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows and columns.
    pub size: [usize; 2],
    /// Rows and columns from one window to the next.
    pub stride: [usize; 2],
    /// Rows above the map and columns left of it where the first window begins.
    pub padding: [usize; 2],
}

/// Copies the window of the output at row `at[0]`, column `at[1]`; what is outside of the map
/// is zero. `patch` has the window's places, channels fastest.
pub fn gather(x: &[f32], shape: Shape, window: Window, at: [usize; 2], patch: &mut [f32]) {
    let Window {
        size,
        stride,
        padding,
    } = window;
    let places = (0..size[0]).flat_map(|dy| (0..size[1]).map(move |dx| [dy, dx]));
    for (place, values) in places.zip(patch.chunks_exact_mut(shape.channels)) {
        let inside = |axis: usize, count: usize| {
            let from = (at[axis] * stride[axis] + place[axis]).checked_sub(padding[axis]);
            from.filter(|&from| from < count)
        };
        match (inside(0, shape.height), inside(1, shape.width)) {
            (Some(row), Some(column)) => {
                let token = row * shape.width + column;
                values.copy_from_slice(&x[token * shape.channels..][..shape.channels]);
            }
            _ => values.fill(0.0),
        }
    }
}

/// Convolves each channel with a window of its own, the output at its middle; padding is zero.
///
/// `weight` is `window x channels`, channels fastest; `bias` has a term a channel.
pub fn depthwise(
    x: &[f32],
    shape: Shape,
    window: [usize; 2],
    weight: &[f32],
    bias: &[f32],
) -> Vec<f32> {
    let channels = shape.channels;
    let [rows, columns] = window;
    let (top, left) = (rows / 2, columns / 2);
    let mut y = Vec::with_capacity(x.len());
    for _ in 0..shape.tokens() {
        y.extend_from_slice(bias);
    }
    for (index, sums) in y.chunks_exact_mut(channels.max(1)).enumerate() {
        let (row, column) = (index / shape.width, index % shape.width);
        for dy in 0..rows {
            let Some(from) = (row + dy).checked_sub(top).filter(|&r| r < shape.height) else {
                continue;
            };
            for dx in 0..columns {
                let at = (column + dx).checked_sub(left);
                let Some(at) = at.filter(|&c| c < shape.width) else {
                    continue;
                };
                let token = &x[(from * shape.width + at) * channels..][..channels];
                let weights = &weight[(dy * columns + dx) * channels..][..channels];
                for ((sum, value), weight) in sums.iter_mut().zip(token).zip(weights) {
                    *sum += value * weight;
                }
            }
        }
    }
    y
}

/// The mean of a square window of `size` around each token, of the tokens that are there.
pub fn pooled(x: &[f32], shape: Shape, size: usize) -> Vec<f32> {
    let around = |at: usize, count: usize| -> Range<usize> {
        at.saturating_sub(size / 2)..(at + size / 2 + 1).min(count)
    };
    let mut y = vec![0.0f32; x.len()];
    for (index, sums) in y.chunks_exact_mut(shape.channels.max(1)).enumerate() {
        let rows = around(index / shape.width, shape.height);
        let columns = around(index % shape.width, shape.width);
        for row in rows.clone() {
            for column in columns.clone() {
                let token = &x[(row * shape.width + column) * shape.channels..][..shape.channels];
                sums.iter_mut().zip(token).for_each(|(sum, x)| *sum += x);
            }
        }
        let count = (rows.len() * columns.len()) as f32;
        sums.iter_mut().for_each(|sum| *sum /= count);
    }
    y
}

/// `matrix * x` over the tokens of a map of `channels`; `matrix` has a row an output token and
/// a column an input token.
pub fn mix_tokens(matrix: &[f32], x: &[f32], channels: usize) -> Vec<f32> {
    let tokens = x.len() / channels.max(1);
    let mut y = vec![0.0f32; x.len()];
    let rows = matrix.chunks_exact(tokens.max(1));
    for (sums, row) in y.chunks_exact_mut(channels.max(1)).zip(rows) {
        for (weight, token) in row.iter().zip(x.chunks_exact(channels.max(1))) {
            for (sum, value) in sums.iter_mut().zip(token) {
                *sum += weight * value;
            }
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        height: 2,
        width: 3,
        channels: 1,
    };
    const X: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

    #[test]
    fn a_depthwise_convolution_pads_with_zeros() {
        let y = depthwise(&X, SHAPE, [3, 3], &[1.0; 9], &[0.5]);
        assert_eq!(y, [12.5, 21.5, 16.5, 12.5, 21.5, 16.5]);
    }

    #[test]
    fn a_pool_does_not_count_padding() {
        assert_eq!(pooled(&X, SHAPE, 3), [3.0, 3.5, 4.0, 3.0, 3.5, 4.0]);
        assert_eq!(pooled(&X, SHAPE, 1), X);
    }

    #[test]
    fn a_window_over_the_border_is_padded_with_zeros() {
        let window = Window {
            size: [2, 2],
            stride: [2, 2],
            padding: [1, 0],
        };
        let mut patch = [f32::NAN; 4];
        gather(&X, SHAPE, window, [0, 1], &mut patch);
        assert_eq!(patch, [0.0, 0.0, 3.0, 0.0]);
    }

    #[test]
    fn tokens_are_mixed_channel_by_channel() {
        let y = mix_tokens(&[0.0, 1.0, 2.0, -1.0], &[1.0, 10.0, 3.0, 30.0], 2);
        assert_eq!(y, [3.0, 30.0, -1.0, -10.0]);
    }
}
