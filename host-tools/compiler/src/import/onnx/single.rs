//! The file in single precision, for the float reference.

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{self, GraphProto, TensorProto};

use super::{OnnxError, tensor};
use crate::import::graph::Data;

/// The file `bytes` with everything that it computes in half or double precision computed
/// in single; none if it computes in single precision already.
///
/// # Errors
/// The bytes are not an ONNX file.
pub fn in_single(bytes: &[u8]) -> Result<Option<Vec<u8>>, OnnxError> {
    let mut model =
        pb::ModelProto::decode(bytes).map_err(|error| OnnxError::Decode(error.to_string()))?;
    let graph = model.graph.as_mut().ok_or(OnnxError::NoGraph)?;
    if !computes_in_other(graph) {
        return Ok(None);
    }
    for info in graph.input.iter_mut().chain(&mut graph.output) {
        let kind = info.r#type.as_mut().and_then(|kind| kind.value.as_mut());
        if let Some(pb::type_proto::Value::TensorType(tensor)) = kind
            && is_other(tensor.elem_type)
        {
            tensor.elem_type = DataType::Float as i32;
        }
    }
    // Sizes and types in between follow from these.
    graph.value_info.clear();
    for node in graph.node.iter_mut().filter(|node| node.op_type == "Cast") {
        for to in node.attribute.iter_mut().filter(|a| a.name == "to") {
            if is_other(to.i as i32) {
                to.i = DataType::Float as i64;
            }
        }
    }
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    let held = attributes.filter_map(|attribute| attribute.t.as_mut());
    for proto in graph.initializer.iter_mut().chain(held) {
        if !is_other(proto.data_type) {
            continue;
        }
        let name = proto.name.clone();
        let Data::Float(values) = tensor::read(proto.clone(), &name)?.data else {
            continue;
        };
        *proto = TensorProto {
            dims: proto.dims.clone(),
            name,
            data_type: DataType::Float as i32,
            raw_data: values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            ..TensorProto::default()
        };
    }
    Ok(Some(model.encode_to_vec()))
}

/// Whether something other than a stored weight has another precision, or a weight has one
/// that is not read everywhere.
fn computes_in_other(graph: &GraphProto) -> bool {
    let input = graph.input.iter().any(|info| {
        let kind = info.r#type.as_ref().and_then(|kind| kind.value.as_ref());
        matches!(kind, Some(pb::type_proto::Value::TensorType(tensor)) if is_other(tensor.elem_type))
    });
    let casts = graph.node.iter().any(|node| {
        let mut to = node.attribute.iter().filter(|a| a.name == "to");
        node.op_type == "Cast" && to.any(|to| is_other(to.i as i32))
    });
    let bfloat = |tensor: &TensorProto| tensor.data_type == DataType::Bfloat16 as i32;
    let held = || {
        let attributes = graph.node.iter().flat_map(|node| &node.attribute);
        attributes.filter_map(|attribute| attribute.t.as_ref())
    };
    input || casts || graph.initializer.iter().any(bfloat) || held().any(bfloat)
}

fn is_other(element: i32) -> bool {
    matches!(
        DataType::try_from(element),
        Ok(DataType::Float16 | DataType::Bfloat16 | DataType::Double)
    )
}
