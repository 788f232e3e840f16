//! The depthwise embedding: each channel is reduced by a window of its own, to a map of its
//! own: a depthwise convolution in a stem or between stages, an average pool, a max pool.

mod float;
mod quantize;
pub(crate) mod recognise;

use tadpool_kernels::depthwise_embedding as kernel;

use crate::layers::{
    BoxedStep, LayerKind, Part, Places, QuantKind, QuantOp, Windows, Writes, dims,
};
use crate::network::float::Observe;
use crate::network::{Activation, Layer, Shape};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{Quant, QuantLayer};

/// A window of each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthwiseEmbedding {
    /// Window height and width.
    pub window: [usize; 2],
    /// Step between windows, down and across.
    pub stride: [usize; 2],
    /// Rows of padding at the top and columns at the left; what lies beyond the other sides
    /// is known by the shape that is written.
    pub padding: [usize; 2],
    /// The operation on the values of a window.
    pub reduction: Reduction,
    /// Behind it, if there is one: ReLU or ReLU6, which the range of an int8 map cuts off
    /// for nothing.
    pub rectifier: Option<Activation>,
}

/// The operation on the values of a window.
#[derive(Debug, Clone, PartialEq)]
pub enum Reduction {
    /// A sum with weights: a depthwise convolution, padded with zeros.
    Sum {
        /// `window height x window width x channels`, channel fastest.
        weight: Vec<f32>,
        /// One term per channel; zeros if the network has none.
        bias: Vec<f32>,
    },
    /// The mean.
    Mean {
        /// Whether padding counts, as values of zero.
        counts_padding: bool,
    },
    /// The largest value; padding does not count.
    Maximum,
}

/// Constants of a depthwise embedding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantDepthwiseEmbedding {
    /// Where the windows lie.
    pub windows: Windows,
    /// The operation on the values of a window.
    pub reduction: kernel::Reduction,
    /// `window x channels`, channel fastest; empty unless it is a sum.
    pub weights: Vec<i8>,
    /// The value that is read for zero.
    pub zero_point: i32,
    /// Q24: per channel, per number of places inside the map, or one.
    pub multiplier: Vec<i32>,
    /// Q16: per channel, or one.
    pub offset: Vec<i32>,
}

impl LayerKind for DepthwiseEmbedding {
    fn name(&self) -> &'static str {
        match self.reduction {
            Reduction::Sum { .. } => "depthwise embedding",
            Reduction::Mean { .. } => "average pool",
            Reduction::Maximum => "max pool",
        }
    }

    fn part(&self) -> Part {
        Part::Embedding
    }

    fn parameters(&self) -> Vec<&[f32]> {
        match &self.reduction {
            Reduction::Sum { weight, bias } => vec![weight, bias],
            Reduction::Mean { .. } | Reduction::Maximum => Vec::new(),
        }
    }

    fn macs(&self, output: Shape) -> u64 {
        match &self.reduction {
            Reduction::Sum { weight, .. } => output.tokens() as u64 * weight.len() as u64,
            Reduction::Mean { .. } | Reduction::Maximum => 0,
        }
    }

    fn run(&self, layer: &Layer, x: Vec<f32>, _observe: Observe<'_>) -> Vec<f32> {
        float::run(self, layer, &x)
    }

    fn quantize(&self, context: &Context<'_>, output: Quant) -> Result<QuantOp, QuantError> {
        quantize::quantize(context, self, output).map(QuantOp::DepthwiseEmbedding)
    }
}

impl QuantKind for QuantDepthwiseEmbedding {
    fn writes(&self) -> Writes {
        Writes::Map
    }

    fn is_tiled(&self) -> bool {
        false
    }

    fn windows(&self) -> Option<Windows> {
        Some(self.windows)
    }

    fn scratch_size(&self, layer: &QuantLayer, _tile_tokens: usize) -> Option<usize> {
        Some(kernel::scratch_size(layer.input.channels))
    }

    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(kernel::DepthwiseEmbedding {
            input: places.input,
            output: places.output,
            scratch: places.scratch,
            input_shape: dims(layer.input),
            output_shape: dims(layer.output),
            window: self.windows.window,
            stride: self.windows.stride,
            padding: self.windows.padding,
            reduction: self.reduction,
            weights: &self.weights,
            zero_point: self.zero_point,
            multiplier: &self.multiplier,
            offset: &self.offset,
        })
    }
}
