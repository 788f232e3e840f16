//! The kernel of a step.

use tadpool_kernels::Buffer;
use tadpool_kernels::attention::Attention;
use tadpool_kernels::channel_mlp::ChannelMlp;
use tadpool_kernels::depthwise::Depthwise;
use tadpool_kernels::head::Head;
use tadpool_kernels::identity::Identity;
use tadpool_kernels::linear::{NormedLinear, PlainLinear, ResidualLinear};
use tadpool_kernels::normed_mlp::NormedMlp;
use tadpool_kernels::normed_pooling::NormedPooling;
use tadpool_kernels::patch_embedding::PatchEmbedding;
use tadpool_kernels::pooling::Pooling;
use tadpool_kernels::random_mixing::RandomMixing;
use tadpool_kernels::scaled_pooling::ScaledPooling;
use tadpool_kernels::sep_conv::SepConv;
use tadpool_kernels::visit::AnyStep;
use tadpool_kernels::weights::Weights;
use tadpool_kernels::wide_head::{HeadHidden, WideHead, WideLinear};

use crate::network::Shape;
use crate::place::memory::MemoryPlan;
use crate::place::schedule::Step;
use crate::quantize::quant_model::{
    QuantLayer, QuantMatrix, QuantOp, QuantPlainLinear, QuantResidualLinear, QuantWideLinear,
    WeightBits,
};

/// The constants of one kernel call.
#[derive(Debug, Clone)]
pub enum Kernel<'a> {
    /// See [`tadpool_kernels::patch_embedding`].
    PatchEmbedding(PatchEmbedding<'a>),
    /// See [`tadpool_kernels::pooling`].
    Pooling(Pooling<'a>),
    /// See [`tadpool_kernels::scaled_pooling`].
    ScaledPooling(ScaledPooling<'a>),
    /// See [`tadpool_kernels::normed_pooling`].
    NormedPooling(NormedPooling<'a>),
    /// See [`tadpool_kernels::identity`].
    Identity(Identity<'a>),
    /// See [`tadpool_kernels::random_mixing`].
    RandomMixing(RandomMixing<'a>),
    /// See [`tadpool_kernels::sep_conv`].
    SepConv(SepConv<'a>),
    /// See [`tadpool_kernels::attention`].
    Attention(Attention<'a>),
    /// See [`tadpool_kernels::channel_mlp`].
    ChannelMlp(ChannelMlp<'a>),
    /// See [`tadpool_kernels::normed_mlp`].
    NormedMlp(NormedMlp<'a>),
    /// See [`tadpool_kernels::head`].
    Head(Head<'a>),
    /// See [`tadpool_kernels::wide_head`].
    WideHead(WideHead<'a>),
}

impl Kernel<'_> {
    /// The step, whichever it is.
    pub fn step(&self) -> &dyn AnyStep {
        match self {
            Self::PatchEmbedding(step) => step,
            Self::Pooling(step) => step,
            Self::ScaledPooling(step) => step,
            Self::NormedPooling(step) => step,
            Self::Identity(step) => step,
            Self::RandomMixing(step) => step,
            Self::SepConv(step) => step,
            Self::Attention(step) => step,
            Self::ChannelMlp(step) => step,
            Self::NormedMlp(step) => step,
            Self::Head(step) => step,
            Self::WideHead(step) => step,
        }
    }

    /// What the step writes.
    pub fn output(&self) -> Buffer {
        self.step().output()
    }

    /// What the step reads: raw pixels or a feature map.
    pub fn input(&self) -> Buffer {
        self.step().input()
    }
}

/// The kernel of a layer, with its buffers.
pub(super) fn kernel<'a>(layer: &'a QuantLayer, step: &Step, memory: &MemoryPlan) -> Kernel<'a> {
    let input = memory.place(step.input);
    let output = memory.place(step.output);
    let scratch = step
        .scratch
        .map_or(Buffer::default(), |id| memory.place(id));
    let tile_tokens = step.tile_tokens;
    let dims = |shape: Shape| [shape.height, shape.width, shape.channels];
    match &layer.op {
        QuantOp::PatchEmbedding(op) => Kernel::PatchEmbedding(PatchEmbedding {
            input,
            output,
            scratch,
            input_shape: dims(layer.input),
            output_shape: dims(layer.output),
            kernel: op.kernel,
            stride: op.stride,
            padding: op.padding,
            tile_tokens,
            flip: if op.pixels { 0x80 } else { 0 },
            shift: &op.shift,
            pad: &op.pad,
            weights: weights(&op.matrix),
            bias: &op.bias,
            multiplier: &op.multiplier,
            zero_point: op.zero_point,
        }),
        QuantOp::Pooling(op) => Kernel::Pooling(Pooling {
            map: output,
            scratch,
            shape: dims(layer.input),
            norm: op.norm,
            factor: &op.factor,
            residual: op.residual,
            offset: op.offset,
        }),
        QuantOp::ScaledPooling(op) => Kernel::ScaledPooling(ScaledPooling {
            map: output,
            scratch,
            shape: dims(layer.input),
            norm: op.norm,
            factor: &op.factor,
            residual: &op.residual,
            offset: &op.offset,
        }),
        QuantOp::NormedPooling(op) => Kernel::NormedPooling(NormedPooling {
            map: output,
            scratch,
            shape: dims(layer.input),
            normed: op.normed,
            factor: &op.factor,
            residual: &op.residual,
            offset: &op.offset,
        }),
        QuantOp::Identity(op) => Kernel::Identity(Identity {
            map: output,
            channels: layer.input.channels,
            scope: op.scope,
            norm: op.norm,
            factor: &op.factor,
            offset: &op.offset,
            residual: &op.residual,
        }),
        QuantOp::RandomMixing(op) => Kernel::RandomMixing(RandomMixing {
            map: output,
            scratch,
            tokens: layer.input.tokens(),
            channels: layer.input.channels,
            normed: op.normed,
            weights: weights(&op.matrix),
            multiplier: &op.multiplier,
            constant: &op.constant,
            beta: &op.beta,
            factor: &op.factor,
            residual: &op.residual,
            offset: &op.offset,
        }),
        QuantOp::SepConv(op) => Kernel::SepConv(SepConv {
            map: output,
            scratch,
            shape: dims(layer.input),
            hidden: op.fc1.matrix.outputs,
            tile_tokens,
            normed: op.normed,
            fc1: plain_linear(&op.fc1),
            act1: op.act1.as_ref(),
            depthwise: Depthwise {
                kernel: op.depthwise.kernel,
                weights: &op.depthwise.weights,
                bias: &op.depthwise.bias,
                multiplier: &op.depthwise.multiplier,
                padding: op.depthwise.padding,
                zero: op.depthwise.zero,
            },
            act2: op.act2.as_ref(),
            fc2: residual_linear(&op.fc2),
        }),
        QuantOp::Attention(op) => Kernel::Attention(Attention {
            map: output,
            scratch,
            channels: layer.input.channels,
            heads: op.heads,
            head_size: op.projection.matrix.inputs / op.heads,
            tile_tokens,
            norm: op.norm,
            qkv: plain_linear(&op.qkv),
            exponent: op.exponent,
            attended: op.attended,
            projection: residual_linear(&op.projection),
        }),
        QuantOp::ChannelMlp(op) => {
            let fc1 = NormedLinear {
                weights: weights(&op.fc1),
                row_sums: &op.fc1_row_sums,
                bias: &op.fc1_bias,
                multiplier: &op.fc1_multiplier,
            };
            let fc2 = residual_linear(&op.fc2);
            Kernel::ChannelMlp(ChannelMlp {
                map: output,
                scratch,
                channels: op.fc1.inputs,
                hidden: op.fc1.outputs,
                tile_tokens,
                norm: op.norm,
                shift: &op.shift,
                fc1,
                hidden_zero: op.hidden_zero,
                activation: &op.activation,
                fc2,
            })
        }
        QuantOp::NormedMlp(op) => Kernel::NormedMlp(NormedMlp {
            map: output,
            scratch,
            channels: op.fc1.matrix.inputs,
            hidden: op.fc1.matrix.outputs,
            tile_tokens,
            norm: op.norm,
            fc1: plain_linear(&op.fc1),
            activation: &op.activation,
            fc2: residual_linear(&op.fc2),
        }),
        QuantOp::Head(op) => Kernel::Head(Head {
            map: input,
            output,
            scratch,
            tokens: layer.input.tokens(),
            channels: layer.input.channels,
            norm: op.norm,
            zero_point: op.zero_point,
            weights: weights(&op.matrix),
            row_sums: &op.row_sums,
            multiplier: &op.multiplier,
            bias: &op.bias,
        }),
        QuantOp::WideHead(op) => Kernel::WideHead(WideHead {
            map: input,
            output,
            scratch,
            tokens: layer.input.tokens(),
            channels: layer.input.channels,
            norm: op.norm,
            hidden: op.hidden.as_ref().map(|hidden| HeadHidden {
                fc1: wide_linear(&hidden.fc1),
                activation: &hidden.activation,
                norm: hidden.norm,
            }),
            linear: wide_linear(&op.linear),
        }),
    }
}

fn plain_linear(linear: &QuantPlainLinear) -> PlainLinear<'_> {
    PlainLinear {
        weights: weights(&linear.matrix),
        bias: &linear.bias,
        multiplier: &linear.multiplier,
        zero: linear.zero,
    }
}

fn residual_linear(linear: &QuantResidualLinear) -> ResidualLinear<'_> {
    ResidualLinear {
        weights: weights(&linear.matrix),
        bias: &linear.bias,
        residual: &linear.residual.factor,
        multiplier: &linear.multiplier,
        offset: &linear.residual.offset,
        zero_point: linear.residual.zero_point,
    }
}

fn wide_linear(linear: &QuantWideLinear) -> WideLinear<'_> {
    WideLinear {
        weights: weights(&linear.matrix),
        bias: &linear.bias,
        multiplier: &linear.multiplier,
    }
}

fn weights(matrix: &QuantMatrix) -> Weights<'_> {
    Weights::Int8(bytemuck::cast_slice(&matrix.weights))
}

/// Bits on the board of the layer's matrices.
pub(super) fn bits(layer: &QuantLayer) -> [WeightBits; 2] {
    match &layer.op {
        QuantOp::PatchEmbedding(op) => [op.matrix.bits; 2],
        QuantOp::RandomMixing(op) => [op.matrix.bits; 2],
        QuantOp::SepConv(op) => [op.fc1.matrix.bits, op.fc2.matrix.bits],
        QuantOp::ChannelMlp(op) => [op.fc1.bits, op.fc2.matrix.bits],
        QuantOp::NormedMlp(op) => [op.fc1.matrix.bits, op.fc2.matrix.bits],
        QuantOp::Attention(op) => [op.qkv.matrix.bits, op.projection.matrix.bits],
        QuantOp::Head(op) => [op.matrix.bits; 2],
        QuantOp::WideHead(op) => {
            let fc1 = op.hidden.as_ref().map_or(&op.linear, |hidden| &hidden.fc1);
            [fc1.matrix.bits, op.linear.matrix.bits]
        }
        QuantOp::Pooling(_)
        | QuantOp::ScaledPooling(_)
        | QuantOp::NormedPooling(_)
        | QuantOp::Identity(_) => [WeightBits::Int8; 2],
    }
}
