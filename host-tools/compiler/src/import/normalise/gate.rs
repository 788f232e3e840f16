//! Gates, as SiLU, Hardswish and Mish multiply with them, and logistic curves that are written
//! out.

use super::edit::Edit;
use crate::import::graph::{Attribute, Node, ValueId};

/// `x * sigmoid(a x)` as `Swish`, and its cousins with a hard sigmoid or with
/// `tanh(softplus(x))`.
pub(super) fn gated(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    match node.op.as_str() {
        "Mul" => {
            let (a, b) = (node.input(0)?, node.input(1)?);
            let found = gate(edit, a, b).or_else(|| gate(edit, b, a));
            let (x, curve) = found
                .or_else(|| divided_first(edit, a, b))
                .or_else(|| divided_first(edit, b, a))?;
            match curve {
                Gate::Swish(alpha) => {
                    let alpha = [("alpha".to_owned(), Attribute::Float(alpha))];
                    edit.replace_with(node, "Swish", &[x], alpha.into());
                }
                Gate::Hard => edit.replace(node, "HardSwish", &[x]),
                Gate::Mish => edit.replace(node, "Mish", &[x]),
            }
            Some(())
        }
        // x * clip(x + 3, 0, 6) / 6, divided at the end.
        "Div" if is_six(edit, node) => sixth(edit, node, node.input(0)?),
        // x / (1 + exp(-x)).
        "Div" => {
            let x = node.input(0)?;
            let argument = one_plus_exp(edit, node.input(1)?)?;
            let argument = negated(edit, argument).filter(|&source| edit.same(source, x))?;
            let alpha = [("alpha".to_owned(), Attribute::Float(1.0))];
            edit.replace_with(node, "Swish", &[argument], alpha.into());
            Some(())
        }
        _ => None,
    }
}

/// Whether a node divides by six.
fn is_six(edit: &Edit<'_>, node: &Node) -> bool {
    let divisor = node.input(1).and_then(|id| edit.uniform(id));
    divisor.is_some_and(|divisor| is(divisor, 6.0))
}

fn sixth(edit: &mut Edit<'_>, node: &Node, product: ValueId) -> Option<()> {
    let product = edit.maker(product).filter(|maker| maker.op == "Mul")?;
    let (a, b) = (product.input(0)?, product.input(1)?);
    let shifted =
        |x: ValueId, gate: ValueId| shifted(edit, gate).filter(|&shifted| edit.same(x, shifted));
    let x = shifted(a, b).or_else(|| shifted(b, a))?;
    edit.replace(node, "HardSwish", &[x]);
    Some(())
}

/// A factor that an activation's argument is multiplied with.
enum Gate {
    /// `sigmoid(alpha x)`.
    Swish(f32),
    /// `clip(x + 3, 0, 6) / 6`.
    Hard,
    /// `tanh(softplus(x))`.
    Mish,
}

/// The argument and the gate, if `gate` is one of `x`.
fn gate(edit: &Edit<'_>, x: ValueId, gate: ValueId) -> Option<(ValueId, Gate)> {
    let maker = edit.maker(gate)?;
    let argument = maker.input(0)?;
    let (source, kind) = match maker.op.as_str() {
        "Sigmoid" => match edit.maker(argument) {
            _ if edit.same(argument, x) => (argument, Gate::Swish(1.0)),
            Some(scaled) if scaled.op == "Mul" => {
                let (factor, source) = edit.with_constant(scaled)?;
                (source, Gate::Swish(edit.uniform(factor)?))
            }
            _ => return None,
        },
        "HardSigmoid" => {
            let (slope, offset) = (maker.float("alpha", 0.2), maker.float("beta", 0.5));
            (is(slope, 1.0 / 6.0) && is(offset, 0.5)).then_some((argument, Gate::Hard))?
        }
        "Div" if is(edit.uniform(maker.input(1)?)?, 6.0) => (shifted(edit, argument)?, Gate::Hard),
        "Clip" => (raised_sixth(edit, maker)?, Gate::Hard),
        "Mul" => {
            let (factor, clipped) = edit.with_constant(maker)?;
            is(edit.uniform(factor)?, 1.0 / 6.0).then_some(())?;
            (shifted(edit, clipped)?, Gate::Hard)
        }
        "Tanh" => {
            let softplus = edit
                .maker(argument)
                .filter(|maker| maker.op == "Softplus")?;
            (softplus.input(0)?, Gate::Mish)
        }
        _ => return None,
    };
    edit.same(source, x).then_some((x, kind))
}

/// The value `x` of which `value` is `clip(x + 3, 0, 6)`.
fn shifted(edit: &Edit<'_>, value: ValueId) -> Option<ValueId> {
    let clip = edit.maker(value).filter(|maker| maker.op == "Clip")?;
    let bounds = (clip.float("min", f32::NAN), clip.float("max", f32::NAN));
    if clip.inputs.len() != 1 || !is(bounds.1, 6.0) || bounds.0 != 0.0 {
        return None;
    }
    let sum = edit
        .maker(clip.input(0)?)
        .filter(|maker| maker.op == "Add")?;
    let (three, x) = edit.with_constant(sum)?;
    is(edit.uniform(three)?, 3.0).then_some(x)
}

/// The value `x` of a `Clip` that is `clip(x / 6 + 1 / 2, 0, 1)`.
fn raised_sixth(edit: &Edit<'_>, clip: &Node) -> Option<ValueId> {
    let bounds = (clip.float("min", f32::NAN), clip.float("max", f32::NAN));
    if clip.inputs.len() != 1 || bounds != (0.0, 1.0) {
        return None;
    }
    let sum = edit
        .maker(clip.input(0)?)
        .filter(|maker| maker.op == "Add")?;
    let (half, sixth) = edit.with_constant(sum)?;
    is(edit.uniform(half)?, 0.5).then_some(())?;
    part(edit, sixth)
}

/// The value of which `value` is a sixth.
fn part(edit: &Edit<'_>, value: ValueId) -> Option<ValueId> {
    let maker = edit.maker(value)?;
    let (constant, x) = edit.with_constant(maker)?;
    let expected = match maker.op.as_str() {
        "Mul" => 1.0 / 6.0,
        "Div" if maker.input(0) == Some(x) => 6.0,
        _ => return None,
    };
    is(edit.uniform(constant)?, expected).then_some(x)
}

/// The argument of a Hardswish as `(x / 6) * clip(x + 3, 0, 6)`.
fn divided_first(edit: &Edit<'_>, sixth: ValueId, gate: ValueId) -> Option<(ValueId, Gate)> {
    let x = part(edit, sixth)?;
    let shifted = shifted(edit, gate)?;
    edit.same(x, shifted).then_some((x, Gate::Hard))
}

/// `1 / (1 + exp(-x))` as `Sigmoid`, and `log(1 + exp(x))` as `Softplus`.
pub(super) fn logistic(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    match node.op.as_str() {
        "Log" => {
            let x = one_plus_exp(edit, node.input(0)?)?;
            edit.replace(node, "Softplus", &[x]);
        }
        "Reciprocal" => {
            let x = one_plus_exp(edit, node.input(0)?)?;
            let x = negated(edit, x)?;
            edit.replace(node, "Sigmoid", &[x]);
        }
        "Div" if edit.uniform(node.input(0)?)? == 1.0 => {
            let x = one_plus_exp(edit, node.input(1)?)?;
            let x = negated(edit, x)?;
            edit.replace(node, "Sigmoid", &[x]);
        }
        _ => return None,
    }
    Some(())
}

/// The value `y` of which `value` is `1 + exp(y)`.
fn one_plus_exp(edit: &Edit<'_>, value: ValueId) -> Option<ValueId> {
    let sum = edit.maker(value).filter(|maker| maker.op == "Add")?;
    let (one, exp) = edit.with_constant(sum)?;
    let exp = edit.maker(exp).filter(|maker| maker.op == "Exp")?;
    exp.input(0).filter(|_| edit.uniform(one) == Some(1.0))
}

/// The value `x` of which `value` is `-x`.
fn negated(edit: &Edit<'_>, value: ValueId) -> Option<ValueId> {
    let product = edit.maker(value).filter(|maker| maker.op == "Mul")?;
    let (minus, x) = edit.with_constant(product)?;
    (edit.uniform(minus)? == -1.0).then_some(x)
}

/// Whether a constant is another, perhaps rounded to half precision.
fn is(value: f32, expected: f32) -> bool {
    (value - expected).abs() <= 1e-3 * expected.abs()
}
