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
            let (source, low, high) = inner_bounds(edit, x);
            if (low, high) != (f32::NEG_INFINITY, f32::INFINITY)
                && lowest <= highest.min(high)
                && low <= high.min(highest)
            {
                let (lowest, highest) = (lowest.max(low), highest.min(high));
                return clip(edit, node, source, lowest, highest, false);
            }
            let is_plain = node.inputs.len() == 1;
            clip(edit, node, x, lowest, highest, is_plain)
        }
        "Max" | "Min" if node.inputs.len() == 2 => {
            if let Some((x, slope)) = steeper(edit, node) {
                let slope = [("alpha".to_owned(), Attribute::Float(slope))];
                edit.replace_with(node, "LeakyRelu", &[x], slope.into());
                return Some(());
            }
            let (constant, x) = edit.with_constant(node)?;
            let bound = edit.uniform(constant)?;
            let (source, low, high) = inner_bounds(edit, x);
            match (node.op.as_str(), low <= bound && bound <= high) {
                ("Max", true) => clip(edit, node, source, bound, high, false),
                ("Min", true) => clip(edit, node, source, low, bound, false),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The value and the slope of the larger of a value and its product with a slope below one.
fn steeper(edit: &Edit<'_>, node: &Node) -> Option<(ValueId, f32)> {
    let (a, b) = (node.input(0)?, node.input(1)?);
    let slope = |x: ValueId, scaled: ValueId| {
        let scaled = edit.maker(scaled).filter(|maker| maker.op == "Mul")?;
        let (slope, source) = edit.with_constant(scaled)?;
        let slope = edit.uniform(slope)?;
        (node.op == "Max" && edit.same(source, x) && (0.0..1.0).contains(&slope))
            .then_some((x, slope))
    };
    slope(a, b).or_else(|| slope(b, a))
}

/// What a value cuts off, and between which bounds; itself without any if it cuts nothing.
fn inner_bounds(edit: &Edit<'_>, x: ValueId) -> (ValueId, f32, f32) {
    let inner = edit
        .maker(x)
        .and_then(|inner| Some((inner, inner.input(0)?)));
    match inner {
        Some((inner, source)) if inner.op == "Relu" => (source, 0.0, f32::INFINITY),
        Some((inner, source)) if inner.op == "Clip" && inner.inputs.len() == 1 => (
            source,
            inner.float("min", f32::NEG_INFINITY),
            inner.float("max", f32::INFINITY),
        ),
        _ => (x, f32::NEG_INFINITY, f32::INFINITY),
    }
}

/// From here on a softplus is its argument, in single precision: it is 2^-24 of it off.
const STEEP: f32 = 12.0;

/// `Where` that chooses between a value and its product, or zero, by the value's sign, as
/// `Relu` or `LeakyRelu`; and between a value and its softplus, which is the same where the
/// value is large.
pub(super) fn chosen(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    if node.op != "Where" {
        return None;
    }
    let (condition, yes, no) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let compare = edit.maker(condition)?;
    let (a, b) = (compare.input(0)?, compare.input(1)?);
    let is_above = match compare.op.as_str() {
        "Greater" | "GreaterOrEqual" => true,
        "Less" | "LessOrEqual" => false,
        _ => return None,
    };
    let (x, bound, is_above) = match (edit.uniform(a), edit.uniform(b)) {
        (None, Some(bound)) => (a, bound, is_above),
        (Some(bound), None) => (b, bound, !is_above),
        _ => return None,
    };
    let (above, below) = if is_above { (yes, no) } else { (no, yes) };
    if bound >= STEEP {
        // Softplus of x, perhaps divided by what x was multiplied with.
        let maker = edit.maker(below)?;
        let softplus = match maker.op.as_str() {
            "Div" | "Mul" => edit.maker(edit.with_constant(maker)?.1)?,
            _ => maker,
        };
        let argument = softplus.input(0).filter(|_| softplus.op == "Softplus")?;
        edit.same(argument, x).then_some(())?;
        edit.replace(node, "Identity", &[below]);
        return Some(());
    }
    (bound == 0.0 && edit.same(above, x)).then_some(())?;
    if edit.uniform(below) == Some(0.0) {
        edit.replace(node, "Relu", &[x]);
        return Some(());
    }
    let scaled = edit.maker(below).filter(|maker| maker.op == "Mul")?;
    let (slope, source) = edit.with_constant(scaled)?;
    let slope = edit.uniform(slope).filter(|_| edit.same(source, x))?;
    let slope = [("alpha".to_owned(), Attribute::Float(slope))];
    edit.replace_with(node, "LeakyRelu", &[x], slope.into());
    Some(())
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
        // scale * elu(x)
        "Selu" => {
            let scale = edit.number(node.float("gamma", 1.050_701))?;
            let alpha = node.float("alpha", 1.673_263_2);
            let alpha = [("alpha".to_owned(), Attribute::Float(alpha))];
            let elu = edit.make_with(node, "Elu", &[x], alpha.into());
            edit.replace(node, "Mul", &[elu, scale]);
        }
        // alpha * elu(x / alpha)
        "Celu" => {
            let alpha = node.float("alpha", 1.0);
            let (over, times) = (edit.number(1.0 / alpha)?, edit.number(alpha)?);
            let argument = edit.make(node, "Mul", &[x, over]);
            let one = [("alpha".to_owned(), Attribute::Float(1.0))];
            let elu = edit.make_with(node, "Elu", &[argument], one.into());
            edit.replace(node, "Mul", &[elu, times]);
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
