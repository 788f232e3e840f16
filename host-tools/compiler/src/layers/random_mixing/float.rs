//! Random mixing: a fixed matrix over the tokens.

use crate::network::RandomMixing;
use crate::network::float::norm::{centre, normalise};
use crate::network::float::{Observe, View, add_branch};

/// Updates `x`.
pub(crate) fn run(op: &RandomMixing, x: &mut [f32], view: Observe<'_>) {
    view(View::Input, op.norm.gamma.len(), &centre(&op.norm, x));
    let n = normalise(&op.norm, x);
    let channels = op.norm.gamma.len().max(1);
    let tokens = n.len() / channels;
    let mut branch = vec![0.0f32; n.len()];
    let rows = op.matrix.chunks_exact(tokens.max(1));
    for (sums, row) in branch.chunks_exact_mut(channels).zip(rows) {
        for (weight, token) in row.iter().zip(n.chunks_exact(channels)) {
            for (sum, value) in sums.iter_mut().zip(token) {
                *sum += weight * value;
            }
        }
    }
    view(View::Mixed, channels, &branch);
    add_branch(x, &branch, &op.residual);
}
