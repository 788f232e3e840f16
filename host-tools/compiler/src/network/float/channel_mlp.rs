//! Channel MLP.

use super::matrix::Matrix;
use super::norm::{centre, normalise};
use super::{Observe, View, activate, add_branch};
use crate::network::ChannelMlp;

/// Updates `x`.
pub(super) fn run(op: &ChannelMlp, x: &mut [f32], view: Observe<'_>) {
    view(View::Input, op.fc1.inputs, &centre(&op.norm, x));
    let n = normalise(&op.norm, x);
    let mut hidden = Matrix::new(&op.fc1).product(&n);
    view(View::Preactivation, op.fc1.outputs, &hidden);
    activate(op.activation, &mut hidden);
    view(View::Hidden, op.fc1.outputs, &hidden);
    let branch = Matrix::new(&op.fc2).product(&hidden);
    add_branch(x, &branch, &op.residual);
}
