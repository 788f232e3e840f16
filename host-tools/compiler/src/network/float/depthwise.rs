//! A convolution of every channel with a window of its own.

use crate::network::{Depthwise, Shape};

/// The depthwise convolution of a map; padding is zero.
pub(crate) fn depthwise(op: &Depthwise, shape: Shape, x: &[f32]) -> Vec<f32> {
    let channels = shape.channels;
    let [rows, columns] = op.window;
    let (top, left) = (rows / 2, columns / 2);
    let mut y = Vec::with_capacity(x.len());
    for _ in 0..shape.tokens() {
        y.extend_from_slice(&op.bias);
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
                let weights = &op.weight[(dy * columns + dx) * channels..][..channels];
                for ((sum, value), weight) in sums.iter_mut().zip(token).zip(weights) {
                    *sum += value * weight;
                }
            }
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_depthwise_convolution_pads_with_zeros() {
        let op = Depthwise {
            window: [3, 3],
            weight: vec![1.0; 9],
            bias: vec![0.5],
        };
        let shape = Shape {
            height: 2,
            width: 3,
            channels: 1,
        };
        let y = depthwise(&op, shape, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(y, [12.5, 21.5, 16.5, 12.5, 21.5, 16.5]);
    }
}
