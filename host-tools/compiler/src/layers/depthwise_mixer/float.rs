//! Depthwise mixer; padding is zero, behind the norm.

use super::DepthwiseMixer;
use crate::network::float::depthwise::depthwise;
use crate::network::float::norm::{centre, normalise};
use crate::network::float::{Observe, View, add_branch};
use crate::network::{NormScope, Shape};

/// Updates `x`.
pub(crate) fn run(op: &DepthwiseMixer, shape: Shape, x: &mut [f32], view: Observe<'_>) {
    let branch = match &op.norm {
        None => depthwise(&op.depthwise, shape, x),
        Some(norm) => {
            if norm.scope == NormScope::Token {
                view(View::Input, shape.channels, &centre(norm, x));
            }
            depthwise(&op.depthwise, shape, &normalise(norm, x))
        }
    };
    view(View::Depthwise, shape.channels, &branch);
    add_branch(x, &branch, &op.residual);
}
