//! Spellings of sums, products and powers.

use super::edit::Edit;
use crate::import::graph::Node;

/// `Sum` and `Mean` of several values as `Add`.
pub(super) fn sum(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    if !matches!(node.op.as_str(), "Sum" | "Mean") || node.inputs.is_empty() {
        return None;
    }
    let inputs = node.inputs.iter().copied().collect::<Option<Vec<_>>>()?;
    let (&first, rest) = inputs.split_first()?;
    let count = inputs.len();
    let is_mean = node.op == "Mean" && count > 1;
    let mut total = first;
    for (index, &input) in rest.iter().enumerate() {
        if index + 2 == count && !is_mean {
            edit.replace(node, "Add", &[total, input]);
            return Some(());
        }
        total = edit.make(node, "Add", &[total, input]);
    }
    match is_mean {
        true => {
            let count = edit.number(count as f32)?;
            edit.replace(node, "Div", &[total, count]);
        }
        false => edit.replace(node, "Identity", &[total]),
    }
    Some(())
}

/// `Neg` as a product.
pub(super) fn negation(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    if node.op != "Neg" {
        return None;
    }
    let minus = edit.number(-1.0)?;
    edit.replace(node, "Mul", &[node.input(0)?, minus]);
    Some(())
}

/// `Pow` with an exponent of whole numbers' type, or with one that has an operator of its
/// own.
pub(super) fn power(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    if node.op != "Pow" {
        return None;
    }
    let (base, exponent) = (node.input(0)?, node.input(1)?);
    let tensor = edit.constant(exponent)?.clone();
    if tensor.as_number() == Some(1.0) {
        edit.replace(node, "Identity", &[base]);
        return Some(());
    }
    tensor.as_ints()?;
    let exponent = edit.tensor(tensor.shape.clone(), tensor.to_floats())?;
    edit.replace(node, "Pow", &[base, exponent]);
    Some(())
}

/// A constant divided by a value as a product with its reciprocal.
pub(super) fn quotient(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    if node.op != "Div" {
        return None;
    }
    let (above, below) = (node.input(0)?, node.input(1)?);
    edit.constant(above)?;
    if edit.constant(below).is_some() || edit.scalar(above) == Some(1.0) {
        return None;
    }
    let reciprocal = edit.make(node, "Reciprocal", &[below]);
    edit.replace(node, "Mul", &[reciprocal, above]);
    Some(())
}

/// `CastLike` of a map to the type of another: everything is computed in one.
pub(super) fn cast(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    if node.op != "CastLike" {
        return None;
    }
    edit.replace(node, "Identity", &[node.input(0)?]);
    Some(())
}
