//! The file without the rounding of its feature maps, for the float reference.

use std::collections::{HashMap, HashSet};

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{self, GraphProto, NodeProto, TensorProto};

use super::{OnnxError, is_default_domain, tensor};
use crate::import::graph::Data;

/// Most nodes between a stored weight and the one that dequantizes it.
const MAX_STEPS: usize = 6;

/// The file `bytes` with every pair of `QuantizeLinear` and `DequantizeLinear`
/// that rounds a value which depends on the image replaced by the value itself.
/// Pairs on weights stay, with weights of four bits stored in eight.
///
/// It works on the file's own nodes and shares nothing with the importer's
/// reading of them, so that the reference confirms that.
///
/// # Errors
/// The bytes are not an ONNX file.
pub fn without_qdq(bytes: &[u8]) -> Result<Vec<u8>, OnnxError> {
    let mut model =
        pb::ModelProto::decode(bytes).map_err(|error| OnnxError::Decode(error.to_string()))?;
    let graph = model.graph.as_mut().ok_or(OnnxError::NoGraph)?;
    strip(graph);
    widen(graph)?;
    Ok(model.encode_to_vec())
}

fn strip(graph: &mut GraphProto) {
    let constant = constants(graph);
    let producers: HashMap<&str, &NodeProto> = graph
        .node
        .iter()
        .flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)))
        .collect();
    let mut sources = HashMap::new();
    for node in graph
        .node
        .iter()
        .filter(|node| is(node, "DequantizeLinear"))
    {
        let Some(input) = node.input.first().filter(|name| !constant.contains(*name)) else {
            continue;
        };
        let mut source = producers.get(input.as_str());
        if let Some(clip) = source.filter(|node| is(node, "Clip")) {
            source = clip
                .input
                .first()
                .and_then(|name| producers.get(name.as_str()));
        }
        if let Some(quantize) = source.filter(|node| is(node, "QuantizeLinear"))
            && let (Some(output), Some(value)) = (node.output.first(), quantize.input.first())
        {
            let op = match zero_is_lowest(graph, quantize) {
                true => "Relu",
                false => "Identity",
            };
            sources.insert(output.clone(), (value.clone(), op));
        }
    }
    for node in &mut graph.node {
        if let Some((source, op)) = node.output.first().and_then(|name| sources.get(name)) {
            node.op_type = (*op).to_owned();
            node.input = vec![source.clone()];
            node.attribute.clear();
        }
    }
    // What led to them is used by nothing else: first the clipping, then the
    // rounding.
    for _ in 0..2 {
        let used: HashSet<String> = graph
            .node
            .iter()
            .flat_map(|node| node.input.iter().cloned())
            .chain(graph.output.iter().map(|info| info.name.clone()))
            .collect();
        graph.node.retain(|node| {
            !(is(node, "QuantizeLinear") || is(node, "Clip"))
                || node.output.iter().any(|name| used.contains(name))
        });
    }
}

/// Whether a `QuantizeLinear` leaves nothing below zero: a ReLU is written so.
fn zero_is_lowest(graph: &GraphProto, node: &NodeProto) -> bool {
    let Some(name) = node.input.get(2).filter(|name| !name.is_empty()) else {
        // Unsigned bytes.
        return !node.attribute.iter().any(|a| a.name == "output_dtype");
    };
    let held = graph
        .node
        .iter()
        .find(|node| node.op_type == "Constant" && node.output.first() == Some(name));
    let tensor = graph.initializer.iter().find(|tensor| tensor.name == *name);
    let held = held.and_then(|node| node.attribute.iter().find_map(|a| a.t.as_ref()));
    let Some(tensor) = tensor.or(held) else {
        return false;
    };
    let lowest = tensor::limits(tensor.data_type).map(|(lowest, _)| lowest);
    let values = tensor::read(tensor.clone(), name).ok();
    let zero = values
        .as_ref()
        .and_then(|values| values.as_ints()?.first().copied());
    zero.is_some() && zero == lowest
}

/// Names of the values that are made of stored ones in a few steps, as weights
/// are.
fn constants(graph: &GraphProto) -> HashSet<String> {
    let mut found: HashSet<String> = graph.initializer.iter().map(|t| t.name.clone()).collect();
    for _ in 0..MAX_STEPS {
        for node in &graph.node {
            let moves = [
                "Constant",
                "Identity",
                "Cast",
                "QuantizeLinear",
                "Clip",
                "Reshape",
            ];
            if moves.iter().any(|op| is(node, op))
                && node
                    .input
                    .iter()
                    .all(|name| name.is_empty() || found.contains(name))
            {
                found.extend(node.output.iter().cloned());
            }
        }
    }
    found
}

fn is(node: &NodeProto, op: &str) -> bool {
    node.op_type == op && is_default_domain(&node.domain)
}

/// Stores tensors of four bits in eight, which every runtime reads.
fn widen(graph: &mut GraphProto) -> Result<(), OnnxError> {
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    let held = attributes.filter_map(|attribute| attribute.t.as_mut());
    for proto in graph.initializer.iter_mut().chain(held) {
        let wide = match DataType::try_from(proto.data_type) {
            Ok(DataType::Int4) => DataType::Int8,
            Ok(DataType::Uint4) => DataType::Uint8,
            _ => continue,
        };
        let name = proto.name.clone();
        let narrow = tensor::read(proto.clone(), &name)?;
        let Data::Int(values) = narrow.data else {
            continue;
        };
        *proto = TensorProto {
            dims: proto.dims.clone(),
            name,
            data_type: wide as i32,
            raw_data: values.iter().map(|&value| value as u8).collect(),
            ..TensorProto::default()
        };
    }
    Ok(())
}
