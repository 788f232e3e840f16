//! The MetaFormer IR: a network as a list of updates of one feature map.
//!
//! Everything downstream of the importer (float execution, calibration,
//! quantization, scheduling) works on this form and knows nothing of ONNX.
//! All arithmetic parameters are `f32`, as they were trained; nothing is folded
//! yet except what the importer had to undo to recognise a pattern.

use std::fmt;

/// A network: layers in execution order.
///
/// Every layer but the patch embeddings and the head updates the feature map
/// in place, so a layer's `input` shape equals the `output` of the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct MetaFormer {
    /// Rows, columns and channels of the image.
    pub input: Shape,
    /// Layers in execution order; the last one is the head.
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
    /// `x + layer_scale * (pool(n) - n)` with `n = norm(x)`, padding not counted.
    Pooling(Pooling),
    /// `x + layer_scale * norm(x)`.
    Identity(Identity),
    /// `x + layer_scale * fc2(activation(fc1(norm(x))))`.
    ChannelMlp(ChannelMlp),
    /// `linear(mean over tokens of norm(x))`.
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
    /// One factor per channel; ones if the network has no layer scale.
    pub layer_scale: Vec<f32>,
}

/// The identity token mixer.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Normalisation before the mixer.
    pub norm: Norm,
    /// One factor per channel; ones if the network has no layer scale.
    pub layer_scale: Vec<f32>,
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
    /// One factor per channel; ones if the network has no layer scale.
    pub layer_scale: Vec<f32>,
}

/// Global average pooling and a linear classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Normalisation before the mean, if there is one.
    pub norm: Option<Norm>,
    /// Channels to classes.
    pub linear: Linear,
}

/// GroupNorm with one group: one mean and one variance for the whole map.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// Factor per channel.
    pub gamma: Vec<f32>,
    /// Term per channel.
    pub beta: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * Phi(x)`, the exact form with the error function.
    Gelu,
    /// `max(x, 0)`.
    Relu,
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
            Self::Pooling(_) => "pooling mixer",
            Self::Identity(_) => "identity mixer",
            Self::ChannelMlp(_) => "channel MLP",
            Self::Head(_) => "head",
        }
    }
}

impl Layer {
    /// Multiply-accumulates of one inference: matrix products only.
    pub fn macs(&self) -> u64 {
        let weights = match &self.op {
            Op::PatchEmbedding(embedding) => embedding.linear.weight.len(),
            Op::ChannelMlp(mlp) => mlp.fc1.weight.len() + mlp.fc2.weight.len(),
            Op::Head(head) => return head.linear.weight.len() as u64,
            Op::Pooling(_) | Op::Identity(_) => 0,
        };
        self.output.tokens() as u64 * weights as u64
    }

    /// Trained values, layer scale of ones and absent biases counted too.
    pub fn parameters(&self) -> usize {
        let linear = |l: &Linear| l.weight.len() + l.bias.len();
        let norm = |n: &Norm| n.gamma.len() + n.beta.len();
        match &self.op {
            Op::PatchEmbedding(embedding) => linear(&embedding.linear),
            Op::Pooling(pooling) => norm(&pooling.norm) + pooling.layer_scale.len(),
            Op::Identity(identity) => norm(&identity.norm) + identity.layer_scale.len(),
            Op::ChannelMlp(mlp) => {
                norm(&mlp.norm) + linear(&mlp.fc1) + linear(&mlp.fc2) + mlp.layer_scale.len()
            }
            Op::Head(head) => head.norm.as_ref().map_or(0, norm) + linear(&head.linear),
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

    /// Length of the output.
    pub fn classes(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.output.channels)
    }
}

impl Activation {
    /// The activation of one value.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::Gelu => 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            Self::Relu => x.max(0.0),
        }
    }
}
