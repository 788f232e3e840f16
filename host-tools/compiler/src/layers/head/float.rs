//! Head: mean over tokens, perhaps an MLP, and a linear layer.

use crate::network::Head;
use crate::network::float::{Observe, View, activate};
use tadpool_float::normalise;

/// The class scores.
pub(crate) fn run(op: &Head, x: &[f32], view: Observe<'_>) -> Vec<f32> {
    let normed = op.norm.as_ref().map(|norm| normalise(norm, x));
    let mut mean = mean(normed.as_deref().unwrap_or(x), op.reads());
    if let Some(norm) = &op.mean_norm {
        mean = normalise(norm, &mean);
    }
    if let Some(hidden) = &op.hidden {
        mean = hidden.fc1.matrix().product(&mean);
        view(View::Preactivation, hidden.fc1.outputs, &mean);
        activate(hidden.activation, &mut mean);
        view(View::Hidden, hidden.fc1.outputs, &mean);
        if let Some(norm) = &hidden.norm {
            mean = normalise(norm, &mean);
        }
    }
    op.linear.matrix().product(&mean)
}

/// Mean over tokens of each channel.
fn mean(x: &[f32], channels: usize) -> Vec<f32> {
    let mut sum = vec![0.0f64; channels];
    for token in x.chunks_exact(channels.max(1)) {
        sum.iter_mut()
            .zip(token)
            .for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let tokens = x.len() as f64 / channels as f64;
    sum.iter().map(|sum| (sum / tokens) as f32).collect()
}
