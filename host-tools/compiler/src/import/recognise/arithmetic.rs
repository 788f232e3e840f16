//! Addition, subtraction, multiplication, division and powers.
//!
//! Here constants join a sum: norm weights, biases and layer scales; and here
//! residual adds, `pool - norm`, and the steps of a norm or a GELU that is
//! written out meet.

use std::rc::Rc;

use super::Problem;
use super::activation;
use super::axes;
use super::form::{Form, Statistic, StatisticKind, Sum, Term, add_scaled, all, close, product};
use super::norm;
use super::strided::Strided;
use super::walk::{Operand, Walk};
use crate::import::graph::{Node, Tensor};
use crate::layers::attention::recognise as attention;
use crate::layers::position_embedding::recognise as position;
use crate::network::NormScope;

/// The meaning of a binary operator's result.
pub(crate) fn lower(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let missing = || Problem::new("an input is missing", "export the network again");
    let left = walk.operand(node, 0).ok_or_else(missing)?;
    let right = walk.operand(node, 1).ok_or_else(missing)?;
    let form = match (left, right) {
        (Operand::Form(form), Operand::Constant(constant)) => {
            with_constant(walk, node, 0, form, &constant)
        }
        (Operand::Constant(constant), Operand::Form(form)) => match node.op.as_str() {
            "Add" | "Mul" => with_constant(walk, node, 1, form, &constant),
            "Sub" => {
                if let Form::Map(sum) = &form
                    && subtracted(walk, node, sum, &constant)
                {
                    return Ok(form);
                }
                let negated = negate(form)?;
                with_constant_as(walk, node, 1, negated, &constant, "Add")
            }
            "Div" if constant.as_scalar() == Some(1.0) => norm::reciprocal(form),
            _ => Err(mismatch(node, "a constant", &form.describe())),
        },
        (Operand::Form(left), Operand::Form(right)) => pair(walk, node, left, right),
        (Operand::Constant(_), Operand::Constant(_)) => Err(Problem::new(
            "the operator is not evaluated on constants",
            "export with constant folding",
        )),
    }?;
    activation::settled(walk, node, form)
}

/// Whether the convolution that writes `sum` took in that the sum, the second input, is
/// subtracted from a constant.
fn subtracted(walk: &mut Walk<'_>, node: &Node, sum: &Sum, constant: &Tensor) -> bool {
    let (channels, tokens) = (sum.shape.channels, sum.shape.tokens());
    let shape = walk.shape(node, 1);
    match axes::per_channel(constant, shape, channels, tokens, sum.order) {
        Ok(terms) => walk.absorb(node, 1, sum, &vec![-1.0; channels], &terms),
        Err(_) => false,
    }
}

fn mismatch(node: &Node, left: &str, right: &str) -> Problem {
    let verb = match node.op.as_str() {
        "Add" => "adding",
        "Sub" => "subtracting",
        "Mul" => "multiplying",
        "Div" => "dividing",
        _ => "raising",
    };
    Problem::new(
        format!("{verb} {left} and {right} belongs to no known layer"),
        "use blocks of the form `x + layer_scale * branch(norm(x))` only",
    )
}

fn with_constant(
    walk: &mut Walk<'_>,
    node: &Node,
    index: usize,
    form: Form,
    constant: &Tensor,
) -> Result<Form, Problem> {
    with_constant_as(walk, node, index, form, constant, &node.op)
}

/// `form op constant`, where `form` is the input at `index`.
fn with_constant_as(
    walk: &mut Walk<'_>,
    node: &Node,
    index: usize,
    form: Form,
    constant: &Tensor,
    op: &str,
) -> Result<Form, Problem> {
    let shape = walk.shape(node, index);
    match form {
        Form::Opaque => Ok(Form::Opaque),
        Form::Map(sum) if sum.is_unknown() => Ok(walk.unknown(node)),
        Form::Map(sum) => {
            walk.spend(sum.weights())?;
            let sum = match op {
                "Mul" | "Div" if is_update(&sum) => {
                    // A res scale: the sum is the feature map of the next layer.
                    let stream = Term::Stream(walk.stream(node, &sum));
                    Rc::new(Sum::of(stream, sum.shape, sum.order))
                }
                _ => sum,
            };
            let (channels, tokens) = (sum.shape.channels, sum.shape.tokens());
            let sign = if op == "Sub" { -1.0 } else { 1.0 };
            if matches!(op, "Add" | "Sub")
                && let Some(map) = position::added(walk, node, index, &sum, (constant, sign))
            {
                return map;
            }
            let values = axes::per_channel(constant, shape, channels, tokens, sum.order)?;
            let (ones, nothing) = (vec![1.0; channels], vec![0.0; channels]);
            let each = |change: fn(f32) -> f32| values.iter().map(|&v| change(v)).collect();
            let (factors, terms): (Vec<f32>, Vec<f32>) = match op {
                "Add" => (ones, values.clone()),
                "Sub" => (ones, each(|v| -v)),
                "Mul" => (values.clone(), nothing),
                "Div" => (each(|v| 1.0 / v), nothing),
                _ => (Vec::new(), Vec::new()),
            };
            if !factors.is_empty() && walk.absorb(node, index, &sum, &factors, &terms) {
                return Ok(Form::Map(sum));
            }
            let result = affine(node, &sum, &values, op)?;
            Ok(Form::Map(Rc::new(owned(walk, node, result))))
        }
        Form::Statistic(statistic) => {
            let value = constant.as_scalar();
            norm::with_constant(statistic, op, value)
                .ok_or_else(|| mismatch(node, "a part of a norm", "a constant"))
        }
        Form::Strided(strided) => match (op, constant.as_scalar()) {
            ("Mul", Some(factor)) => Ok(Form::Strided(Strided {
                scale: strided.scale * factor,
                ..strided
            })),
            ("Div", Some(factor)) => Ok(Form::Strided(Strided {
                scale: strided.scale / factor,
                ..strided
            })),
            _ => Err(mismatch(
                node,
                "a part of a linear layer's output",
                "a constant",
            )),
        },
        Form::Weights(weights) => match (op, constant.as_scalar()) {
            ("Mul", Some(factor)) => attention::scaled(&weights, factor),
            ("Div", Some(factor)) => attention::scaled(&weights, 1.0 / factor),
            // Attention masks of zeros.
            ("Add", Some(0.0)) => Ok(Form::Weights(weights)),
            _ => Err(mismatch(node, "the weights of an attention", "a constant")),
        },
    }
}

/// The sum with its factors and terms in the linear layer or convolution that it is of, if
/// several nodes read it: an activation that is written out does, a branch's end does not.
fn owned(walk: &Walk<'_>, node: &Node, sum: Sum) -> Sum {
    let is_layer = matches!(
        sum.single(),
        Some((Term::Linear(_) | Term::Depthwise(_), _))
    );
    match sum.absorbed().filter(|_| is_layer && walk.is_shared(node)) {
        Some(term) => Sum::of(term, sum.shape, sum.order),
        None => sum,
    }
}

/// A sum with a constant per channel added or multiplied.
fn affine(node: &Node, sum: &Sum, values: &[f32], op: &str) -> Result<Sum, Problem> {
    Ok(match op {
        "Add" => plus_constant(sum, values, 1.0),
        "Sub" => plus_constant(sum, values, -1.0),
        "Mul" => times_constant(sum, values),
        "Div" => sum.scaled(|v, c| v / values[c]),
        "Pow" => match values.iter().all(|v| *v == values[0]) {
            true => activation::power(sum, values[0])
                .ok_or_else(|| mismatch(node, &sum.describe(), "a constant"))?,
            false => return Err(mismatch(node, &sum.describe(), "constants")),
        },
        _ => return Err(mismatch(node, &sum.describe(), "a constant")),
    })
}

/// Whether a sum is an update of a feature map: the map and a branch.
fn is_update(sum: &Sum) -> bool {
    let is_stream = |(term, _): &(Term, _)| matches!(term, Term::Stream(_));
    // A step of an activation that is written out.
    let is_power = |(term, _): &(Term, _)| matches!(term, Term::Power(..));
    sum.terms.len() > 1
        && sum.terms.iter().any(is_stream)
        && !sum.terms.iter().any(is_power)
        && !is_difference(sum)
}

/// Whether a sum is the difference of a pool and of what it pools, where that is the feature
/// map itself with a factor of each channel.
fn is_difference(sum: &Sum) -> bool {
    let (a, b) = match &sum.terms[..] {
        [(Term::Pool(norm, _), a), (Term::Stream(id), b)]
        | [(Term::Stream(id), b), (Term::Pool(norm, _), a)]
            if norm.norm.scope == NormScope::Fixed && norm.source == Term::Stream(*id) =>
        {
            (product(a, &norm.norm.gamma), b)
        }
        _ => return false,
    };
    let negated: Vec<f32> = a.iter().map(|value| -value).collect();
    close(&negated, b)
}

/// Multiplies. A factor right behind a norm without weights is its own.
fn times_constant(sum: &Sum, values: &[f32]) -> Sum {
    let result = sum.scaled(|v, c| v * values[c]);
    let is_own = match sum.plain() {
        Some(Term::Norm(inner)) => all(&inner.norm.gamma, 1.0) && all(&inner.norm.beta, 0.0),
        _ => false,
    };
    match result.absorbed().filter(|_| is_own) {
        Some(term) => Sum::of(term, sum.shape, sum.order),
        None => result,
    }
}

/// Adds a bias. A bias right behind a norm or a linear layer is its own: later
/// factors are the layer scale.
fn plus_constant(sum: &Sum, values: &[f32], sign: f32) -> Sum {
    let mut result = sum.clone();
    add_scaled(&mut result.bias, values, sign);
    if !all(&sum.bias, 0.0) {
        return result;
    }
    let is_own = match sum.single() {
        Some((Term::Norm(inner), _)) => all(&inner.norm.beta, 0.0),
        Some((Term::Linear(_) | Term::Depthwise(_), factors)) => all(factors, 1.0),
        _ => false,
    };
    match result.absorbed().filter(|_| is_own) {
        Some(term) => Sum::of(term, sum.shape, sum.order),
        None => result,
    }
}

fn negate(form: Form) -> Result<Form, Problem> {
    match form {
        Form::Map(sum) => Ok(Form::Map(Rc::new(sum.scaled(|v, _| -v)))),
        Form::Opaque => Ok(Form::Opaque),
        form => Err(Problem::new(
            format!("{} is subtracted from a constant", form.describe()),
            "use blocks of the form `x + layer_scale * branch(norm(x))` only",
        )),
    }
}

/// The meaning of an operator on two values that depend on the image.
fn pair(walk: &mut Walk<'_>, node: &Node, left: Form, right: Form) -> Result<Form, Problem> {
    use StatisticKind::{Centred, Deviation, Inverse, Mean, Square};
    let refuse = mismatch(node, &left.describe(), &right.describe());
    let of = |statistic: Statistic, kind| Form::Statistic(Statistic { kind, ..statistic });
    match (node.op.as_str(), left, right) {
        (op, Form::Map(a), Form::Map(b)) => {
            if a.is_unknown() || b.is_unknown() {
                return Ok(match a.shape == b.shape {
                    true => unknown_like(&a),
                    false => walk.unknown(node),
                });
            }
            if !a.same_layout(&b) {
                return Err(match op == "Mul" && is_gate(&a, &b) {
                    true => Problem::new(
                        "a map is multiplied with one value a channel that is computed from it \
                         (squeeze and excitation), which is not supported",
                        "train without squeeze and excitation",
                    ),
                    false => refuse,
                });
            }
            let sum = match op {
                "Add" | "Sub" => {
                    let sum = a.plus(&b, if op == "Add" { 1.0 } else { -1.0 });
                    if let Some(map) = walk.in_place_of(node, [&a, &b], &sum) {
                        return map;
                    }
                    Some(sum)
                }
                "Mul" => {
                    walk.spend(8 * a.shape.channels)?;
                    activation::product(&a, &b)
                }
                _ => None,
            };
            sum.map(|sum| Form::Map(Rc::new(sum))).ok_or(refuse)
        }
        // The size of an opaque branch is not known; what it is added to is.
        ("Add" | "Sub" | "Mul", Form::Map(map), Form::Opaque)
        | ("Add" | "Sub" | "Mul", Form::Opaque, Form::Map(map)) => {
            let same = walk.output_shape(node).iter().product::<usize>() == map.shape.elements();
            Ok(if same || walk.output_shape(node).is_empty() {
                unknown_like(&map)
            } else {
                Form::Opaque
            })
        }
        (_, Form::Opaque, _) | (_, _, Form::Opaque) => Ok(Form::Opaque),
        ("Sub", Form::Map(map), Form::Statistic(mean)) if mean.kind == Mean => {
            match map.absorbed() {
                Some(term) if term == mean.source => Ok(of(
                    Statistic {
                        order: map.order,
                        ..mean
                    },
                    Centred,
                )),
                _ if map.is_unknown() => Ok(unknown_like(&map)),
                _ => Err(refuse),
            }
        }
        ("Mul", Form::Statistic(a), Form::Statistic(b)) if a == b && a.kind == Centred => {
            Ok(of(a, Square))
        }
        ("Div", Form::Statistic(a), Form::Statistic(b)) if is_of_one(&a, &b) => {
            match (a.kind, b.kind) {
                (Centred, Deviation(epsilon)) => Ok(complete(a, &b, epsilon)),
                _ => Err(refuse),
            }
        }
        ("Mul", Form::Statistic(a), Form::Statistic(b)) if is_of_one(&a, &b) => {
            match (a.kind, b.kind) {
                (Centred, Inverse(epsilon)) => Ok(complete(a, &b, epsilon)),
                (Inverse(epsilon), Centred) => Ok(complete(b, &a, epsilon)),
                _ => Err(refuse),
            }
        }
        // A part of a norm meets the map that a report left unknown.
        (_, Form::Map(map), Form::Statistic(_)) | (_, Form::Statistic(_), Form::Map(map))
            if map.is_unknown() =>
        {
            Ok(unknown_like(&map))
        }
        (_, Form::Map(map), _) | (_, _, Form::Map(map)) if map.is_unknown() => {
            Ok(walk.unknown(node))
        }
        _ => Err(refuse),
    }
}

/// Whether one of two maps has a value for each channel of the other.
fn is_gate(a: &Sum, b: &Sum) -> bool {
    let (least, most) = match a.shape.tokens() <= b.shape.tokens() {
        true => (a.shape, b.shape),
        false => (b.shape, a.shape),
    };
    least.channels == most.channels && least.tokens() == 1
}

/// The norm of centred values over a deviation.
fn complete(centred: Statistic, deviation: &Statistic, epsilon: f32) -> Form {
    let factor = deviation.factor;
    norm::complete(Statistic { factor, ..centred }, epsilon)
}

/// Whether both are steps of one norm.
fn is_of_one(a: &Statistic, b: &Statistic) -> bool {
    a.source == b.source && a.scope == b.scope
}

fn unknown_like(sum: &Sum) -> Form {
    Form::Map(Rc::new(Sum::of(Term::Unknown, sum.shape, sum.order)))
}
