//! Executes the MetaFormer IR in `f32`: what calibration observes, and what the
//! quantized network is measured against.
//!
//! Maps are `height x width x channels`, channels fastest. Statistics of norms
//! are accumulated in `f64`. Each [kind of layer](crate::layers) runs itself; here is
//! what they share.

use tadpool_float::{Matrix, depthwise, gelu};

use crate::network::{Activation, Depthwise, Layer, Linear, MetaFormer, Residual, Shape};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// The input of the layer's first matrix: the windows of a patch
    /// embedding, one row of tokens at a time, and the normed map of a layer with a
    /// branch, without the norm's weight and bias. A pooling mixer, which has no
    /// matrix, shows it if each token has a norm of its own.
    Input,
    /// `u = fc1(norm(x))` of a channel MLP, a separable convolution or an MLP head.
    Preactivation,
    /// `h = activation(u)` of the same.
    Hidden,
    /// `depthwise(h)` of a separable convolution.
    Depthwise,
    /// `act2(depthwise(h))` of a separable convolution that has a second activation.
    DepthwiseHidden,
    /// `matrix * norm(x)` of a random mixing.
    Mixed,
    /// Queries of an attention.
    Queries,
    /// Keys of an attention.
    Keys,
    /// Values of an attention.
    Values,
    /// The attention's weighted sums of the values, before its projection.
    Attended,
    /// The layer's output; every layer has it, after its other maps.
    Output,
}

/// Reports a map of the layer that is executed: which, its channels, its values.
pub(crate) type Observe<'a> = &'a mut dyn FnMut(View, usize, &[f32]);

/// Runs one image, normalised and in the network's channel order; the class
/// scores, or the last feature map if the network has no head.
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
/// scores, or the last feature map, or `x` itself behind the last layer.
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
        x = layer.op.layer().run(layer, x, &mut view);
        view(View::Output, layer.output.channels, &x);
    }
    x
}

/// `x = res_scale * x + layer_scale * branch`, token by token.
pub(crate) fn add_branch(x: &mut [f32], branch: &[f32], residual: &Residual) {
    tadpool_float::add_branch(x, branch, &residual.res_scale, &residual.layer_scale);
}

/// The activation of every value.
pub(crate) fn activate(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::Gelu => gelu(values),
        Activation::Relu => values.iter_mut().for_each(|value| *value = value.max(0.0)),
        _ => values
            .iter_mut()
            .for_each(|value| *value = activation.apply(f64::from(*value)) as f32),
    }
}

impl Linear {
    /// The weights as products take them.
    pub(crate) fn matrix(&self) -> Matrix {
        Matrix::new(self.inputs, &self.weight, &self.bias)
    }
}

impl Depthwise {
    /// The convolution of a map.
    pub(crate) fn run(&self, shape: Shape, x: &[f32]) -> Vec<f32> {
        depthwise(x, shape, self.window, &self.weight, &self.bias)
    }
}
