//! Patch embedding, row by row.

use tadpool_float::{Window, gather};

use crate::network::float::{Observe, View, activate};
use crate::network::{Layer, PatchEmbedding};

/// The layer's output.
pub(crate) fn run(op: &PatchEmbedding, layer: &Layer, x: &[f32], view: Observe<'_>) -> Vec<f32> {
    let output = layer.output;
    let [top, left, ..] = op.padding;
    let windows = Window {
        size: op.window,
        stride: op.stride,
        padding: [top, left],
    };
    let matrix = op.linear.matrix();
    let window = op.linear.inputs;
    let mut patches = vec![0.0; output.width * window];
    let mut y = vec![0.0; output.elements()];
    for (row, y) in y
        .chunks_exact_mut(output.width * output.channels)
        .enumerate()
    {
        for (column, patch) in patches.chunks_exact_mut(window).enumerate() {
            gather(x, layer.input, windows, [row, column], patch);
        }
        view(View::Input, window, &patches);
        matrix.apply(&patches, y);
    }
    if let Some(rectifier) = op.rectifier {
        activate(rectifier, &mut y);
    }
    y
}
