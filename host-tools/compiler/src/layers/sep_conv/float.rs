//! Separable convolution: pointwise, depthwise, pointwise.

use crate::network::float::{Observe, View, activate, add_branch};
use crate::network::{SepConv, Shape};
use tadpool_float::{centre, normalise};

/// Updates `x`.
pub(crate) fn run(op: &SepConv, shape: Shape, x: &mut [f32], view: Observe<'_>) {
    view(View::Input, op.fc1.inputs, &centre(&op.norm, x));
    let n = normalise(&op.norm, x);
    let hidden_channels = op.fc1.outputs;
    let mut hidden = op.fc1.matrix().product(&n);
    view(View::Preactivation, hidden_channels, &hidden);
    if let Some(activation) = op.act1 {
        activate(activation, &mut hidden);
    }
    view(View::Hidden, hidden_channels, &hidden);
    let shape = Shape {
        channels: hidden_channels,
        ..shape
    };
    let mut mixed = op.depthwise.run(shape, &hidden);
    view(View::Depthwise, hidden_channels, &mixed);
    if let Some(activation) = op.act2 {
        activate(activation, &mut mixed);
        view(View::DepthwiseHidden, hidden_channels, &mixed);
    }
    let branch = op.fc2.matrix().product(&mixed);
    add_branch(x, &branch, &op.residual);
}
