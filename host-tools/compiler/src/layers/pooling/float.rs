//! Pooling token mixer; padding is not counted.

use tadpool_kernels::pooling::Subtracted;

use crate::network::float::norm::{centre, normalise};
use crate::network::float::{Observe, View};
use crate::network::{NormScope, Pooling, Shape};

/// Updates `x`.
pub(crate) fn run(op: &Pooling, shape: Shape, x: &mut [f32], view: Observe<'_>) {
    if op.norm.scope == NormScope::Token {
        view(View::Input, shape.channels, &centre(&op.norm, x));
    }
    let (n, residual) = (normalise(&op.norm, x), &op.residual);
    let reach = op.window / 2;
    let mut sum = vec![0.0f32; shape.channels];
    for row in 0..shape.height {
        let rows = row.saturating_sub(reach)..(row + reach + 1).min(shape.height);
        for column in 0..shape.width {
            let columns = column.saturating_sub(reach)..(column + reach + 1).min(shape.width);
            sum.fill(0.0);
            for y in rows.clone() {
                for x in columns.clone() {
                    let token = &n[(y * shape.width + x) * shape.channels..][..shape.channels];
                    sum.iter_mut().zip(token).for_each(|(sum, n)| *sum += n);
                }
            }
            let count = (rows.len() * columns.len()) as f32;
            let start = (row * shape.width + column) * shape.channels;
            let values = x[start..][..shape.channels].iter_mut().zip(&n[start..]);
            let scales = residual.res_scale.iter().zip(&residual.layer_scale);
            for (((x, n), sum), (res_scale, layer_scale)) in values.zip(&sum).zip(scales) {
                let branch = match op.subtracted {
                    Subtracted::Pooled => sum / count - n,
                    Subtracted::Nothing => sum / count,
                };
                *x = res_scale * *x + layer_scale * branch;
            }
            let values = x[start..][..shape.channels].iter_mut();
            values.zip(&op.bias).for_each(|(x, bias)| *x += bias);
        }
    }
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
