//! Names as a person may see them.

use tadpool_input::text::escaped;
use tract_onnx::pb::{GraphProto, NodeProto};

/// Escapes control characters and the like in all names that errors and reports quote.
///
/// Names only tell values and nodes apart here, so that nothing else changes; two names
/// that become one are a double definition like any other.
pub(super) fn escape(graph: &mut GraphProto) {
    let tensors = graph.initializer.iter_mut().map(|tensor| &mut tensor.name);
    let values = graph.input.iter_mut().chain(&mut graph.output);
    let values = values.map(|value| &mut value.name);
    tensors.chain(values).for_each(escape_name);
    for tensor in &mut graph.sparse_initializer {
        if let Some(values) = &mut tensor.values {
            escape_name(&mut values.name);
        }
    }
    graph.node.iter_mut().for_each(escape_node);
}

fn escape_node(node: &mut NodeProto) {
    let own = [&mut node.name, &mut node.op_type, &mut node.domain];
    own.into_iter()
        .chain(&mut node.input)
        .chain(&mut node.output)
        .for_each(escape_name);
    for attribute in &mut node.attribute {
        escape_name(&mut attribute.name);
        if let Some(tensor) = &mut attribute.t {
            escape_name(&mut tensor.name);
        }
    }
}

fn escape_name(name: &mut String) {
    if let std::borrow::Cow::Owned(shown) = escaped(name) {
        *name = shown;
    }
}
