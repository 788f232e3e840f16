//! Executes the MetaFormer IR in `f32`: what calibration observes, and what the
//! quantized network is measured against.
//!
//! Maps are `height x width x channels`, channels fastest. Statistics of norms
//! are accumulated in `f64`.

mod gelu;
mod matrix;

use crate::ir::{
    Activation, ChannelMlp, Head, Identity, Layer, MetaFormer, Norm, Op, PatchEmbedding, Pooling,
    Shape,
};
use matrix::Matrix;

/// A map that a layer computed.
#[derive(Debug, Clone, Copy)]
pub struct LayerView<'a> {
    /// Index of the layer in [`MetaFormer::layers`].
    pub index: usize,
    /// The layer.
    pub layer: &'a Layer,
    /// Which of the layer's maps.
    pub kind: View,
    /// Values per token.
    pub channels: usize,
    /// `tokens x channels`.
    pub values: &'a [f32],
}

/// Which of a layer's maps is observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// What the first matrix of the layer reads: the windows of a patch
    /// embedding, one row of tokens at a time, and the normed map of a channel
    /// MLP, without the norm's weight and bias.
    Input,
    /// `u = fc1(norm(x))` of a channel MLP.
    Preactivation,
    /// `h = activation(u)` of a channel MLP.
    Hidden,
    /// What the layer writes; every layer has it, after its other maps.
    Output,
}

/// Runs one image, normalised and in the network's channel order; the class
/// scores.
///
/// `observe` is called for every map in execution order.
///
/// # Panics
/// The image does not have [`MetaFormer::input`]'s number of elements.
pub fn run(model: &MetaFormer, image: &[f32], observe: impl FnMut(LayerView<'_>)) -> Vec<f32> {
    assert_eq!(
        image.len(),
        model.input.elements(),
        "the image's size is not the network's"
    );
    resume(model, 0, image.to_vec(), observe)
}

/// Runs the layers from `first` on, on the map `x` that it reads; the class
/// scores, or `x` itself behind the last layer.
pub fn resume(
    model: &MetaFormer,
    first: usize,
    mut x: Vec<f32>,
    mut observe: impl FnMut(LayerView<'_>),
) -> Vec<f32> {
    for (index, layer) in model.layers.iter().enumerate().skip(first) {
        let mut view = |kind, channels, values: &[f32]| {
            observe(LayerView {
                index,
                layer,
                kind,
                channels,
                values,
            });
        };
        match &layer.op {
            Op::PatchEmbedding(op) => x = patch_embedding(op, layer, &x, &mut view),
            Op::Pooling(op) => pooling(op, layer.input, &mut x),
            Op::Identity(op) => identity(op, &mut x),
            Op::ChannelMlp(op) => channel_mlp(op, &mut x, &mut view),
            Op::Head(op) => x = head(op, &x),
        }
        view(View::Output, layer.output.channels, &x);
    }
    x
}

fn patch_embedding(
    op: &PatchEmbedding,
    layer: &Layer,
    x: &[f32],
    view: &mut impl FnMut(View, usize, &[f32]),
) -> Vec<f32> {
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
    y
}

/// Copies the window of one output token; padding is 0.
fn gather(op: &PatchEmbedding, input: Shape, x: &[f32], at: [usize; 2], patch: &mut [f32]) {
    let [top, left, ..] = op.padding;
    let places = (0..op.kernel[0]).flat_map(|dy| (0..op.kernel[1]).map(move |dx| (dy, dx)));
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

fn pooling(op: &Pooling, shape: Shape, x: &mut [f32]) {
    let n = normalise(&op.norm, x);
    let reach = op.kernel / 2;
    let mut sum = vec![0.0f32; shape.channels];
    for row in 0..shape.height {
        let rows = row.saturating_sub(reach)..(row + reach + 1).min(shape.height);
        for column in 0..shape.width {
            let columns = column.saturating_sub(reach)..(column + reach + 1).min(shape.width);
            sum.fill(0.0);
            for y in rows.clone() {
                for x in columns.clone() {
                    let token = &n[(y * shape.width + x) * shape.channels..][..shape.channels];
                    sum.iter_mut().zip(token).for_each(|(sum, n)| *sum += n);
                }
            }
            let count = (rows.len() * columns.len()) as f32;
            let start = (row * shape.width + column) * shape.channels;
            let values = x[start..][..shape.channels].iter_mut().zip(&n[start..]);
            for (((x, n), sum), scale) in values.zip(&sum).zip(&op.layer_scale) {
                *x += scale * (sum / count - n);
            }
        }
    }
}

fn identity(op: &Identity, x: &mut [f32]) {
    let n = normalise(&op.norm, x);
    add_branch(x, &n, &op.layer_scale);
}

fn channel_mlp(op: &ChannelMlp, x: &mut [f32], view: &mut impl FnMut(View, usize, &[f32])) {
    view(View::Input, op.fc1.inputs, &centred(op.norm.epsilon, x));
    let n = normalise(&op.norm, x);
    let tokens = x.len() / op.fc1.inputs.max(1);
    let mut hidden = vec![0.0; tokens * op.fc1.outputs];
    Matrix::new(&op.fc1).apply(&n, &mut hidden);
    view(View::Preactivation, op.fc1.outputs, &hidden);
    match op.activation {
        Activation::Gelu => hidden
            .iter_mut()
            .for_each(|value| *value = gelu::gelu(*value)),
        Activation::Relu => hidden.iter_mut().for_each(|value| *value = value.max(0.0)),
    }
    view(View::Hidden, op.fc1.outputs, &hidden);
    let mut branch = vec![0.0; x.len()];
    Matrix::new(&op.fc2).apply(&hidden, &mut branch);
    add_branch(x, &branch, &op.layer_scale);
}

fn head(op: &Head, x: &[f32]) -> Vec<f32> {
    let normed = op.norm.as_ref().map(|norm| normalise(norm, x));
    let x = normed.as_deref().unwrap_or(x);
    let channels = op.linear.inputs;
    let mut sum = vec![0.0f64; channels];
    for token in x.chunks_exact(channels.max(1)) {
        sum.iter_mut()
            .zip(token)
            .for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let tokens = x.len() as f64 / channels as f64;
    let mean: Vec<f32> = sum.iter().map(|sum| (sum / tokens) as f32).collect();
    let mut scores = vec![0.0; op.linear.outputs];
    Matrix::new(&op.linear).apply(&mean, &mut scores);
    scores
}

/// `x += layer_scale * branch`, token by token.
fn add_branch(x: &mut [f32], branch: &[f32], layer_scale: &[f32]) {
    let channels = layer_scale.len().max(1);
    for (x, branch) in x
        .chunks_exact_mut(channels)
        .zip(branch.chunks_exact(channels))
    {
        for ((x, branch), scale) in x.iter_mut().zip(branch).zip(layer_scale) {
            *x += scale * branch;
        }
    }
}

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` with one mean and one
/// variance for the whole map.
fn normalise(norm: &Norm, x: &[f32]) -> Vec<f32> {
    let (mean, inverse) = statistics(norm.epsilon, x);
    let factors: Vec<f32> = norm
        .gamma
        .iter()
        .map(|g| (f64::from(*g) * inverse) as f32)
        .collect();
    let mean = mean as f32;
    let mut n = Vec::with_capacity(x.len());
    for token in x.chunks_exact(norm.gamma.len().max(1)) {
        let parameters = factors.iter().zip(&norm.beta);
        n.extend(
            token
                .iter()
                .zip(parameters)
                .map(|(x, (f, beta))| (x - mean) * f + beta),
        );
    }
    n
}

/// `(x - mean) / sqrt(variance + epsilon)`.
fn centred(epsilon: f32, x: &[f32]) -> Vec<f32> {
    let (mean, inverse) = statistics(epsilon, x);
    let (mean, inverse) = (mean as f32, inverse as f32);
    x.iter().map(|x| (x - mean) * inverse).collect()
}

/// The mean of a map, and one over its deviation.
fn statistics(epsilon: f32, x: &[f32]) -> (f64, f64) {
    let count = x.len() as f64;
    let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = x
        .iter()
        .map(|&x| (f64::from(x) - mean).powi(2))
        .sum::<f64>()
        / count;
    (mean, 1.0 / (variance + f64::from(epsilon)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_has_mean_beta_and_deviation_gamma() {
        let norm = Norm {
            gamma: vec![2.0, 2.0],
            beta: vec![1.0, 1.0],
            epsilon: 0.0,
        };
        let n = normalise(&norm, &[1.0, 2.0, 3.0, 6.0]);
        let mean = n.iter().sum::<f32>() / 4.0;
        let variance = n.iter().map(|n| (n - mean).powi(2)).sum::<f32>() / 4.0;
        assert!(
            (mean - 1.0).abs() < 1e-6 && (variance - 4.0).abs() < 1e-5,
            "{mean} {variance}"
        );
    }

    #[test]
    fn a_pool_does_not_count_padding() {
        let op = Pooling {
            norm: Norm {
                gamma: vec![1.0],
                beta: vec![5.0],
                epsilon: 1e-6,
            },
            kernel: 3,
            layer_scale: vec![1.0],
        };
        // A constant map is its own pool: the mixer adds nothing, also at borders.
        let mut x = vec![3.0; 12];
        pooling(
            &op,
            Shape {
                height: 3,
                width: 4,
                channels: 1,
            },
            &mut x,
        );
        assert_eq!(x, vec![3.0; 12]);
    }
}
