//! Execution order: dead nodes dropped, producers before consumers.

use super::OnnxError;
use crate::import::graph::{Graph, Node, NodeId};

/// Sorts the nodes that the outputs depend on, and records the producers.
///
/// # Errors
/// A cycle among these nodes.
pub(super) fn sort(mut graph: Graph) -> Result<Graph, OnnxError> {
    let mut producers = vec![None; graph.values.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        for output in node.outputs.iter().flatten() {
            producers[output.0] = Some(index);
        }
    }
    let outputs = [graph.output]
        .into_iter()
        .chain(graph.others.iter().copied());
    let last: Vec<usize> = outputs.filter_map(|id| producers[id.0]).collect();
    let order = reachable(&graph.nodes, &producers, &last)?;
    let mut nodes: Vec<Option<Node>> = graph.nodes.into_iter().map(Some).collect();
    graph.nodes = order
        .iter()
        .filter_map(|&index| nodes[index].take())
        .collect();
    for (index, node) in graph.nodes.iter().enumerate() {
        for output in node.outputs.iter().flatten() {
            graph.values[output.0].producer = Some(NodeId(index));
        }
    }
    Ok(graph)
}

/// Nodes that `last` depends on, in an order that can be executed.
///
/// A depth-first walk with a stack of its own: the depth of the graph is the
/// file's choice.
fn reachable(
    nodes: &[Node],
    producers: &[Option<usize>],
    last: &[usize],
) -> Result<Vec<usize>, OnnxError> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; nodes.len()];
    let mut order = Vec::new();
    let mut stack: Vec<(usize, usize)> = Vec::new();
    let mut last = last.iter();
    loop {
        let Some(top) = stack.last_mut() else {
            match last.next() {
                Some(&last) if marks[last] == Mark::New => {
                    marks[last] = Mark::Open;
                    stack.push((last, 0));
                }
                Some(_) => {}
                None => return Ok(order),
            }
            continue;
        };
        let (index, input) = *top;
        top.1 += 1;
        let Some(value) = nodes[index].inputs.get(input) else {
            marks[index] = Mark::Done;
            order.push(index);
            stack.pop();
            continue;
        };
        let Some(producer) = value.and_then(|id| producers[id.0]) else {
            continue;
        };
        match marks[producer] {
            Mark::Done => {}
            Mark::Open => {
                return Err(OnnxError::Cycle {
                    node: nodes[producer].name.clone(),
                });
            }
            Mark::New => {
                marks[producer] = Mark::Open;
                stack.push((producer, 0));
            }
        }
    }
}
