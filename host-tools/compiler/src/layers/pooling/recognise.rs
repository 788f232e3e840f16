//! The pooling token mixer: `x + layer_scale * (pool(n) - n)` or `x + layer_scale * pool(n)`,
//! `n = norm(x)`.

use tadpool_kernels::pooling::Subtracted;
use tadpool_kernels::wide_pooling::LARGEST;

use crate::import::constant_folding::Window;
use crate::import::graph::Node;
use crate::import::recognise::convolution::is_inside;
use crate::import::recognise::form::{Form, Order, Sum, Term, add_scaled, close, product};
use crate::import::recognise::walk::Walk;
use crate::import::recognise::{Branch, Problem, residual};
use crate::layers::depthwise_embedding::recognise::{embed, kernel_shape};
use crate::layers::head::recognise as head;
use crate::network::{Norm, NormScope, Op, Pooling, Reduction};

/// `AveragePool`: of a norm in a token mixer, over the whole map in the head, or in a stem or
/// between stages.
pub(crate) fn lower(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let form = walk.form(node)?;
    let kernel_shape = kernel_shape(node)?;
    let spatial = walk.shape(node, 0).get(2..).unwrap_or(&[]);
    if spatial.len() != 2 {
        return Err(Problem::new(
            "the pooling is not over height and width",
            "use 2-d pooling",
        ));
    }
    let window = Window::of(node, &kernel_shape, spatial)?;
    let is_padded = window.padding.iter().any(|&padding| padding != 0);
    if kernel_shape == spatial && !is_padded {
        return head::mean(walk, node);
    }
    let sum = match form {
        Form::Opaque => return Ok(walk.unknown(node)),
        Form::Map(sum) if sum.is_unknown() => return Ok(walk.unknown(node)),
        Form::Map(sum) => sum,
        form => return Err(outside(&form.describe())),
    };
    let counts_padding = is_padded && node.int("count_include_pad", 0) != 0;
    let moves = walk.output_shape(node) != walk.shape(node, 0);
    let is_branch = match is_inside(&sum) {
        true => !moves || sum.as_norm().is_none(),
        false => !moves && walk.is_read_twice(node),
    };
    if !is_branch {
        if counts_padding && node.int("ceil_mode", 0) != 0 {
            return Err(Problem::new(
                "the average pooling counts padding and rounds its shape up",
                "export it with `ceil_mode=False`",
            ));
        }
        let reduction = Reduction::Mean { counts_padding };
        return embed(walk, node, &sum, (&window, kernel_shape), reduction);
    }
    let mut odd = Vec::new();
    let [rows, columns] = kernel_shape;
    if rows != columns || rows % 2 == 0 || rows > LARGEST {
        odd.push(format!("a window of {rows}x{columns}"));
    }
    if window.strides != [1, 1] {
        odd.push(format!("the strides {:?}", window.strides));
    }
    if window.dilations != [1, 1] {
        odd.push(format!("the dilations {:?}", window.dilations));
    }
    if odd.is_empty() && window.padding != [rows / 2; 4] {
        odd.push(format!("the padding {:?}", window.padding));
    }
    if counts_padding {
        odd.push("padding that counts (`count_include_pad` is 1)".to_owned());
    }
    if !odd.is_empty() {
        walk.report(
            node,
            Problem::new(
                format!("the average pooling has {}", odd.join(", ")),
                "use a window of 3x3, 5x5 or 7x7, stride 1, padded to keep the shape \
                 (`AvgPool2d(3, 1, 1, count_include_pad=False)`)",
            ),
        );
    }
    if moves {
        return Ok(walk.unknown(node));
    }
    let norm = match sum.as_norm() {
        None if sum.as_fixed().is_none() && !is_inside(&sum) => {
            // No norm: of a feature map, perhaps one that a layer is still to be found for.
            let stream = Term::Stream(walk.stream(node, &sum));
            Sum::of(stream, sum.shape, sum.order).as_fixed()
        }
        norm => norm.or_else(|| sum.as_fixed()),
    };
    match norm {
        Some(norm) if sum.order == Order::ChannelsFirst => Ok(Form::of(
            Term::Pool(norm, kernel_shape[0]),
            sum.shape,
            sum.order,
        )),
        _ => Err(outside(&sum.describe())),
    }
}

fn outside(what: &str) -> Problem {
    Problem::new(
        format!("an average pooling of {what} belongs to no known layer"),
        "use pooling behind the norm of a token mixer, as in `pool(norm(x)) - norm(x)`",
    )
}

/// The layer whose branch is `branch` plus `bias`, if it is a pooling mixer.
///
/// The norm is subtracted with the pool's own factors, except that a norm's
/// weights may have been folded into them; or nothing is subtracted.
pub(crate) fn layer(branch: &Branch<'_>) -> Option<Result<Op, Problem>> {
    let &Branch {
        source,
        terms: branch,
        bias,
        res_scale,
    } = branch;
    let mut pools = branch.iter().filter_map(|(term, factors)| match term {
        Term::Pool(norm, kernel_shape) => Some((norm, *kernel_shape, factors)),
        _ => None,
    });
    let (Some((pooled, kernel_shape, layer_scale)), None) = (pools.next(), pools.next()) else {
        return None;
    };
    let refuse = |what: &str| {
        Some(Err(Problem::new(
            what,
            "use blocks of the form `x + layer_scale * (pool(norm(x)) - norm(x))` or \
             `x + layer_scale * pool(norm(x))`",
        )))
    };
    if pooled.source != Term::Stream(source) {
        return refuse("the pooled norm is added to another feature map than the one it reads");
    }
    let pooling = (&pooled.norm, kernel_shape, &layer_scale[..]);
    if branch.len() == 1 {
        let is_fixed = pooled.norm.scope == NormScope::Fixed;
        let without = is_fixed.then(|| without_norm(pooling, bias, res_scale));
        let op = without
            .flatten()
            .unwrap_or_else(|| alone(pooling, bias, res_scale));
        return Some(Ok(Op::Pooling(op)));
    }
    if pooled.norm.scope == NormScope::Fixed {
        return refuse("another branch is added to the pooling token mixer");
    }
    let channels = bias.len();
    let mut factor = vec![0.0; channels];
    let mut term = bias.to_vec();
    for (part, factors) in branch {
        match part {
            Term::Pool(..) => {}
            Term::Norm(norm)
                if norm.source == pooled.source
                    && norm.norm.scope == pooled.norm.scope
                    && norm.norm.centred == pooled.norm.centred
                    && norm.norm.epsilon == pooled.norm.epsilon =>
            {
                add_scaled(&mut factor, &product(&norm.norm.gamma, factors), 1.0);
                add_scaled(&mut term, &product(&norm.norm.beta, factors), 1.0);
            }
            _ => return refuse("the pooled norm is combined with another branch"),
        }
    }
    let negated = |values: &[f32]| -> Vec<f32> {
        product(values, layer_scale)
            .iter()
            .map(|value| -value)
            .collect()
    };
    if !close(&factor, &negated(&pooled.norm.gamma)) {
        return refuse("the norm is neither subtracted from its pool nor left out");
    }
    Some(Ok(Op::Pooling(Pooling {
        norm: pooled.norm.clone(),
        window: kernel_shape,
        subtracted: Subtracted::Pooled,
        residual: residual(layer_scale.clone(), res_scale),
        bias: rest(&term, &negated(&pooled.norm.beta)),
    })))
}

/// The mixer of a norm `g x + b` with fixed statistics. The norm that is subtracted went
/// into the factor of the stream itself, and the pool of a constant is that constant:
///
/// ```text
/// r x + s pool(g x + b) + c = (r + s g) x + s g (pool(x) - x) + (c + s b)
/// ```
///
/// None if the constant at the end is not zero: a pool alone has a place for it.
fn without_norm(
    (norm, kernel_shape, layer_scale): (&Norm, usize, &[f32]),
    constant: &[f32],
    res_scale: &[f32],
) -> Option<Pooling> {
    let of_pool = product(layer_scale, &norm.beta);
    let negated: Vec<f32> = of_pool.iter().map(|value| -value).collect();
    if !close(constant, &negated) {
        return None;
    }
    let each = res_scale.iter().zip(&norm.gamma).zip(layer_scale);
    let res_scale = each.map(|((res, gamma), scale)| {
        let sum = res + scale * gamma;
        // Up to rounding, where all of the norm is subtracted.
        if (sum - 1.0).abs() <= 1e-6 * (1.0 + (scale * gamma).abs()) {
            1.0
        } else {
            sum
        }
    });
    let res_scale: Vec<f32> = res_scale.collect();
    Some(Pooling {
        norm: Norm {
            beta: vec![0.0; norm.beta.len()],
            ..norm.clone()
        },
        window: kernel_shape,
        subtracted: Subtracted::Pooled,
        residual: residual(layer_scale.to_vec(), &res_scale),
        bias: Vec::new(),
    })
}

/// The mixer that subtracts nothing.
fn alone(
    (norm, kernel_shape, layer_scale): (&Norm, usize, &[f32]),
    constant: &[f32],
    res_scale: &[f32],
) -> Pooling {
    Pooling {
        norm: norm.clone(),
        window: kernel_shape,
        subtracted: Subtracted::Nothing,
        residual: residual(layer_scale.to_vec(), res_scale),
        bias: rest(constant, &vec![0.0; constant.len()]),
    }
}

/// What `values` have beyond `expected`; empty if that is only rounding.
fn rest(values: &[f32], expected: &[f32]) -> Vec<f32> {
    if close(values, expected) {
        return Vec::new();
    }
    let pairs = values.iter().zip(expected);
    pairs.map(|(value, expected)| value - expected).collect()
}
