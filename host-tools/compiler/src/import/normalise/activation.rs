//! Activations that are written out, or that are the same under another name.

use std::collections::BTreeMap;

use super::edit::Edit;
use crate::import::graph::{Attribute, Node, ValueId};

/// `Clip`, `Max` and `Min` as `Relu`, or as `Clip` with bounds in attributes.
pub(super) fn bounds(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    let x = node.input(0)?;
    match node.op.as_str() {
        "Clip" => {
            // The bounds of whole numbers belong to a quantization.
            let bound = |index: usize, name: &str, none: f32| match node.input(index) {
                Some(id) => match edit.constant(id)?.as_floats()? {
                    &[bound] => Some(bound),
                    _ => None,
                },
                None => Some(node.float(name, none)),
            };
            let lowest = bound(1, "min", f32::NEG_INFINITY)?;
            let highest = bound(2, "max", f32::INFINITY)?;
            let is_plain = node.inputs.len() == 1;
            clip(edit, node, x, lowest, highest, is_plain)
        }
        "Max" | "Min" if node.inputs.len() == 2 => {
            let (constant, x) = edit.with_constant(node)?;
            let bound = edit.scalar(constant)?;
            let inner = edit.maker(x).cloned();
            let (source, low, high) = match &inner {
                Some(inner) if inner.op == "Relu" => (inner.input(0)?, 0.0, f32::INFINITY),
                Some(inner) if inner.op == "Clip" && inner.inputs.len() == 1 => (
                    inner.input(0)?,
                    inner.float("min", f32::NEG_INFINITY),
                    inner.float("max", f32::INFINITY),
                ),
                _ => (x, f32::NEG_INFINITY, f32::INFINITY),
            };
            match (node.op.as_str(), low <= bound && bound <= high) {
                ("Max", true) => clip(edit, node, source, bound, high, false),
                ("Min", true) => clip(edit, node, source, low, bound, false),
                _ => None,
            }
        }
        _ => None,
    }
}

fn clip(
    edit: &mut Edit<'_>,
    node: &Node,
    x: ValueId,
    lowest: f32,
    highest: f32,
    is_plain: bool,
) -> Option<()> {
    let is_open = highest >= f32::MAX;
    match (lowest, is_open) {
        (0.0, true) if edit.maker(x).is_some_and(|maker| maker.op == "Relu") => {
            edit.replace(node, "Identity", &[x]);
        }
        (0.0, true) => edit.replace(node, "Relu", &[x]),
        _ if lowest <= f32::MIN && is_open => edit.replace(node, "Identity", &[x]),
        _ if is_plain => return None,
        _ => {
            let attributes = [("min", lowest), ("max", highest)]
                .map(|(name, value)| (name.to_owned(), Attribute::Float(value)));
            edit.replace_with(node, "Clip", &[x], attributes.into());
        }
    }
    Some(())
}

/// `x * sigmoid(a x)` as `Swish`, and its cousins with a hard sigmoid or with
/// `tanh(softplus(x))`.
pub(super) fn gated(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    match node.op.as_str() {
        "Mul" => {
            let (a, b) = (node.input(0)?, node.input(1)?);
            let (x, curve) = gate(edit, a, b).or_else(|| gate(edit, b, a))?;
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
        "Div" if is(edit.scalar(node.input(1)?)?, 6.0) => sixth(edit, node, node.input(0)?),
        _ => None,
    }
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
                (source, Gate::Swish(edit.scalar(factor)?))
            }
            _ => return None,
        },
        "HardSigmoid" => {
            let (slope, offset) = (maker.float("alpha", 0.2), maker.float("beta", 0.5));
            (is(slope, 1.0 / 6.0) && is(offset, 0.5)).then_some((argument, Gate::Hard))?
        }
        "Div" if is(edit.scalar(maker.input(1)?)?, 6.0) => (shifted(edit, argument)?, Gate::Hard),
        "Mul" => {
            let (factor, clipped) = edit.with_constant(maker)?;
            is(edit.scalar(factor)?, 1.0 / 6.0).then_some(())?;
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
    is(edit.scalar(three)?, 3.0).then_some(x)
}

/// Whether a constant is another, perhaps rounded to half precision.
fn is(value: f32, expected: f32) -> bool {
    (value - expected).abs() <= 1e-3 * expected.abs()
}

/// Operators of ONNX Runtime, and those with a bias or a slope of their own.
pub(super) fn fused(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    let x = node.input(0)?;
    match node.op.as_str() {
        "com.microsoft.QuickGelu" => {
            let alpha = node.float("alpha", 1.702);
            let alpha = [("alpha".to_owned(), Attribute::Float(alpha))];
            edit.replace_with(node, "Swish", &[x], alpha.into());
        }
        "com.microsoft.FastGelu" | "com.microsoft.BiasGelu" => {
            let x = match node.input(1) {
                Some(bias) => edit.make(node, "Add", &[x, bias]),
                None => x,
            };
            let kind = if node.op.ends_with("FastGelu") {
                "tanh"
            } else {
                "none"
            };
            let kind = [("approximate".to_owned(), Attribute::Text(kind.to_owned()))];
            edit.replace_with(node, "Gelu", &[x], kind.into());
        }
        "PRelu" => {
            let slopes = edit.constant(node.input(1)?)?.as_floats()?.to_vec();
            let (&slope, rest) = slopes.split_first()?;
            rest.iter().all(|&other| other == slope).then_some(())?;
            let slope: BTreeMap<_, _> = [("alpha".to_owned(), Attribute::Float(slope))].into();
            edit.replace_with(node, "LeakyRelu", &[x], slope);
        }
        _ => return None,
    }
    Some(())
}
