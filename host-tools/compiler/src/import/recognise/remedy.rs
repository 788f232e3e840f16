//! Remedies for operators that no layer of the family has.

use super::Problem;
use super::activation::ACTIVATIONS;

/// The problem with an operator that is not supported.
pub(crate) fn unsupported(op: &str) -> Problem {
    let name = op.rsplit('.').next().unwrap_or(op);
    let (what, remedy) = match name {
        "BatchNormalization" => (
            "BatchNorm takes statistics of the image, as in training",
            "export the network in inference mode (`model.eval()`)",
        ),
        "SkipSimplifiedLayerNormalization"
        | "SkipLayerNormalization"
        | "LpNormalization"
        | "MeanVarianceNormalization"
        | "LRN" => (
            "this norm is not supported",
            "train with GroupNorm of one group (`GroupNorm(1, channels)`), LayerNorm or RMSNorm",
        ),
        "GlobalMaxPool" | "LpPool" | "GlobalLpPool" => (
            "this pooling is not supported",
            "use average pooling as token mixer, a global average in the head, and average or \
             max pools between stages",
        ),
        "PRelu" | "Selu" | "Celu" | "Clip" | "Softsign" | "ThresholdedRelu" | "Shrink" => {
            ("the activation is not supported", ACTIVATIONS)
        }
        "LogSoftmax" => (
            "softmax is not supported behind the head",
            "export the network without it",
        ),
        "Attention" | "MultiHeadAttention" => (
            "this form of attention as one operator is not supported",
            "export with ONNX's own `Attention` of operator set 23, or without fused attention",
        ),
        "QuantizeLinear"
        | "DequantizeLinear"
        | "QLinearConv"
        | "QLinearMatMul"
        | "ConvInteger"
        | "MatMulInteger"
        | "DynamicQuantizeLinear" => (
            "the network is quantized already",
            "export it in float32, before quantization",
        ),
        "Pad" => (
            "it pads with something else than zeros, or not in front of a convolution or pool",
            "pad with zeros, in the convolution itself (`padding=`)",
        ),
        "If" | "Loop" | "Scan" => (
            "control flow is not supported",
            "export a network without branches and loops",
        ),
        _ => (
            "no layer of the MetaFormer family has this operator",
            "use patch embeddings, blocks of token mixer and channel MLP, and a linear head only",
        ),
    };
    Problem::new(what, remedy)
}
