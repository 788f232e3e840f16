//! Pooling token mixer; padding is not counted.

use tadpool_kernels::pooling::Subtracted;

use crate::network::float::{Observe, View, add_branch};
use crate::network::{NormScope, Pooling, Shape};
use tadpool_float::{add_bias, centre, normalise, pooled};

/// Updates `x`.
pub(crate) fn run(op: &Pooling, shape: Shape, x: &mut [f32], view: Observe<'_>) {
    if op.norm.scope == NormScope::Token {
        view(View::Input, shape.channels, &centre(&op.norm, x));
    }
    let n = normalise(&op.norm, x);
    let mut branch = pooled(&n, shape, op.window);
    if op.subtracted == Subtracted::Pooled {
        branch.iter_mut().zip(&n).for_each(|(pool, n)| *pool -= n);
    }
    add_branch(x, &branch, &op.residual);
    add_bias(x, &op.bias);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Norm, Residual};

    #[test]
    fn a_pool_does_not_count_padding() {
        // A constant map is its own pool: the mixer adds nothing but its bias, also at
        // borders, or the norm's bias as well.
        for (subtracted, written) in [(Subtracted::Pooled, 3.5), (Subtracted::Nothing, 8.5)] {
            let op = Pooling {
                norm: Norm {
                    scope: NormScope::Map,
                    centred: true,
                    gamma: vec![1.0],
                    beta: vec![5.0],
                    epsilon: 1e-6,
                },
                window: 3,
                subtracted,
                residual: Residual::plain(1),
                bias: vec![0.5],
            };
            let mut x = vec![3.0; 12];
            let shape = Shape {
                height: 3,
                width: 4,
                channels: 1,
            };
            run(&op, shape, &mut x, &mut |_, _, _| {});
            assert_eq!(x, vec![written; 12]);
        }
    }
}
