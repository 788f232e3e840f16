//! Patch embedding, row by row.

use crate::network::float::matrix::Matrix;
use crate::network::float::{Observe, View, activate};
use crate::network::{Layer, PatchEmbedding, Shape};

/// The layer's output.
pub(crate) fn run(op: &PatchEmbedding, layer: &Layer, x: &[f32], view: Observe<'_>) -> Vec<f32> {
    let (input, output) = (layer.input, layer.output);
    let matrix = Matrix::new(&op.linear);
    let window = op.linear.inputs;
    let mut patches = vec![0.0; output.width * window];
    let mut y = vec![0.0; output.elements()];
    for (row, y) in y
        .chunks_exact_mut(output.width * output.channels)
        .enumerate()
    {
        for (column, patch) in patches.chunks_exact_mut(window).enumerate() {
            gather(op, input, x, [row, column], patch);
        }
        view(View::Input, window, &patches);
        matrix.apply(&patches, y);
    }
    if let Some(rectifier) = op.rectifier {
        activate(rectifier, &mut y);
    }
    y
}

/// Copies the window of one output token; padding is 0.
fn gather(op: &PatchEmbedding, input: Shape, x: &[f32], at: [usize; 2], patch: &mut [f32]) {
    let [top, left, ..] = op.padding;
    let places = (0..op.window[0]).flat_map(|dy| (0..op.window[1]).map(move |dx| (dy, dx)));
    for ((dy, dx), values) in places.zip(patch.chunks_exact_mut(input.channels)) {
        let y = (at[0] * op.stride[0] + dy)
            .checked_sub(top)
            .filter(|&y| y < input.height);
        let x_at = (at[1] * op.stride[1] + dx)
            .checked_sub(left)
            .filter(|&x| x < input.width);
        match (y, x_at) {
            (Some(y), Some(x_at)) => {
                let token = y * input.width + x_at;
                values.copy_from_slice(&x[token * input.channels..][..input.channels]);
            }
            _ => values.fill(0.0),
        }
    }
}
