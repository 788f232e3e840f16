//! Multi-head self-attention over all tokens of a map.

use crate::network::Attention;
use crate::network::float::{Observe, View, add_branch};
use tadpool_float::{attend, centre, normalise};

/// Updates `x`.
pub(crate) fn run(op: &Attention, x: &mut [f32], view: Observe<'_>) {
    view(View::Input, op.qkv.inputs, &centre(&op.norm, x));
    let n = normalise(&op.norm, x);
    let qkv = op.qkv.matrix().product(&n);
    let inner = op.projection.inputs.max(1);
    for (block, kind) in [View::Queries, View::Keys, View::Values]
        .into_iter()
        .enumerate()
    {
        let blocks = qkv.chunks_exact(inner).skip(block).step_by(3);
        view(kind, inner, &blocks.flatten().copied().collect::<Vec<_>>());
    }
    let attended = attend(&qkv, inner, op.heads, op.scale);
    view(View::Attended, op.projection.inputs, &attended);
    let branch = op.projection.matrix().product(&attended);
    add_branch(x, &branch, &op.residual);
}
