//! What to say about operators that no layer of the family has.

use super::Problem;

/// The problem with an operator that is not supported.
pub(super) fn unsupported(op: &str) -> Problem {
    let name = op.rsplit('.').next().unwrap_or(op);
    let (what, remedy) = match name {
        "BatchNormalization" => (
            "BatchNorm is not supported",
            "train with GroupNorm of one group (`GroupNorm(1, channels)`)",
        ),
        "RMSNormalization"
        | "SimplifiedLayerNormalization"
        | "LpNormalization"
        | "MeanVarianceNormalization"
        | "LRN" => (
            "this norm is not supported",
            "train with GroupNorm of one group (`GroupNorm(1, channels)`)",
        ),
        "MaxPool" | "GlobalMaxPool" | "LpPool" => (
            "this pooling is not supported",
            "use average pooling of 3x3, stride 1, padding not counted, as token mixer, and a \
             global average in the head",
        ),
        "Sigmoid" | "Tanh" | "HardSigmoid" | "HardSwish" | "LeakyRelu" | "PRelu" | "Elu"
        | "Selu" | "Celu" | "Clip" | "Mish" | "Swish" | "Softplus" | "Softsign" | "FastGelu"
        | "QuickGelu" | "ThresholdedRelu" | "BiasGelu" => (
            "the activation is not supported",
            "use GELU in its exact form (`GELU()` without approximation) or ReLU",
        ),
        "Softmax" | "LogSoftmax" => (
            "softmax is not supported",
            "export the network without a softmax behind the head; attention is not supported",
        ),
        "Einsum" | "Attention" | "MultiHeadAttention" => (
            "attention is not supported",
            "use pooling or identity as token mixer",
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
        "If" | "Loop" | "Scan" => (
            "control flow is not supported",
            "export a network without branches and loops",
        ),
        _ => (
            "no layer of a PoolFormer or IdentityFormer has this operator",
            "use patch embeddings, blocks of token mixer and channel MLP, and a linear head only",
        ),
    };
    Problem::new(what, remedy)
}
