//! Files that are refused as a whole, in one line: each of their nodes would say the same.

use super::Unsupported;
use crate::import::graph::{Graph, Node};

/// Problems of the file as a whole.
pub(super) fn refuse(graph: &Graph) -> Option<Unsupported> {
    KINDS.iter().find_map(|kind| {
        let mut nodes = graph.nodes.iter().filter(|node| (kind.has)(node));
        let first = nodes.next()?;
        let others = nodes.count();
        let what = match others {
            0 => kind.what.to_owned(),
            _ => format!("{} ({others} more nodes like it)", kind.what),
        };
        Some(Unsupported {
            node: first.name.clone(),
            op: first.op.clone(),
            what,
            remedy: kind.remedy.to_owned(),
        })
    })
}

pub(crate) struct Kind {
    has: fn(&Node) -> bool,
    pub(crate) what: &'static str,
    pub(crate) remedy: &'static str,
}

pub(crate) const KINDS: [Kind; 3] = [
    Kind {
        has: is_random,
        what: "it draws random numbers, as dropout and drop path do in training",
        remedy: "export the network in inference mode (`model.eval()`)",
    },
    Kind {
        has: is_on_integers,
        what: "the file is quantized already, with operators on integers",
        remedy: "export the float network, or quantize it in QDQ form (`QuantFormat.QDQ`)",
    },
    Kind {
        has: is_of_one_machine,
        what: "the file was optimised by ONNX Runtime for one machine",
        remedy: "take the file as it was exported, before that optimisation",
    },
];

fn is_random(node: &Node) -> bool {
    let ops = [
        "RandomUniform",
        "RandomUniformLike",
        "RandomNormal",
        "RandomNormalLike",
        "Bernoulli",
        "Multinomial",
    ];
    ops.contains(&node.op.as_str())
}

fn is_on_integers(node: &Node) -> bool {
    let name = node.op.rsplit('.').next().unwrap_or(&node.op);
    name.starts_with("QLinear")
        || name.ends_with("Integer")
        || name.ends_with("IntegerToFloat")
        || matches!(
            name,
            "DynamicQuantizeLinear"
                | "DynamicQuantizeMatMul"
                | "DynamicQuantizeLSTM"
                | "MatMulNBits"
                | "QGemm"
                | "QAttention"
                | "QMoE"
        )
}

fn is_of_one_machine(node: &Node) -> bool {
    let Some((domain, name)) = node.op.rsplit_once('.') else {
        return false;
    };
    domain.contains("nchwc")
        || domain.contains("nhwc")
        || (domain == "com.microsoft"
            && matches!(
                name,
                "FusedConv"
                    | "FusedMatMul"
                    | "FusedGemm"
                    | "NhwcConv"
                    | "NhwcFusedConv"
                    | "NhwcMaxPool"
                    | "SkipLayerNormalization"
                    | "SkipSimplifiedLayerNormalization"
                    | "SkipGroupNorm"
                    | "GroupNorm"
                    | "TransposeMatMul"
                    | "BiasSplitGelu"
                    | "BiasAdd"
            ))
}
