//! The MetaFormer IR: a network as a list of updates of one feature map.
//!
//! Everything downstream of the importer (float execution, calibration,
//! quantization, scheduling) works on this form and knows nothing of ONNX.
//! All arithmetic parameters are `f32`, as they were trained; nothing is folded
//! yet except what the importer had to undo to recognise a pattern.

mod layer_name;
mod maps;

pub mod float;

pub use layer_name::{LayerName, StageName};
pub use tadpool_float::{Norm, NormScope, Shape};

pub use crate::layers::attention::Attention;
pub use crate::layers::channel_mlp::ChannelMlp;
pub use crate::layers::depthwise_embedding::{DepthwiseEmbedding, Reduction};
pub use crate::layers::head::{Head, HeadHidden};
pub use crate::layers::identity::Identity;
pub use crate::layers::patch_embedding::PatchEmbedding;
pub use crate::layers::pooling::Pooling;
pub use crate::layers::position_embedding::PositionEmbedding;
pub use crate::layers::random_mixing::RandomMixing;
pub use crate::layers::sep_conv::SepConv;
pub use crate::layers::{Op, Part};

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

/// One update of the feature map.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Place in the network, such as `stage2.block0.mixer`.
    pub name: LayerName,
    /// ONNX nodes that this layer was recognised from, for error texts.
    pub nodes: Vec<String>,
    /// Feature map that is read.
    pub input: Shape,
    /// Feature map that is written; `1 x 1 x classes` for the head.
    pub output: Shape,
    /// The function that is computed.
    pub op: Op,
}

/// A convolution of every channel with a window of its own, stride 1, padded
/// with zeros to keep the shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Depthwise {
    /// Window height and width, both odd.
    pub window: [usize; 2],
    /// `window height x window width x channels`, channel fastest.
    pub weight: Vec<f32>,
    /// One term per channel; zeros if the network has none.
    pub bias: Vec<f32>,
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
    /// `min(max(x, lowest), highest)`: ReLU6 from 0 to 6.
    Clip {
        /// Smallest value.
        lowest: f32,
        /// Largest value.
        highest: f32,
    },
    /// `x * sigmoid(alpha * x)`: SiLU for 1, quick GELU for 1.702.
    Swish {
        /// Of the gate's argument.
        alpha: f32,
    },
    /// `x * min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `x * tanh(softplus(x))`.
    Mish,
    /// `max(x, 0) + slope * min(x, 0)`.
    LeakyRelu {
        /// Of negative values.
        slope: f32,
    },
    /// `max(x, 0) + alpha * (exp(min(x, 0)) - 1)`.
    Elu {
        /// Of negative values.
        alpha: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `min(max(slope * x + offset, 0), 1)`.
    HardSigmoid {
        /// Of the argument.
        slope: f32,
        /// Added to it.
        offset: f32,
    },
    /// `tanh(x)`.
    Tanh,
    /// `log(1 + exp(x))`.
    Softplus,
}

impl Layer {
    /// Multiply-accumulates of one inference: matrix products and convolutions
    /// only.
    pub fn macs(&self) -> u64 {
        self.op.layer().macs(self.output)
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
        matches!(self.layers.last(), Some(layer) if layer.op.part() == Part::Head)
    }

    /// Classes that the scores tell apart: two by a single one, which is above zero or not.
    pub fn told_apart(&self) -> usize {
        match self.classes() {
            1 => 2,
            classes => classes,
        }
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
            Self::Clip { lowest, highest } => x.max(lowest.into()).min(highest.into()),
            Self::Swish { alpha } => x * sigmoid(f64::from(alpha) * x),
            Self::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Self::Mish => x * libm::tanh(softplus(x)),
            Self::LeakyRelu { slope } => x.max(0.0) + f64::from(slope) * x.min(0.0),
            Self::Elu { alpha } => x.max(0.0) + f64::from(alpha) * libm::expm1(x.min(0.0)),
            Self::Sigmoid => sigmoid(x),
            Self::HardSigmoid { slope, offset } => {
                (f64::from(slope) * x + f64::from(offset)).clamp(0.0, 1.0)
            }
            Self::Tanh => libm::tanh(x),
            Self::Softplus => softplus(x),
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}
