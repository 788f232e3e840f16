//! Shapes and constants: completes a graph as it was read.
//!
//! Exporters compute constants with nodes (`Shape`, `Gather`, `Concat`, ...).
//! Here every value gets its shape, and every value that does not depend on the
//! image its elements.

mod contradiction;
mod evaluate;
mod moves;
mod pads;
mod qdq;
mod shape;
mod window;

pub use contradiction::Contradiction;
pub(crate) use moves::{sliced_places, transpose};
pub(crate) use pads::Pads;
pub(crate) use qdq::QdqParameters;
pub(crate) use shape::{permutation, reduced_axes};
pub(crate) use window::Window;

use std::sync::Arc;

use crate::import::graph::{Graph, Node, Tensor, element_count};

/// Most elements of a value that depends on the image.
pub const MAX_MAP_ELEMENTS: usize = 1 << 24;
/// Most elements of all windows of a convolution together.
const MAX_PATCH_ELEMENTS: usize = 1 << 27;
/// Most elements that are computed while folding a graph.
const MAX_FOLDED_ELEMENTS: usize = 1 << 26;

/// A node whose arguments contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("node `{node}` ({op}): {what}")]
pub struct FoldError {
    /// Name of the node.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// The contradiction.
    pub what: Box<Contradiction>,
}

/// Fills in shapes and constants, node by node in execution order.
///
/// Values behind operators that are not known keep an unknown shape: whether
/// that matters is for the recognition to say.
///
/// # Errors
/// Arguments that contradict each other, such as a reshape to another number of
/// elements, and values larger than [`MAX_MAP_ELEMENTS`].
pub fn fold(mut graph: Graph) -> Result<Graph, FoldError> {
    let mut budget = MAX_FOLDED_ELEMENTS;
    // A copy: limits of whole numbers are found by way of producers.
    let nodes = graph.nodes.clone();
    for node in &nodes {
        complete(&mut graph, node, &mut budget).map_err(|what| FoldError {
            node: node.name.clone(),
            op: node.op.clone(),
            what: Box::new(what),
        })?;
    }
    Ok(graph)
}

/// Fills in shapes and constants of what one node makes; constants take their number of
/// elements from `budget`.
///
/// # Errors
/// See [`fold`].
pub(crate) fn complete(
    graph: &mut Graph,
    node: &Node,
    budget: &mut usize,
) -> Result<(), Contradiction> {
    let constant = constant(graph, node, *budget)?;
    let shape = match &constant {
        Some(tensor) => Some(tensor.shape.clone()),
        None => shape::infer(graph, node)?,
    };
    let limit = match constant {
        Some(_) => *budget,
        None => MAX_MAP_ELEMENTS,
    };
    let count = shape.as_ref().map(|shape| element_count(shape));
    if count.is_some_and(|count| count.is_none_or(|count| count > limit)) {
        return Err(Contradiction::LargeResult(shape));
    }
    if let (Some(_), Some(Some(count))) = (&constant, count) {
        *budget -= count;
    }
    if node.op == "Split" {
        for (output, shape) in shape::split(graph, node)? {
            graph.values[output.0].shape = Some(shape);
        }
    } else if let Some(output) = node.output() {
        let value = &mut graph.values[output.0];
        value.shape = shape;
        value.constant = constant.map(Arc::new);
    }
    Ok(())
}

fn constant(graph: &Graph, node: &Node, limit: usize) -> Result<Option<Tensor>, Contradiction> {
    if node.op == "Shape" {
        let shape = node.input(0).and_then(|id| graph.shape(id));
        return Ok(shape.map(|shape| evaluate::shape_of(node, shape)));
    }
    if matches!(node.op.as_str(), "QuantizeLinear" | "DequantizeLinear") {
        return qdq::evaluate(graph, node, limit);
    }
    let mut inputs = Vec::new();
    // A map's type is that of real numbers; its elements do not matter.
    let reads = match node.op.as_str() {
        "CastLike" if node.input(1).is_some_and(|id| graph.constant(id).is_none()) => 1,
        _ => node.inputs.len(),
    };
    for input in &node.inputs[..reads.min(node.inputs.len())] {
        inputs.push(match input.map(|id| graph.constant(id)) {
            Some(Some(tensor)) => Some(tensor.as_ref()),
            Some(None) => return Ok(None),
            None => None,
        });
    }
    evaluate::evaluate(node, &inputs, limit)
}
