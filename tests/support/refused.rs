//! Networks that are refused, with the reason in their names.

pub(crate) mod broken;

use tract_onnx::pb;

use super::proto::{image_info, int, ints, node};

/// A graph of `image` to `scores`; weights are ones of the sizes given.
fn graph(nodes: Vec<pb::NodeProto>, weights: &[(&str, &[i64])]) -> pb::GraphProto {
    let initializer = weights
        .iter()
        .map(|&(name, dims)| pb::TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type: pb::tensor_proto::DataType::Float as i32,
            float_data: vec![1.0; dims.iter().product::<i64>() as usize],
            ..Default::default()
        })
        .collect();
    pb::GraphProto {
        node: nodes,
        initializer,
        input: vec![image_info([None, Some(3), Some(4), Some(4)])],
        output: vec![pb::ValueInfoProto {
            name: "scores".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

const WEIGHTS: &[(&str, &[i64])] = &[
    ("stem", &[2, 3, 1, 1]),
    ("wide", &[2, 2, 3, 3]),
    ("deep", &[2, 1, 3, 3]),
    ("point", &[2, 2, 1, 1]),
    ("one", &[1]),
    ("two", &[2]),
    ("position", &[1, 2, 4, 4]),
    ("classes", &[2, 5]),
];

/// Nodes between a stem and a head.
pub(super) fn body(mut nodes: Vec<pb::NodeProto>) -> pb::GraphProto {
    let last = nodes
        .last()
        .map_or("x".to_owned(), |node| node.output[0].clone());
    nodes.insert(0, node("Conv", &["image", "stem"], "x", vec![]));
    nodes.push(node("GlobalAveragePool", &[&last], "mean", vec![]));
    nodes.push(node("Flatten", &["mean"], "features", vec![]));
    nodes.push(node("MatMul", &["features", "classes"], "scores", vec![]));
    graph(nodes, WEIGHTS)
}

fn norm(x: &str, output: &str) -> pb::NodeProto {
    node(
        "GroupNormalization",
        &[x, "one", "one"],
        output,
        vec![int("num_groups", 1)],
    )
}

/// Networks that almost are MetaFormers of the supported kind.
pub(crate) fn near_misses() -> Vec<(&'static str, pb::GraphProto)> {
    vec![
        (
            "pool with gaps in its window",
            body(vec![
                norm("x", "n"),
                node(
                    "AveragePool",
                    &["n"],
                    "pool",
                    vec![
                        ints("kernel_shape", &[3, 3]),
                        ints("dilations", &[2, 2]),
                        ints("pads", &[2; 4]),
                    ],
                ),
            ]),
        ),
        (
            "pool to which its norm is added",
            body(vec![
                norm("x", "n"),
                node(
                    "AveragePool",
                    &["n"],
                    "pool",
                    vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4])],
                ),
                node("Add", &["pool", "n"], "both", vec![]),
                node("Add", &["x", "both"], "y", vec![]),
                norm("y", "m"),
                node("Add", &["y", "m"], "z", vec![]),
            ]),
        ),
        (
            "position embedding in a branch",
            body(vec![
                norm("x", "n"),
                node("Add", &["n", "n"], "y", vec![]),
                node("Add", &["y", "position"], "m", vec![]),
                node("Add", &["x", "m"], "z", vec![]),
            ]),
        ),
        (
            "no residual add",
            body(vec![
                norm("x", "n"),
                node("Conv", &["n", "point"], "u", vec![]),
                node("Relu", &["u"], "h", vec![]),
                node("Conv", &["h", "point"], "y", vec![]),
            ]),
        ),
        (
            "one linear layer as branch",
            body(vec![
                norm("x", "n"),
                node("Conv", &["n", "point"], "u", vec![]),
                node("Add", &["x", "u"], "y", vec![]),
            ]),
        ),
        (
            "skip connection across blocks",
            body(vec![
                norm("x", "n"),
                node("Add", &["x", "n"], "y", vec![]),
                norm("y", "m"),
                node("Add", &["y", "m"], "z", vec![]),
                norm("z", "o"),
                node("Add", &["x", "o"], "w", vec![]),
            ]),
        ),
        ("attention that looks back only", {
            let attention = node(
                "Attention",
                &["n", "n", "n"],
                "a",
                vec![int("is_causal", 1)],
            );
            body(vec![
                norm("x", "n"),
                attention,
                node("Add", &["x", "a"], "y", vec![]),
            ])
        }),
        ("attention with a mask", {
            let attention = node("Attention", &["n", "n", "n", "position"], "a", vec![]);
            body(vec![
                norm("x", "n"),
                attention,
                node("Add", &["x", "a"], "y", vec![]),
            ])
        }),
        ("attention whose heads share keys", {
            let heads = vec![int("q_num_heads", 2), int("kv_num_heads", 1)];
            let attention = node("Attention", &["n", "n", "n"], "a", heads);
            body(vec![
                norm("x", "n"),
                attention,
                node("Add", &["x", "a"], "y", vec![]),
            ])
        }),
        ("attention of a feature map itself", {
            let attention = node("Attention", &["n", "n", "n"], "a", vec![]);
            body(vec![
                norm("x", "n"),
                attention,
                node("Add", &["x", "a"], "y", vec![]),
            ])
        }),
        (
            "everything at once",
            body(vec![
                node(
                    "BatchNormalization",
                    &["x", "two", "two", "two", "two"],
                    "n",
                    vec![],
                ),
                node(
                    "Conv",
                    &["n", "deep"],
                    "d",
                    vec![int("group", 2), ints("pads", &[1; 4])],
                ),
                node("Add", &["x", "d"], "y", vec![]),
                node("InstanceNormalization", &["y", "two", "two"], "m", vec![]),
                node("Conv", &["m", "point"], "u", vec![]),
                node("Tanh", &["u"], "h", vec![]),
                node("Conv", &["h", "point"], "b", vec![]),
                node("Add", &["y", "b"], "z", vec![]),
                node(
                    "Conv",
                    &["z", "wide"],
                    "v",
                    vec![ints("dilations", &[2, 2]), ints("pads", &[2; 4])],
                ),
                node("Frobnicate", &["v"], "w", vec![]),
            ]),
        ),
        ("the image is the output", {
            let mut graph = body(vec![]);
            graph.output[0].name = "image".to_owned();
            graph
        }),
        ("a layer before the first patch embedding", {
            graph(
                vec![
                    norm("image", "n"),
                    node("Add", &["image", "n"], "y", vec![]),
                    node("GlobalAveragePool", &["y"], "mean", vec![]),
                    node("Conv", &["mean", "stem"], "scores", vec![]),
                ],
                WEIGHTS,
            )
        }),
        ("a weight that is not a number", {
            let mut graph = body(vec![]);
            graph.initializer[0].float_data[1] = f32::NAN;
            graph
        }),
    ]
}
