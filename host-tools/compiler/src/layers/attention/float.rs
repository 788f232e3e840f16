//! Multi-head self-attention over all tokens of a map.

use crate::network::Attention;
use crate::network::float::matrix::Matrix;
use crate::network::float::norm::{centre, normalise};
use crate::network::float::{Observe, View, add_branch};

/// Updates `x`.
pub(crate) fn run(op: &Attention, x: &mut [f32], view: Observe<'_>) {
    view(View::Input, op.qkv.inputs, &centre(&op.norm, x));
    let n = normalise(&op.norm, x);
    let qkv = Matrix::new(&op.qkv).product(&n);
    let inner = op.projection.inputs.max(1);
    for (block, kind) in [View::Queries, View::Keys, View::Values]
        .into_iter()
        .enumerate()
    {
        let blocks = qkv.chunks_exact(inner).skip(block).step_by(3);
        view(kind, inner, &blocks.flatten().copied().collect::<Vec<_>>());
    }
    let attended = attend(op, &qkv);
    view(View::Attended, op.projection.inputs, &attended);
    let branch = Matrix::new(&op.projection).product(&attended);
    add_branch(x, &branch, &op.residual);
}

/// `softmax(scale * queries * keys^T) * values` of every head.
fn attend(op: &Attention, qkv: &[f32]) -> Vec<f32> {
    let inner = op.projection.inputs;
    let size = inner / op.heads.max(1);
    let tokens = qkv.len() / op.qkv.outputs.max(1);
    let part = |token: usize, block: usize, head: usize| {
        &qkv[token * 3 * inner + block * inner + head * size..][..size]
    };
    let mut attended = vec![0.0; tokens * inner];
    let mut weights = vec![0.0f32; tokens];
    for (query, output) in attended.chunks_exact_mut(inner.max(1)).enumerate() {
        for (head, output) in output.chunks_exact_mut(size.max(1)).enumerate() {
            for (key, weight) in weights.iter_mut().enumerate() {
                let pairs = part(query, 0, head).iter().zip(part(key, 1, head));
                *weight = op.scale * pairs.map(|(q, k)| q * k).sum::<f32>();
            }
            softmax(&mut weights);
            for (key, weight) in weights.iter().enumerate() {
                for (output, value) in output.iter_mut().zip(part(key, 2, head)) {
                    *output += weight * value;
                }
            }
        }
    }
    attended
}

fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f64;
    for value in values.iter_mut() {
        *value = (*value - largest).exp();
        sum += f64::from(*value);
    }
    for value in values {
        *value = (f64::from(*value) / sum) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Linear, Norm, NormScope, Residual};

    #[test]
    fn each_head_weighs_values_by_its_own_scores() {
        let linear = |outputs, inputs| Linear {
            outputs,
            inputs,
            weight: vec![0.0; outputs * inputs],
            bias: vec![0.0; outputs],
        };
        let op = Attention {
            norm: Norm {
                scope: NormScope::Token,
                centred: true,
                gamma: vec![1.0; 2],
                beta: vec![0.0; 2],
                epsilon: 1e-6,
            },
            heads: 2,
            scale: 0.5,
            qkv: linear(6, 2),
            projection: linear(2, 2),
            residual: Residual::plain(2),
        };
        // Two tokens; queries, keys, values of both heads. The first head's
        // scores are 0 and ln 3, the second's all 0.
        let ln3 = 3f32.ln();
        let token = |key: f32, value: f32| [2.0, 0.0, key, 7.0, value, 10.0 * value];
        let qkv = [token(0.0, 1.0), token(ln3, 5.0)].concat();
        let attended = attend(&op, &qkv);
        for (found, expected) in attended.iter().zip([4.0, 30.0, 4.0, 30.0]) {
            assert!((found - expected).abs() < 1e-4, "{attended:?}");
        }
    }
}
