//! The three operators that round: quantize, clip whole numbers, dequantize.

use super::{Array, Run, Unevaluated};
use crate::import::graph::{Attribute, Graph, Node, ValueId};

/// Whether a node works on whole numbers of steps, not on real values.
pub(super) fn is_rounding(node: &Node) -> bool {
    matches!(
        node.op.as_str(),
        "QuantizeLinear" | "DequantizeLinear" | "Clip"
    )
}

/// A feature map passes unchanged without rounding; weights never do.
pub(super) fn evaluate(run: &Run<'_>, node: &Node) -> Result<Array, Unevaluated> {
    let input = run.input(node, 0)?;
    let is_map = node
        .output()
        .is_some_and(|id| run.graph.constant(id).is_none());
    let is_activation = node.op == "Clip" && {
        let mut bounds = [1, 2].iter().filter_map(|&index| node.input(index));
        !bounds.any(|id| {
            run.graph
                .constant(id)
                .is_some_and(|bound| bound.as_ints().is_some())
        })
    };
    if is_map && !run.qdq && !is_activation {
        let cuts = node.op == "QuantizeLinear" && zero_is_lowest(run.graph, node);
        return Ok(match cuts {
            true => each(&input, |_, value| value.max(0.0)),
            false => input,
        });
    }
    if node.op == "Clip" {
        let (lowest, highest) = (run.optional(node, 1)?, run.optional(node, 2)?);
        let bound = |bound: &Array, none| bound.values.first().copied().unwrap_or(none);
        let lowest = bound(&lowest, node.float("min", f32::NEG_INFINITY).into());
        let highest = bound(&highest, node.float("max", f32::INFINITY).into());
        return Ok(each(&input, |_, value| value.max(lowest).min(highest)));
    }
    let scale = run.input(node, 1)?;
    let zero = run.optional(node, 2)?;
    let rank = input.shape.len() as i64;
    let axis = node.int("axis", 1);
    let axis = if axis < 0 { axis + rank } else { axis };
    let channel = |index: usize| match scale.values.len() {
        1 => 0,
        count => index / input.stride(axis as usize) % count,
    };
    let zero = |channel: usize| zero.values.get(channel).copied().unwrap_or(0.0);
    if node.op == "DequantizeLinear" {
        return Ok(each(&input, |index, value| {
            let channel = channel(index);
            (value - zero(channel)) * scale.values[channel]
        }));
    }
    let (lowest, highest) = bounds(run.graph, node).ok_or(Unevaluated::CodeType)?;
    Ok(each(&input, |index, value| {
        let channel = channel(index);
        let steps = (value / scale.values[channel]).round_ties_even() + zero(channel);
        steps.clamp(lowest, highest)
    }))
}

/// Whether nothing below zero is left: a ReLU is written so.
fn zero_is_lowest(graph: &Graph, node: &Node) -> bool {
    let zero = match node.input(2) {
        Some(id) => graph.constant(id).and_then(|zero| zero.as_number()),
        None => Some(0.0),
    };
    bounds(graph, node).is_some_and(|(lowest, _)| zero == Some(lowest as f32))
}

fn each(input: &Array, apply: impl Fn(usize, f64) -> f64) -> Array {
    let values = input.values.iter().enumerate();
    Array {
        shape: input.shape.clone(),
        values: values
            .map(|(index, &value)| apply(index, value))
            .collect::<Vec<_>>()
            .into(),
    }
}

/// The smallest and the largest integer that a `QuantizeLinear` gives: of the zero
/// point's type, else of the type it names, else unsigned bytes.
fn bounds(graph: &Graph, node: &Node) -> Option<(f64, f64)> {
    let Some(zero) = node.input(2) else {
        return match node.attributes.get("output_dtype") {
            Some(Attribute::Int(3)) => Some((-128.0, 127.0)),
            Some(Attribute::Int(21)) => Some((0.0, 15.0)),
            Some(Attribute::Int(22)) => Some((-8.0, 7.0)),
            _ => Some((0.0, 255.0)),
        };
    };
    let (lowest, highest) = stored(graph, zero)?;
    Some((lowest as f64, highest as f64))
}

fn stored(graph: &Graph, id: ValueId) -> Option<(i64, i64)> {
    let value = graph.value(id);
    let through = |node: &Node| match (node.op.as_str(), node.int("to", 0)) {
        ("Cast", 2) => Some((0, 255)),
        ("Cast", 3) => Some((-128, 127)),
        _ => graph.value(node.input(0)?).limits,
    };
    value
        .limits
        .or_else(|| through(graph.node(value.producer?)))
}
