//! Channel MLP.

use crate::network::ChannelMlp;
use crate::network::float::{Observe, View, activate, add_branch};
use tadpool_float::{centre, normalise};

/// Updates `x`.
pub(crate) fn run(op: &ChannelMlp, x: &mut [f32], view: Observe<'_>) {
    view(View::Input, op.fc1.inputs, &centre(&op.norm, x));
    let n = normalise(&op.norm, x);
    let mut hidden = op.fc1.matrix().product(&n);
    view(View::Preactivation, op.fc1.outputs, &hidden);
    activate(op.activation, &mut hidden);
    view(View::Hidden, op.fc1.outputs, &hidden);
    let branch = op.fc2.matrix().product(&hidden);
    add_branch(x, &branch, &op.residual);
}
