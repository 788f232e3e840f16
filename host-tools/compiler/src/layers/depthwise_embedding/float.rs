//! Depthwise embedding, one window after the other.

use super::{DepthwiseEmbedding, Reduction};
use crate::network::Layer;
use crate::network::float::activate;

/// The layer's output.
pub(crate) fn run(op: &DepthwiseEmbedding, layer: &Layer, x: &[f32]) -> Vec<f32> {
    let (input, output) = (layer.input, layer.output);
    let channels = input.channels;
    let [rows, columns] = op.window;
    let mut y = Vec::with_capacity(output.elements());
    for token in 0..output.tokens() {
        let at = [token / output.width, token % output.width];
        let mut result = match &op.reduction {
            Reduction::Sum { bias, .. } => bias.clone(),
            Reduction::Mean { .. } => vec![0.0; channels],
            Reduction::Maximum => vec![f32::NEG_INFINITY; channels],
        };
        let mut count = 0;
        for place in 0..rows * columns {
            let from = (at[0] * op.stride[0] + place / columns).checked_sub(op.padding[0]);
            let across = (at[1] * op.stride[1] + place % columns).checked_sub(op.padding[1]);
            let (Some(from), Some(across)) = (
                from.filter(|&row| row < input.height),
                across.filter(|&column| column < input.width),
            ) else {
                continue;
            };
            count += 1;
            let values = &x[(from * input.width + across) * channels..][..channels];
            let values = result.iter_mut().zip(values);
            match &op.reduction {
                Reduction::Sum { weight, .. } => {
                    let weights = &weight[place * channels..][..channels];
                    values
                        .zip(weights)
                        .for_each(|((y, x), weight)| *y += x * weight);
                }
                Reduction::Mean { .. } => values.for_each(|(y, x)| *y += x),
                Reduction::Maximum => values.for_each(|(y, x)| *y = y.max(*x)),
            }
        }
        if let Reduction::Mean { counts_padding } = op.reduction {
            let count = if counts_padding {
                rows * columns
            } else {
                count
            };
            result.iter_mut().for_each(|y| *y /= count as f32);
        }
        y.extend(result);
    }
    if let Some(rectifier) = op.rectifier {
        activate(rectifier, &mut y);
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{LayerName, Op, Shape};

    #[test]
    fn windows_over_the_border_are_cut_off() {
        let shape = |height, width| Shape {
            height,
            width,
            channels: 1,
        };
        let reduced = |reduction| {
            let op = DepthwiseEmbedding {
                window: [2, 2],
                stride: [2, 2],
                padding: [1, 0],
                reduction,
                rectifier: None,
            };
            let layer = Layer {
                name: LayerName::Embedding { stage: 2 },
                nodes: Vec::new(),
                input: shape(3, 2),
                output: shape(2, 1),
                op: Op::DepthwiseEmbedding(op.clone()),
            };
            run(&op, &layer, &[-1.0, -3.0, 4.0, 5.0, 6.0, 9.0])
        };
        assert_eq!(reduced(Reduction::Maximum), [-1.0, 9.0]);
        let mean = |counts_padding| reduced(Reduction::Mean { counts_padding });
        assert_eq!(mean(false), [-2.0, 6.0]);
        assert_eq!(mean(true), [-1.0, 6.0]);
        let sum = Reduction::Sum {
            weight: vec![10.0, 20.0, 1.0, 2.0],
            bias: vec![0.5],
        };
        assert_eq!(reduced(sum), [-6.5, 164.5]);
    }
}
