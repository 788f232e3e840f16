//! Random mixing: a fixed matrix over the tokens.

use crate::network::RandomMixing;
use crate::network::float::{Observe, View, add_branch};
use tadpool_float::{centre, mix_tokens, normalise};

/// Updates `x`.
pub(crate) fn run(op: &RandomMixing, x: &mut [f32], view: Observe<'_>) {
    view(View::Input, op.norm.gamma.len(), &centre(&op.norm, x));
    let n = normalise(&op.norm, x);
    let channels = op.norm.gamma.len().max(1);
    let branch = mix_tokens(&op.matrix, &n, channels);
    view(View::Mixed, channels, &branch);
    add_branch(x, &branch, &op.residual);
}
