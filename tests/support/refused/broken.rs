//! Files that are damaged or contradict themselves.

use prost::Message;
use tract_onnx::pb;

use super::body;
use crate::support::proto::{image_info, int, ints, model, node};

/// Files that are no networks.
pub(crate) fn broken_files() -> Vec<(&'static str, Vec<u8>)> {
    let changed = |change: &dyn Fn(&mut pb::GraphProto)| {
        let mut graph = body(vec![]);
        change(&mut graph);
        model(graph, 18).encode_to_vec()
    };
    let whole = |change: &dyn Fn(&mut pb::ModelProto)| {
        let mut model = model(body(vec![]), 18);
        change(&mut model);
        model.encode_to_vec()
    };
    let records = |count: usize| {
        // Empty nodes: two bytes each in the file, hundreds in memory.
        let nodes = [0x0a, 0x00].repeat(count);
        let mut bytes = vec![0x3a];
        prost::encoding::encode_varint(nodes.len() as u64, &mut bytes);
        bytes.extend(nodes);
        bytes
    };
    vec![
        ("empty", vec![]),
        ("text", b"once upon a time".to_vec()),
        ("no graph", whole(&|model| model.graph = None)),
        (
            "no operator set",
            whole(&|model| model.opset_import.clear()),
        ),
        (
            "functions",
            whole(&|model| model.functions.push(pb::FunctionProto::default())),
        ),
        ("a million nodes", records(1 << 20)),
        ("many nodes", {
            let mut bytes = records(20_000);
            bytes.extend(
                pb::ModelProto {
                    opset_import: model(body(vec![]), 18).opset_import,
                    ..Default::default()
                }
                .encode_to_vec(),
            );
            bytes
        }),
        (
            "two inputs",
            changed(&|graph| {
                let mut info = graph.input[0].clone();
                info.name = "second".to_owned();
                graph.input.push(info);
            }),
        ),
        ("no input", changed(&|graph| graph.input.clear())),
        ("no output", changed(&|graph| graph.output.clear())),
        (
            "output that nothing computes",
            changed(&|graph| graph.output[0].name = "x2".to_owned()),
        ),
        (
            "batch of a thousand",
            changed(&|graph| {
                graph.input = vec![image_info([Some(1000), Some(3), Some(4), Some(4)])];
            }),
        ),
        (
            "symbolic height",
            changed(&|graph| {
                graph.input = vec![image_info([None, Some(3), None, Some(4)])];
            }),
        ),
        (
            "huge image",
            changed(&|graph| {
                graph.input = vec![image_info([None, Some(3), Some(1 << 40), Some(1 << 40)])];
            }),
        ),
        (
            "negative height",
            changed(&|graph| {
                graph.input = vec![image_info([None, Some(3), Some(-4), Some(4)])];
            }),
        ),
        (
            "input without type",
            changed(&|graph| graph.input[0].r#type = None),
        ),
        (
            "duplicate value",
            changed(&|graph| {
                graph.node[1].output[0] = "x".to_owned();
            }),
        ),
        (
            "duplicate tensor",
            changed(&|graph| {
                let tensor = graph.initializer[0].clone();
                graph.initializer.push(tensor);
            }),
        ),
        (
            "duplicate attribute",
            changed(&|graph| {
                graph.node[0].attribute = vec![int("group", 1), int("group", 2)];
            }),
        ),
        (
            "undefined input",
            changed(&|graph| graph.node[1].input[0] = "y".to_owned()),
        ),
        (
            "cycle",
            changed(&|graph| graph.node[0].input[0] = "features".to_owned()),
        ),
        (
            "external data",
            changed(&|graph| {
                graph.initializer[0].data_location =
                    Some(pb::tensor_proto::DataLocation::External as i32);
            }),
        ),
        (
            "sparse tensor",
            changed(&|graph| {
                graph
                    .sparse_initializer
                    .push(pb::SparseTensorProto::default());
            }),
        ),
        (
            "too little data",
            changed(&|graph| {
                graph.initializer[0].float_data.pop();
            }),
        ),
        (
            "negative size",
            changed(&|graph| graph.initializer[0].dims[0] = -2),
        ),
        (
            "overflowing sizes",
            changed(&|graph| graph.initializer[0].dims = vec![i64::MAX; 3]),
        ),
        (
            "complex numbers",
            changed(&|graph| graph.initializer[0].data_type = 14),
        ),
        (
            "weights that do not fit",
            changed(&|graph| {
                graph.initializer[0].dims = vec![3, 2, 1, 1];
            }),
        ),
        (
            "window larger than the image",
            changed(&|graph| {
                graph.initializer[0].dims = vec![1, 3, 1, 2];
                graph.input = vec![image_info([None, Some(3), Some(4), Some(1)])];
            }),
        ),
        (
            "stride of zero",
            changed(&|graph| {
                graph.node[0].attribute = vec![ints("strides", &[0, 0])];
            }),
        ),
        (
            "huge padding",
            changed(&|graph| {
                graph.node[0].attribute = vec![ints("pads", &[i64::MAX; 4])];
            }),
        ),
        (
            "large padding",
            changed(&|graph| {
                graph.node[0].attribute = vec![ints("pads", &[1 << 19; 4])];
            }),
        ),
        (
            "impossible reshape",
            changed(&|graph| {
                graph.node[2] = node("Reshape", &["mean", "target"], "features", vec![]);
                graph.initializer.push(pb::TensorProto {
                    name: "target".to_owned(),
                    dims: vec![2],
                    data_type: pb::tensor_proto::DataType::Int64 as i32,
                    int64_data: vec![-1, 7],
                    ..Default::default()
                });
            }),
        ),
        (
            "axis that does not exist",
            changed(&|graph| {
                graph.node[2].attribute = vec![int("axis", i64::MIN)];
            }),
        ),
        (
            "constant of a billion elements",
            changed(&|graph| {
                graph.initializer.push(pb::TensorProto {
                    name: "sizes".to_owned(),
                    dims: vec![3],
                    data_type: pb::tensor_proto::DataType::Int64 as i32,
                    int64_data: vec![1000, 1000, 1000],
                    ..Default::default()
                });
                graph
                    .node
                    .insert(0, node("ConstantOfShape", &["sizes"], "vast", vec![]));
                graph.node[1].input.push("vast".to_owned());
            }),
        ),
    ]
}
