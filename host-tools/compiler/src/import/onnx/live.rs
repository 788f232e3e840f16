//! The file without what its outputs do not need, for the float reference.

use std::collections::{HashMap, HashSet};

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use super::OnnxError;

/// The file `bytes` without nodes and stored tensors that no output depends on: a runtime
/// would load and evaluate them, whatever they are.
///
/// # Errors
/// The bytes are not an ONNX file.
pub fn live(bytes: Vec<u8>) -> Result<Vec<u8>, OnnxError> {
    let mut model =
        ModelProto::decode(&bytes[..]).map_err(|error| OnnxError::Decode(error.to_string()))?;
    let graph = model.graph.as_mut().ok_or(OnnxError::NoGraph)?;
    let sizes = |graph: &GraphProto| (graph.node.len(), graph.initializer.len());
    let before = sizes(graph);
    retain(graph);
    Ok(match sizes(graph) == before {
        true => bytes,
        false => model.encode_to_vec(),
    })
}

fn retain(graph: &mut GraphProto) {
    let producers: HashMap<&str, usize> = graph
        .node
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.output.iter().map(move |name| (name.as_str(), index)))
        .filter(|(name, _)| !name.is_empty())
        .collect();
    let mut needed: HashSet<String> = HashSet::new();
    let mut kept = vec![false; graph.node.len()];
    let mut open: Vec<&str> = graph.output.iter().map(|info| info.name.as_str()).collect();
    while let Some(name) = open.pop() {
        if !needed.insert(name.to_owned()) {
            continue;
        }
        if let Some(&index) = producers.get(name)
            && !std::mem::replace(&mut kept[index], true)
        {
            reads(&graph.node[index], &mut open);
        }
    }
    let mut kept = kept.iter();
    graph.node.retain(|_| kept.next() == Some(&true));
    graph
        .initializer
        .retain(|tensor| needed.contains(&tensor.name));
    // Up to version 3 of the format, stored tensors are listed as inputs too; an input that
    // was not stored stays, for the file is refused or has just the image.
    let stored: HashSet<&str> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name.as_str())
        .collect();
    let is_used = |name: &str| stored.contains(name) || needed.contains(name);
    let many = graph.input.len() > 1;
    graph.input.retain(|info| !many || is_used(&info.name));
    graph.value_info.retain(|info| needed.contains(&info.name));
}

/// Names that a node reads; those of the graphs in its attributes too.
fn reads<'a>(node: &'a NodeProto, names: &mut Vec<&'a str>) {
    let mut nodes = vec![node];
    while let Some(node) = nodes.pop() {
        names.extend(node.input.iter().map(String::as_str));
        for attribute in &node.attribute {
            for graph in attribute.g.iter().chain(&attribute.graphs) {
                names.extend(graph.output.iter().map(|info| info.name.as_str()));
                nodes.extend(&graph.node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{AttributeProto, TensorProto, ValueInfoProto};

    use super::*;

    fn node(inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        }
    }

    fn info(name: &str) -> ValueInfoProto {
        ValueInfoProto {
            name: name.to_owned(),
            ..ValueInfoProto::default()
        }
    }

    fn tensor(name: &str) -> TensorProto {
        TensorProto {
            name: name.to_owned(),
            ..TensorProto::default()
        }
    }

    fn model(graph: GraphProto) -> Vec<u8> {
        ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn what_no_output_needs_is_left_out() {
        let mut graph = GraphProto {
            input: vec![info("image"), info("w"), info("unused")],
            output: vec![info("scores")],
            initializer: vec![tensor("w"), tensor("unused"), tensor("inner")],
            value_info: vec![info("dead"), info("hidden")],
            node: vec![
                node(&["unused", "image"], "dead"),
                node(&["image", "w"], "hidden"),
                node(&["dead"], "dead too"),
                node(&["hidden"], "scores"),
            ],
            ..GraphProto::default()
        };
        let body = GraphProto {
            node: vec![node(&["inner"], "of the body")],
            output: vec![info("of the body")],
            ..GraphProto::default()
        };
        graph.node[3].attribute.push(AttributeProto {
            g: Some(body),
            ..AttributeProto::default()
        });
        let kept = ModelProto::decode(&live(model(graph)).unwrap()[..]).unwrap();
        let kept = kept.graph.unwrap();
        let outputs: Vec<_> = kept.node.iter().map(|node| &node.output[0]).collect();
        assert_eq!(outputs, ["hidden", "scores"]);
        let stored: Vec<_> = kept.initializer.iter().map(|t| &t.name).collect();
        assert_eq!(stored, ["w", "inner"]);
        let inputs: Vec<_> = kept.input.iter().map(|info| &info.name).collect();
        assert_eq!(inputs, ["image", "w"]);
        assert_eq!(kept.value_info.len(), 1);
    }

    #[test]
    fn a_file_without_dead_nodes_stays_as_it_is() {
        let bytes = model(GraphProto {
            output: vec![info("b")],
            node: vec![node(&["a"], "b")],
            ..GraphProto::default()
        });
        assert_eq!(live(bytes.clone()).unwrap(), bytes);
        // A cycle ends too; another stage refuses it.
        let cycle = model(GraphProto {
            output: vec![info("b")],
            node: vec![node(&["b"], "a"), node(&["a"], "b")],
            ..GraphProto::default()
        });
        assert_eq!(live(cycle.clone()).unwrap(), cycle);
    }
}
