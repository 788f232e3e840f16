//! The MetaFormer IR: a network as a list of updates of one feature map.
//!
//! Everything downstream of the importer (float execution, calibration,
//! quantization, scheduling) works on this form and knows nothing of ONNX.
//! All arithmetic parameters are `f32`, as they were trained; nothing is folded
//! yet except what the importer had to undo to recognise a pattern.

mod maps;
mod parameters;

pub mod float;

use std::fmt;

/// A network: layers in execution order.
///
/// Every layer but the patch embeddings and the head updates the feature map
/// in place, so a layer's `input` shape equals the `output` of the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct MetaFormer {
    /// Rows, columns and channels of the image.
    pub input: Shape,
    /// Layers in execution order; the last one is the head, unless the network
    /// is a feature extractor, whose output is the last layer's map.
    pub layers: Vec<Layer>,
}

/// Height, width and channels of a feature map; element `(y, x, c)` lies at
/// `(y * width + x) * channels + c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per token.
    pub channels: usize,
}

/// One update of the feature map.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Place in the network, such as `stage2.block0.mixer`.
    pub name: String,
    /// ONNX nodes that this layer was recognised from, for error texts.
    pub nodes: Vec<String>,
    /// Feature map that is read.
    pub input: Shape,
    /// Feature map that is written; `1 x 1 x classes` for the head.
    pub output: Shape,
    /// What is computed.
    pub op: Op,
}

/// What a layer computes from its feature map `x`.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `conv(x)`; also the downsampling between stages.
    PatchEmbedding(PatchEmbedding),
    /// `norm(x)`, behind a patch embedding or at the end of a stage.
    Norm(Norm),
    /// `res_scale * x + layer_scale * (pool(n) - n)` with `n = norm(x)`, padding
    /// not counted.
    Pooling(Pooling),
    /// `res_scale * x + layer_scale * norm(x)`.
    Identity(Identity),
    /// `res_scale * x + layer_scale * (matrix * norm(x))`, over the tokens.
    RandomMixing(RandomMixing),
    /// `res_scale * x + layer_scale * fc2(act2(depthwise(act1(fc1(norm(x))))))`.
    SepConv(SepConv),
    /// `res_scale * x + layer_scale * projection(attention(qkv(norm(x))))`.
    Attention(Attention),
    /// `res_scale * x + layer_scale * fc2(activation(fc1(norm(x))))`.
    ChannelMlp(ChannelMlp),
    /// `linear(hidden(mean_norm(mean over tokens of norm(x))))`.
    Head(Head),
}

/// A convolution that embeds patches as tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchEmbedding {
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Step between windows, down and across.
    pub stride: [usize; 2],
    /// Zero padding: top, left, bottom, right.
    pub padding: [usize; 4],
    /// `outputs x (kernel height * kernel width * channels)`, channel fastest.
    pub linear: Linear,
}

/// The pooling token mixer.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooling {
    /// Normalisation before the mixer.
    pub norm: Norm,
    /// Window side; odd, stride 1, padded to keep the shape.
    pub kernel: usize,
    /// Factors of the branch and of the residual stream.
    pub residual: Residual,
}

/// The identity token mixer.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Normalisation before the mixer.
    pub norm: Norm,
    /// Factors of the branch and of the residual stream.
    pub residual: Residual,
}

/// The random mixing of RandFormer: a fixed matrix over the tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomMixing {
    /// Normalisation before the mixer.
    pub norm: Norm,
    /// `tokens x tokens`, row-major: row `i` weighs the tokens that make up
    /// token `i` of the branch.
    pub matrix: Vec<f32>,
    /// Factors of the branch and of the residual stream.
    pub residual: Residual,
}

/// The separable convolution of ConvFormer.
#[derive(Debug, Clone, PartialEq)]
pub struct SepConv {
    /// Normalisation before `fc1`.
    pub norm: Norm,
    /// Channels to hidden, token by token.
    pub fc1: Linear,
    /// Between `fc1` and `depthwise`.
    pub act1: Option<Activation>,
    /// Over the hidden channels.
    pub depthwise: Depthwise,
    /// Between `depthwise` and `fc2`.
    pub act2: Option<Activation>,
    /// Hidden to channels, token by token.
    pub fc2: Linear,
    /// Factors of the branch and of the residual stream.
    pub residual: Residual,
}

/// A convolution of every channel with a window of its own, stride 1, padded
/// with zeros to keep the shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Depthwise {
    /// Window height and width, both odd.
    pub kernel: [usize; 2],
    /// `kernel height x kernel width x channels`, channel fastest.
    pub weight: Vec<f32>,
    /// One term per channel; zeros if the network has none.
    pub bias: Vec<f32>,
}

/// Multi-head self-attention over all tokens of the map.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// Normalisation before `qkv`.
    pub norm: Norm,
    /// Number of heads; it divides `projection.inputs`.
    pub heads: usize,
    /// Factor of the products of queries and keys, before the softmax.
    pub scale: f32,
    /// Channels to queries, keys and values: outputs are three blocks of
    /// `heads * head size`, in this order, heads outermost in each.
    pub qkv: Linear,
    /// Heads to channels.
    pub projection: Linear,
    /// Factors of the branch and of the residual stream.
    pub residual: Residual,
}

/// The channel MLP.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelMlp {
    /// Normalisation before `fc1`.
    pub norm: Norm,
    /// Channels to hidden.
    pub fc1: Linear,
    /// Between `fc1` and `fc2`.
    pub activation: Activation,
    /// Hidden to channels.
    pub fc2: Linear,
    /// Factors of the branch and of the residual stream.
    pub residual: Residual,
}

/// How a branch joins the residual stream: `res_scale * x + layer_scale * branch`.
#[derive(Debug, Clone, PartialEq)]
pub struct Residual {
    /// One factor per channel of the branch; ones if the network has none.
    pub layer_scale: Vec<f32>,
    /// One factor per channel of the residual stream; ones if the network has
    /// none.
    pub res_scale: Vec<f32>,
}

/// Global average pooling and a classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Normalisation of the map before the mean, if there is one.
    pub norm: Option<Norm>,
    /// Normalisation of the mean over its channels, if there is one.
    pub mean_norm: Option<Norm>,
    /// The hidden layer of an MLP head.
    pub hidden: Option<HeadHidden>,
    /// Channels, or the hidden layer, to classes.
    pub linear: Linear,
}

/// The hidden layer of an MLP head: `norm(activation(fc1(mean)))`.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadHidden {
    /// Channels to hidden.
    pub fc1: Linear,
    /// Behind `fc1`.
    pub activation: Activation,
    /// Normalisation over the hidden layer.
    pub norm: Option<Norm>,
}

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta`.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// Which values share a mean and a variance.
    pub scope: NormScope,
    /// Factor per channel.
    pub gamma: Vec<f32>,
    /// Term per channel; zeros if the network has none.
    pub beta: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

/// Which values a norm takes a mean and a variance of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormScope {
    /// The whole map: GroupNorm with one group.
    Map,
    /// The channels of each token: LayerNorm.
    Token,
}

/// `y = weight * x + bias`.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Rows of `weight`.
    pub outputs: usize,
    /// Columns of `weight`.
    pub inputs: usize,
    /// Row-major, `outputs x inputs`.
    pub weight: Vec<f32>,
    /// One term per output; zeros if the network has none.
    pub bias: Vec<f32>,
}

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `x * Phi(x)`, the exact form with the error function.
    Gelu,
    /// `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)^2`.
    SquaredRelu,
    /// `scale * max(x, 0)^2 + bias`.
    StarRelu {
        /// Of the square.
        scale: f32,
        /// Added to it.
        bias: f32,
    },
}

impl Shape {
    /// Positions of the map.
    pub fn tokens(&self) -> usize {
        self.height * self.width
    }

    /// Values of the map.
    pub fn elements(&self) -> usize {
        self.tokens() * self.channels
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

impl Op {
    /// What the layer is called.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PatchEmbedding(_) => "patch embedding",
            Self::Norm(_) => "norm",
            Self::Pooling(_) => "pooling mixer",
            Self::Identity(_) => "identity mixer",
            Self::RandomMixing(_) => "random mixing",
            Self::SepConv(_) => "separable convolution",
            Self::Attention(_) => "self-attention",
            Self::ChannelMlp(_) => "channel MLP",
            Self::Head(_) => "head",
        }
    }
}

impl Op {
    /// The activation behind `fc1`, if the layer has one.
    pub fn activation(&self) -> Option<Activation> {
        match self {
            Self::ChannelMlp(mlp) => Some(mlp.activation),
            Self::SepConv(conv) => conv.act1,
            Self::Head(head) => head.hidden.as_ref().map(|hidden| hidden.activation),
            _ => None,
        }
    }
}

impl Layer {
    /// Multiply-accumulates of one inference: matrix products and convolutions
    /// only.
    pub fn macs(&self) -> u64 {
        let tokens = self.output.tokens() as u64;
        let weights = match &self.op {
            Op::PatchEmbedding(embedding) => embedding.linear.weight.len(),
            Op::ChannelMlp(mlp) => mlp.fc1.weight.len() + mlp.fc2.weight.len(),
            Op::SepConv(conv) => {
                conv.fc1.weight.len() + conv.depthwise.weight.len() + conv.fc2.weight.len()
            }
            Op::RandomMixing(mixing) => {
                return mixing.matrix.len() as u64 * self.output.channels as u64;
            }
            Op::Attention(attention) => {
                let products = 2 * tokens * tokens * attention.projection.inputs as u64;
                let weights = attention.qkv.weight.len() + attention.projection.weight.len();
                return products + tokens * weights as u64;
            }
            Op::Head(head) => {
                let hidden = head.hidden.as_ref().map_or(0, |h| h.fc1.weight.len());
                return (hidden + head.linear.weight.len()) as u64;
            }
            Op::Norm(_) | Op::Pooling(_) | Op::Identity(_) => 0,
        };
        tokens * weights as u64
    }

    /// Trained values; scales of ones and absent biases are counted too.
    pub fn parameters(&self) -> usize {
        self.op.values().iter().map(|values| values.len()).sum()
    }
}

impl Residual {
    /// A residual add without scales.
    pub fn plain(channels: usize) -> Self {
        Self {
            layer_scale: vec![1.0; channels],
            res_scale: vec![1.0; channels],
        }
    }
}

impl MetaFormer {
    /// Multiply-accumulates of one inference.
    pub fn macs(&self) -> u64 {
        self.layers.iter().map(Layer::macs).sum()
    }

    /// Trained values of all layers.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(Layer::parameters).sum()
    }

    /// Whether the network ends with a classifier.
    pub fn has_head(&self) -> bool {
        matches!(self.layers.last(), Some(layer) if matches!(layer.op, Op::Head(_)))
    }

    /// Number of scores; none if the network has no head.
    pub fn classes(&self) -> usize {
        match self.layers.last() {
            Some(layer) if self.has_head() => layer.output.channels,
            _ => 0,
        }
    }
}

impl Activation {
    /// The activation of one value.
    pub fn apply(self, x: f64) -> f64 {
        let square = x.max(0.0).powi(2);
        match self {
            Self::Gelu => 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            Self::GeluTanh => {
                let root = std::f64::consts::FRAC_2_PI.sqrt();
                0.5 * x * (1.0 + libm::tanh(root * (x + 0.044_715 * x.powi(3))))
            }
            Self::Relu => x.max(0.0),
            Self::SquaredRelu => square,
            Self::StarRelu { scale, bias } => f64::from(scale) * square + f64::from(bias),
        }
    }
}
