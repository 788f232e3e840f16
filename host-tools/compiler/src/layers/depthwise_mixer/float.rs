//! Depthwise mixer; padding is zero, behind the norm.

use super::DepthwiseMixer;
use crate::network::float::{Observe, View, add_branch};
use crate::network::{NormScope, Shape};
use tadpool_float::{centre, normalise};

/// Updates `x`.
pub(crate) fn run(op: &DepthwiseMixer, shape: Shape, x: &mut [f32], view: Observe<'_>) {
    let branch = match &op.norm {
        None => op.depthwise.run(shape, x),
        Some(norm) => {
            if norm.scope == NormScope::Token {
                view(View::Input, shape.channels, &centre(norm, x));
            }
            op.depthwise.run(shape, &normalise(norm, x))
        }
    };
    view(View::Depthwise, shape.channels, &branch);
    add_branch(x, &branch, &op.residual);
}
