//! Parts of ONNX files.

use tract_onnx::pb;

/// A model around a graph.
pub(crate) fn model(graph: pb::GraphProto, opset: i64) -> pb::ModelProto {
    pb::ModelProto {
        ir_version: 8,
        opset_import: vec![pb::OperatorSetIdProto {
            version: opset,
            ..Default::default()
        }],
        graph: Some(graph),
        ..Default::default()
    }
}

/// The declaration of the input `image`.
pub(crate) fn image_info(sizes: [Option<i64>; 4]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value};
    let dim = sizes
        .into_iter()
        .map(|size| Dimension {
            value: Some(match size {
                Some(size) => Value::DimValue(size),
                None => Value::DimParam("batch".to_owned()),
            }),
            ..Default::default()
        })
        .collect();
    let tensor = pb::type_proto::Tensor {
        elem_type: pb::tensor_proto::DataType::Float as i32,
        shape: Some(pb::TensorShapeProto { dim }),
    };
    pb::ValueInfoProto {
        name: "image".to_owned(),
        r#type: Some(pb::TypeProto {
            value: Some(pb::type_proto::Value::TensorType(tensor)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A node with one output, named like its output.
pub(crate) fn node(
    op: &str,
    inputs: &[&str],
    output: &str,
    attributes: Vec<pb::AttributeProto>,
) -> pb::NodeProto {
    pb::NodeProto {
        op_type: op.to_owned(),
        name: output.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: attributes,
        ..Default::default()
    }
}

pub(crate) fn int(name: &str, value: i64) -> pb::AttributeProto {
    attribute(name, pb::attribute_proto::AttributeType::Int, |a| {
        a.i = value;
    })
}

pub(crate) fn ints(name: &str, values: &[i64]) -> pb::AttributeProto {
    attribute(name, pb::attribute_proto::AttributeType::Ints, |a| {
        a.ints = values.to_vec();
    })
}

pub(crate) fn float(name: &str, value: f32) -> pb::AttributeProto {
    attribute(name, pb::attribute_proto::AttributeType::Float, |a| {
        a.f = value;
    })
}

pub(crate) fn text(name: &str, value: &str) -> pb::AttributeProto {
    attribute(name, pb::attribute_proto::AttributeType::String, |a| {
        a.s = value.as_bytes().to_vec();
    })
}

pub(crate) fn attribute(
    name: &str,
    kind: pb::attribute_proto::AttributeType,
    set: impl FnOnce(&mut pb::AttributeProto),
) -> pb::AttributeProto {
    let mut attribute = pb::AttributeProto {
        name: name.to_owned(),
        ..Default::default()
    };
    attribute.r#type = kind as i32;
    set(&mut attribute);
    attribute
}
