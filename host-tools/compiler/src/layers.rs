//! The kinds of layers: a file a kind, with everything that the compiler knows of it, in
//! the order of the data flow.
//!
//! A kind is two types. The float layer (`LayerKind`) is recognised in a file, runs in
//! `f32` and is quantized; the integer layer (`QuantKind`) is what quantization makes of
//! it, one type a kernel: its matrices, the scratch it needs and the constants of its
//! step. Everything else asks through the two traits, so that a new kind is a file here
//! and a line in each of the two enums.

pub mod activation;
pub mod attention;
pub mod channel_mlp;
pub mod depthwise_embedding;
pub mod depthwise_mixer;
pub mod head;
pub mod identity;
pub mod norm;
pub mod patch_embedding;
pub mod pooling;
pub mod position_embedding;
pub mod random_mixing;
pub mod sep_conv;

use tadpool_kernels::Buffer;
use tadpool_kernels::visit::AnyStep;
use tadpool_kernels::weights::unpacked_size;

use crate::import::recognise::Branch;
use crate::network::float::{Observe, View};
use crate::network::{Activation, Layer, Linear, Norm, Residual, Shape};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{Quant, QuantLayer, QuantMatrix, WeightBits};
use activation::QuantActivation;
use attention::{Attention, QuantAttention};
use channel_mlp::{ChannelMlp, QuantChannelMlp, QuantNormedMlp};
use depthwise_embedding::{DepthwiseEmbedding, QuantDepthwiseEmbedding};
use depthwise_mixer::{DepthwiseMixer, QuantDepthwiseMixer};
use head::{Head, QuantHead, QuantWideHead};
use identity::{Identity, QuantIdentity};
use patch_embedding::{PatchEmbedding, QuantPatchEmbedding};
use pooling::{Pooling, QuantNormedPooling, QuantPooling, QuantScaledPooling, QuantWidePooling};
use position_embedding::{PositionEmbedding, QuantPositionEmbedding};
use random_mixing::{QuantRandomMixing, RandomMixing};
use sep_conv::{QuantSepConv, SepConv};

/// The function that a layer computes from its feature map `x`.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `conv(x)`; also the downsampling between stages.
    PatchEmbedding(PatchEmbedding),
    /// `conv(x)`, a mean or a maximum, each channel by a window of its own; in a stem or
    /// between stages.
    DepthwiseEmbedding(DepthwiseEmbedding),
    /// `activation(x)`, in a stem.
    Activation(Activation),
    /// `x + positions`.
    PositionEmbedding(PositionEmbedding),
    /// `norm(x)`, behind a patch embedding or at the end of a stage.
    Norm(Norm),
    /// `res_scale * x + layer_scale * (pool(n) - n)` with `n = norm(x)`, or `pool(n)` alone;
    /// padding not counted.
    Pooling(Pooling),
    /// `res_scale * x + layer_scale * norm(x)`.
    Identity(Identity),
    /// `res_scale * x + layer_scale * (matrix * norm(x))`, over the tokens.
    RandomMixing(RandomMixing),
    /// `res_scale * x + layer_scale * fc2(act2(depthwise(act1(fc1(norm(x))))))`.
    SepConv(SepConv),
    /// `res_scale * x + layer_scale * depthwise(norm(x))`.
    DepthwiseMixer(DepthwiseMixer),
    /// `res_scale * x + layer_scale * projection(attention(qkv(norm(x))))`.
    Attention(Attention),
    /// `res_scale * x + layer_scale * fc2(activation(fc1(norm(x))))`.
    ChannelMlp(ChannelMlp),
    /// `linear(hidden(mean_norm(mean over tokens of norm(x))))`.
    Head(Head),
}

/// Constants of one layer, by kernel.
#[derive(Debug, Clone, PartialEq)]
pub enum QuantOp {
    /// See [`tadpool_kernels::patch_embedding`].
    PatchEmbedding(QuantPatchEmbedding),
    /// See [`tadpool_kernels::depthwise_embedding`].
    DepthwiseEmbedding(QuantDepthwiseEmbedding),
    /// See [`tadpool_kernels::activation`].
    Activation(QuantActivation),
    /// See [`tadpool_kernels::position_embedding`].
    PositionEmbedding(QuantPositionEmbedding),
    /// See [`tadpool_kernels::pooling`].
    Pooling(QuantPooling),
    /// See [`tadpool_kernels::scaled_pooling`].
    ScaledPooling(QuantScaledPooling),
    /// See [`tadpool_kernels::normed_pooling`].
    NormedPooling(QuantNormedPooling),
    /// See [`tadpool_kernels::wide_pooling`].
    WidePooling(QuantWidePooling),
    /// See [`tadpool_kernels::identity`].
    Identity(QuantIdentity),
    /// See [`tadpool_kernels::random_mixing`].
    RandomMixing(QuantRandomMixing),
    /// See [`tadpool_kernels::sep_conv`].
    SepConv(Box<QuantSepConv>),
    /// See [`tadpool_kernels::depthwise_mixer`].
    DepthwiseMixer(Box<QuantDepthwiseMixer>),
    /// See [`tadpool_kernels::attention`].
    Attention(Box<QuantAttention>),
    /// See [`tadpool_kernels::channel_mlp`].
    ChannelMlp(Box<QuantChannelMlp>),
    /// See [`tadpool_kernels::normed_mlp`].
    NormedMlp(Box<QuantNormedMlp>),
    /// See [`tadpool_kernels::head`].
    Head(QuantHead),
    /// See [`tadpool_kernels::wide_head`].
    WideHead(Box<QuantWideHead>),
}

/// The contract of a float layer.
pub(crate) trait LayerKind {
    /// The name that people read.
    fn name(&self) -> &'static str;

    /// Its part in a block, which gives it its place in the network.
    fn part(&self) -> Part;

    /// Every list of trained values; scales of ones and absent biases are among them.
    fn parameters(&self) -> Vec<&[f32]>;

    /// Its matrices whose bits can be chosen, at most two, in the order of
    /// [`LayerPrecision::weights`](crate::quantize::precision::LayerPrecision::weights).
    fn matrices(&self) -> Vec<Matrix<'_>> {
        Vec::new()
    }

    /// Multiply-accumulates of one inference: matrix products and convolutions only.
    fn macs(&self, output: Shape) -> u64 {
        let matrices = self.matrices();
        let weights = matrices.iter().map(|matrix| matrix.weight.len() as u64);
        output.tokens() as u64 * weights.sum::<u64>()
    }

    /// The activation behind its first matrix, if it has one.
    fn activation(&self) -> Option<Activation> {
        None
    }

    /// Maps besides its output and those around its first activation that become
    /// integers and so need a range.
    fn inner_views(&self) -> &'static [View] {
        &[]
    }

    /// Runs it on the map `x`; every map on the way but the last is shown to `observe`.
    fn run(&self, layer: &Layer, x: Vec<f32>, observe: Observe<'_>) -> Vec<f32>;

    /// Its integer form; `output` is the meaning of what it is to write.
    ///
    /// # Errors
    /// A [`QuantError`] that names the layer and what does not fit.
    fn quantize(&self, context: &Context<'_>, output: Quant) -> Result<QuantOp, QuantError>;
}

/// The contract of an integer layer.
pub(crate) trait QuantKind {
    /// Its matrices, as [`LayerKind::matrices`].
    fn matrices(&self) -> Vec<&QuantMatrix> {
        Vec::new()
    }

    /// The kind of its output.
    fn writes(&self) -> Writes {
        Writes::InPlace
    }

    /// Where its windows lie, if it moves one over the map to write a map of its own.
    fn windows(&self) -> Option<Windows> {
        None
    }

    /// Whether it takes a few tokens at a time, for all of which its matrices are unpacked
    /// together.
    fn is_tiled(&self) -> bool {
        true
    }

    /// Bytes of scratch of its kernel with weights of eight bits; none if it needs no
    /// scratch.
    fn scratch_size(&self, layer: &QuantLayer, tile_tokens: usize) -> Option<usize>;

    /// The constants of its kernel.
    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a>;
}

/// A step of any kind.
pub(crate) type BoxedStep<'a> = Box<dyn AnyStep + Send + Sync + 'a>;

/// The part that a layer has in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Begins a stage.
    Embedding,
    /// Behind an embedding.
    Activation,
    /// In front of the blocks of a stage.
    Position,
    /// Behind an embedding, or at the end of a stage.
    Norm,
    /// Mixes tokens.
    Mixer,
    /// Mixes channels.
    ChannelMlp,
    /// Ends the network.
    Head,
}

/// A matrix of a float layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    /// Its name behind the layer's, such as `fc1`; empty if it is the only one.
    pub(crate) name: &'static str,
    /// Columns.
    pub(crate) inputs: usize,
    /// Row-major.
    pub(crate) weight: &'a [f32],
    /// A factor of each column that quantization folds in: the norm's weight.
    pub(crate) gamma: Option<&'a [f32]>,
    /// The map of the layer that it reads, if its weights are rounded by what calibration
    /// saw there.
    pub(crate) reads: Option<View>,
}

/// The maps that an integer layer writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// Over the map that it reads.
    InPlace,
    /// A map of its own.
    Map,
    /// The logits.
    Logits,
}

/// A window that moves over a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Rows and columns of a window.
    pub window: [usize; 2],
    /// Step between windows, down and across.
    pub stride: [usize; 2],
    /// Rows of padding at the top and columns at the left.
    pub padding: [usize; 2],
    /// Tokens that are written at a time, if the schedule does not say.
    pub at_once: Option<usize>,
}

/// Where the buffers of a step lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    /// The map that is read.
    pub(crate) input: Buffer,
    /// The map that is written.
    pub(crate) output: Buffer,
    /// The kernel's temporary; empty if it needs none.
    pub(crate) scratch: Buffer,
    /// Tokens that the kernel takes at a time.
    pub(crate) tile_tokens: usize,
}

/// Finds a kind of residual layer in what is added to a feature map: none if it is not
/// of this kind.
pub(crate) type Recogniser =
    fn(&Branch<'_>) -> Option<Result<Op, crate::import::recognise::Problem>>;

/// A kind of residual layer.
pub(crate) struct Residuals {
    /// Its name.
    pub(crate) name: &'static str,
    /// The branch that is added to the map `x`, where `n` is its norm.
    pub(crate) branch: &'static str,
    /// Finds it.
    pub(crate) recognise: Recogniser,
}

const fn residuals(name: &'static str, branch: &'static str, recognise: Recogniser) -> Residuals {
    Residuals {
        name,
        branch,
        recognise,
    }
}

/// The residual layers, in the order in which they are tried.
pub(crate) const RESIDUAL_LAYERS: [Residuals; 7] = [
    residuals(
        "pooling mixer",
        "pool(n) - n, or pool(n) alone; 3x3, 5x5 or 7x7, padding not counted",
        pooling::recognise::layer,
    ),
    residuals("identity mixer", "n", identity::recognise::layer),
    residuals(
        "random mixing",
        "matrix * n, over the tokens",
        random_mixing::recognise::layer,
    ),
    residuals(
        "separable convolution",
        "fc2(act2(depthwise(act1(fc1(n))))), any odd window",
        sep_conv::recognise::layer,
    ),
    residuals(
        "depthwise mixer",
        "depthwise(n), any odd window",
        depthwise_mixer::recognise::layer,
    ),
    residuals(
        "self-attention",
        "projection(softmax(scale * q * k^T) * v), q, k, v linear in n",
        attention::recognise::layer,
    ),
    residuals(
        "channel MLP",
        "fc2(activation(fc1(n)))",
        channel_mlp::recognise::layer,
    ),
];

impl Op {
    /// The layer, whichever it is.
    pub(crate) fn layer(&self) -> &dyn LayerKind {
        match self {
            Self::PatchEmbedding(op) => op,
            Self::DepthwiseEmbedding(op) => op,
            Self::Activation(op) => op,
            Self::PositionEmbedding(op) => op,
            Self::Norm(op) => op,
            Self::Pooling(op) => op,
            Self::Identity(op) => op,
            Self::RandomMixing(op) => op,
            Self::SepConv(op) => op,
            Self::DepthwiseMixer(op) => op,
            Self::Attention(op) => op,
            Self::ChannelMlp(op) => op,
            Self::Head(op) => op,
        }
    }

    /// The name that people read.
    pub fn kind(&self) -> &'static str {
        self.layer().name()
    }

    /// The layer's part in a block.
    pub fn part(&self) -> Part {
        self.layer().part()
    }

    /// The activation behind `fc1`, if the layer has one.
    pub fn activation(&self) -> Option<Activation> {
        self.layer().activation()
    }

    /// The ReLU or ReLU6 that the range of the map which the layer writes cuts off.
    pub fn rectifier(&self) -> Option<Activation> {
        match self {
            Self::PatchEmbedding(op) => op.rectifier,
            Self::DepthwiseEmbedding(op) => op.rectifier,
            _ => None,
        }
    }

    /// Every list of real parameters of the layer.
    pub fn values(&self) -> Vec<&[f32]> {
        self.layer().parameters()
    }
}

impl QuantOp {
    /// The layer, whichever it is.
    pub(crate) fn layer(&self) -> &dyn QuantKind {
        match self {
            Self::PatchEmbedding(op) => op,
            Self::DepthwiseEmbedding(op) => op,
            Self::Activation(op) => op,
            Self::PositionEmbedding(op) => op,
            Self::Pooling(op) => op,
            Self::ScaledPooling(op) => op,
            Self::NormedPooling(op) => op,
            Self::WidePooling(op) => op,
            Self::Identity(op) => op,
            Self::RandomMixing(op) => op,
            Self::SepConv(op) => &**op,
            Self::DepthwiseMixer(op) => &**op,
            Self::Attention(op) => &**op,
            Self::ChannelMlp(op) => &**op,
            Self::NormedMlp(op) => &**op,
            Self::Head(op) => op,
            Self::WideHead(op) => &**op,
        }
    }

    /// Its matrices, in the order of those of the float layer.
    pub fn matrices(&self) -> Vec<&QuantMatrix> {
        self.layer().matrices()
    }

    /// Whether the layer ends the network with logits.
    pub fn is_head(&self) -> bool {
        self.layer().writes() == Writes::Logits
    }
}

impl<'a> Matrix<'a> {
    /// The matrix of a linear layer.
    fn of(name: &'static str, linear: &'a Linear) -> Self {
        Self {
            name,
            inputs: linear.inputs,
            weight: &linear.weight,
            gamma: None,
            reads: None,
        }
    }

    /// The same behind a norm.
    fn behind(self, norm: &'a Norm) -> Self {
        Self {
            gamma: Some(&norm.gamma),
            ..self
        }
    }

    /// The same, rounded by what calibration saw of a map.
    fn reading(self, view: View) -> Self {
        Self {
            reads: Some(view),
            ..self
        }
    }
}

impl Linear {
    fn lists(&self) -> [&[f32]; 2] {
        [&self.weight, &self.bias]
    }
}

impl Residual {
    fn lists(&self) -> [&[f32]; 2] {
        [&self.layer_scale, &self.res_scale]
    }
}

/// Scratch bytes of a kernel that unpacks `matrices` one after the other beside `size`
/// bytes of its own.
pub(crate) fn with_unpacked(size: usize, matrices: &[&QuantMatrix]) -> usize {
    let unpacked = matrices.iter().map(|matrix| match matrix.bits {
        WeightBits::Int8 => 0,
        WeightBits::Int4 => unpacked_size(matrix.outputs, matrix.inputs),
    });
    size + unpacked.max().unwrap_or(0)
}

fn dims(shape: Shape) -> [usize; 3] {
    [shape.height, shape.width, shape.channels]
}
