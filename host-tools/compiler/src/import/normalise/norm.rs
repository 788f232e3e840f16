//! Norms that are multiplied out, as Keras, TensorFlow and JAX write them.

use super::edit::Edit;
use crate::import::graph::{Attribute, Node, ValueId};

/// A variance as `mean(x^2) - mean(x)^2`, and one that is kept from being negative.
pub(super) fn variance(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    match node.op.as_str() {
        "Sub" => {
            let (of_square, squared) = (node.input(0)?, node.input(1)?);
            let outer = edit
                .maker(of_square)
                .filter(|maker| maker.op == "ReduceMean")?
                .clone();
            let x = square(edit, outer.input(0)?)?;
            let mean = square(edit, squared)?;
            let inner = edit
                .maker(mean)
                .filter(|maker| maker.op == "ReduceMean")?
                .clone();
            if !edit.same(inner.input(0)?, x) || !reduces_alike(edit, &inner, &outer) {
                return None;
            }
            // The mean has to stand beside the map.
            let mean = match edit.shape(mean)?.len() == edit.shape(x)?.len() {
                true => mean,
                false => {
                    let mut kept = inner;
                    let keep = Attribute::Int(1);
                    kept.attributes.insert("keepdims".to_owned(), keep);
                    let inputs: Vec<_> = kept.inputs.iter().flatten().copied().collect();
                    edit.make_with(node, "ReduceMean", &inputs, kept.attributes)
                }
            };
            let centred = edit.make(node, "Sub", &[x, mean]);
            let square = edit.make(node, "Mul", &[centred, centred]);
            let mut inputs = vec![square];
            inputs.extend(outer.inputs.iter().skip(1).flatten());
            edit.replace_with(node, "ReduceMean", &inputs, outer.attributes);
            Some(())
        }
        // Rounding may make it negative, arithmetic does not.
        "Relu" | "Abs" => {
            let x = node.input(0)?;
            let mean = edit.maker(x).filter(|maker| maker.op == "ReduceMean")?;
            square(edit, mean.input(0)?)?;
            edit.replace(node, "Identity", &[x]);
            Some(())
        }
        _ => None,
    }
}

/// `x a + (b - m a)` as `(x - m) a + b`, and `(x - m) (r g)` as `((x - m) r) g`, where
/// `m` is the mean of `x`, `a` is `r g` and `r` one over a deviation.
pub(super) fn distributed(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    let (a, b) = (node.input(0)?, node.input(1)?);
    match node.op.as_str() {
        "Add" => {
            let (x, factor, mean, bias) =
                with_bias(edit, a, b).or_else(|| with_bias(edit, b, a))?;
            let normed = normed(edit, node, x, mean, factor);
            edit.replace(node, "Add", &[normed, bias]);
        }
        // Without a bias, or with the bias on the other side.
        "Sub" => {
            let (x, factor) = scaled(edit, a)?;
            if let Some(mean) = scaled_by(edit, b, factor) {
                is_mean(edit, mean, x)?;
                let centred = edit.make(node, "Sub", &[x, mean]);
                edit.replace(node, "Mul", &[centred, factor]);
                return Some(());
            }
            let difference = edit.maker(b).filter(|maker| maker.op == "Sub")?;
            let (scaled, bias) = (difference.input(0)?, difference.input(1)?);
            let mean = scaled_by(edit, scaled, factor)?;
            edit.constant(bias)?;
            is_mean(edit, mean, x)?;
            let normed = normed(edit, node, x, mean, factor);
            edit.replace(node, "Add", &[normed, bias]);
        }
        "Mul" => {
            let (x, factor) = match (parts(edit, a), parts(edit, b)) {
                (None, Some(factor)) => (a, factor),
                (Some(factor), None) => (b, factor),
                _ => return None,
            };
            let (inverse, gamma) = factor;
            let centred = edit.maker(x).filter(|maker| maker.op == "Sub")?;
            is_mean(edit, centred.input(1)?, centred.input(0)?)?;
            let product = edit.make(node, "Mul", &[x, inverse]);
            edit.replace(node, "Mul", &[product, gamma]);
        }
        _ => return None,
    }
    Some(())
}

fn normed(edit: &mut Edit<'_>, node: &Node, x: ValueId, mean: ValueId, factor: ValueId) -> ValueId {
    let centred = edit.make(node, "Sub", &[x, mean]);
    edit.make(node, "Mul", &[centred, factor])
}

/// `x`, `a`, `m` and `b` of `x a` and `b - m a`.
fn with_bias(
    edit: &Edit<'_>,
    product: ValueId,
    rest: ValueId,
) -> Option<(ValueId, ValueId, ValueId, ValueId)> {
    let (x, factor) = scaled(edit, product)?;
    let rest = edit.maker(rest)?;
    let (first, second) = (rest.input(0)?, rest.input(1)?);
    let (bias, mean) = match rest.op.as_str() {
        "Sub" => (first, scaled_by(edit, second, factor)?),
        // -m a + b, where the minus may be anywhere.
        "Add" => {
            let (bias, negative) = edit.with_constant(rest)?;
            (bias, negated(edit, negative, factor)?)
        }
        _ => return None,
    };
    edit.constant(bias)?;
    is_mean(edit, mean, x)?;
    Some((x, factor, mean, bias))
}

/// The value `m` of which `value` is `-m a`.
fn negated(edit: &Edit<'_>, value: ValueId, factor: ValueId) -> Option<ValueId> {
    let product = edit.maker(value).filter(|maker| maker.op == "Mul")?;
    if let Some((minus, inner)) = edit.with_constant(product) {
        return (edit.scalar(minus)? == -1.0)
            .then(|| scaled_by(edit, inner, factor))
            .flatten();
    }
    let (a, b) = (product.input(0)?, product.input(1)?);
    let negative = match (edit.same(a, factor), edit.same(b, factor)) {
        (true, false) => b,
        (false, true) => a,
        _ => return None,
    };
    let product = edit.maker(negative).filter(|maker| maker.op == "Mul")?;
    let (minus, mean) = edit.with_constant(product)?;
    (edit.scalar(minus)? == -1.0).then_some(mean)
}

/// `x` and `a` of `x a`, where `a` holds one over a deviation.
fn scaled(edit: &Edit<'_>, value: ValueId) -> Option<(ValueId, ValueId)> {
    let product = edit.maker(value).filter(|maker| maker.op == "Mul")?;
    let (a, b) = (product.input(0)?, product.input(1)?);
    let holds = |value: ValueId| is_inverse(edit, value) || parts(edit, value).is_some();
    match (holds(a), holds(b)) {
        (false, true) => Some((a, b)),
        (true, false) => Some((b, a)),
        _ => None,
    }
}

/// `m` of `m a`.
fn scaled_by(edit: &Edit<'_>, value: ValueId, factor: ValueId) -> Option<ValueId> {
    let product = edit.maker(value).filter(|maker| maker.op == "Mul")?;
    let (a, b) = (product.input(0)?, product.input(1)?);
    match (edit.same(a, factor), edit.same(b, factor)) {
        (false, true) => Some(a),
        (true, false) => Some(b),
        _ => None,
    }
}

/// One over a deviation and the constant that it is multiplied with.
fn parts(edit: &Edit<'_>, value: ValueId) -> Option<(ValueId, ValueId)> {
    let product = edit.maker(value).filter(|maker| maker.op == "Mul")?;
    let (gamma, inverse) = edit.with_constant(product)?;
    is_inverse(edit, inverse).then_some((inverse, gamma))
}

/// Whether a value is one over a root, or a power of -1/2.
fn is_inverse(edit: &Edit<'_>, value: ValueId) -> bool {
    let is_root =
        |value: Option<ValueId>| value.is_some_and(|value| under_root(edit, value).is_some());
    let Some(maker) = edit.maker(value) else {
        return false;
    };
    match maker.op.as_str() {
        "Reciprocal" => is_root(maker.input(0)),
        "Div" => is_root(maker.input(1)),
        "Pow" => maker.input(1).and_then(|id| edit.scalar(id)) == Some(-0.5),
        _ => false,
    }
}

/// Whether `mean` is a mean of `x`.
fn is_mean(edit: &Edit<'_>, mean: ValueId, x: ValueId) -> Option<()> {
    let maker = edit.maker(mean).filter(|maker| maker.op == "ReduceMean")?;
    edit.same(maker.input(0)?, x).then_some(())
}

/// The value that `value` is the square of.
fn square(edit: &Edit<'_>, value: ValueId) -> Option<ValueId> {
    let maker = edit.maker(value)?;
    let (a, b) = (maker.input(0)?, maker.input(1)?);
    match maker.op.as_str() {
        "Mul" if edit.same(a, b) => Some(a),
        "Pow" if edit.scalar(b) == Some(2.0) => Some(a),
        _ => None,
    }
}

/// `x / sqrt(mean(x^2) + e)` as `RMSNormalization` over some `axes`.
pub(super) fn root_mean_square(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    let (a, b) = (node.input(0)?, node.input(1)?);
    let (x, raised, gamma) = match node.op.as_str() {
        "Div" => (a, under_root(edit, b)?, None),
        "Mul" => {
            let found = |x: ValueId, factor: ValueId| {
                let (inverse, gamma) = match parts(edit, factor) {
                    Some((inverse, gamma)) => (inverse, Some(gamma)),
                    None => (factor, None),
                };
                let raised = edit.maker(inverse).filter(|_| is_inverse(edit, inverse))?;
                let raised = match raised.op.as_str() {
                    "Reciprocal" => under_root(edit, raised.input(0)?)?,
                    "Div" => under_root(edit, raised.input(1)?)?,
                    _ => raised.input(0)?,
                };
                Some((x, raised, gamma))
            };
            found(a, b).or_else(|| found(b, a))?
        }
        _ => return None,
    };
    // g x, where the square is that of x.
    let (x, gamma) = match edit.maker(x).filter(|maker| maker.op == "Mul") {
        Some(product) if gamma.is_none() => match edit.with_constant(product) {
            Some((gamma, inner)) if of_square(edit, raised, inner) => (inner, Some(gamma)),
            _ => (x, gamma),
        },
        _ => (x, gamma),
    };
    let (mean, epsilon) = match edit.maker(raised)? {
        maker if maker.op == "Add" => {
            let (epsilon, mean) = edit.with_constant(maker)?;
            (mean, edit.scalar(epsilon)?)
        }
        _ => (raised, 0.0),
    };
    let mean = edit.maker(mean).filter(|maker| maker.op == "ReduceMean")?;
    if !edit.same(square(edit, mean.input(0)?)?, x) || mean.int("keepdims", 1) == 0 {
        return None;
    }
    let (_, axes) = super::mean::reduced(edit, mean)?;
    let axes = axes.iter().map(|&axis| axis as i64).collect();
    let attributes = [
        ("axes".to_owned(), Attribute::Ints(axes)),
        ("epsilon".to_owned(), Attribute::Float(epsilon)),
    ];
    match gamma {
        None => edit.replace_with(node, "RMSNormalization", &[x], attributes.into()),
        Some(gamma) => {
            let normed = edit.make_with(node, "RMSNormalization", &[x], attributes.into());
            edit.replace(node, "Mul", &[normed, gamma]);
        }
    }
    Some(())
}

/// Whether a value is the mean of the square of `x`, perhaps plus epsilon.
fn of_square(edit: &Edit<'_>, value: ValueId, x: ValueId) -> bool {
    let find = || {
        let maker = edit.maker(value)?;
        let mean = match maker.op.as_str() {
            "Add" => edit.maker(edit.with_constant(maker)?.1)?,
            _ => maker,
        };
        let squared = square(edit, mean.input(0)?).filter(|_| mean.op == "ReduceMean")?;
        Some(edit.same(squared, x))
    };
    find() == Some(true)
}

/// The value that `value` is the square root of.
fn under_root(edit: &Edit<'_>, value: ValueId) -> Option<ValueId> {
    let maker = edit.maker(value)?;
    let power = maker.input(1).and_then(|id| edit.scalar(id));
    let is_root = maker.op == "Sqrt" || (maker.op == "Pow" && power == Some(0.5));
    maker.input(0).filter(|_| is_root)
}

/// Whether two means are over the same axes.
fn reduces_alike(edit: &Edit<'_>, a: &Node, b: &Node) -> bool {
    let axes = |node: &Node| super::mean::reduced(edit, node).map(|(_, axes)| axes);
    axes(a).is_some() && axes(a) == axes(b)
}
