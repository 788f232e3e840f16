//! The pooling mixer: `res_scale * x + layer_scale * (pool(n) - n) + bias` with
//! `n = norm(x)`, or `pool(n)` alone; padding not counted. (A pool that counts it is a
//! depthwise convolution.)
//!
//! Four kernels: behind a norm of the whole map; the same with a res scale, a bias or nothing
//! subtracted; behind a norm of each token; and with a window of 5x5 or 7x7 behind any norm.

mod float;
mod quantize;
pub(crate) mod recognise;

use tadpool_kernels::int16;
use tadpool_kernels::norm::Norm as KernelNorm;
use tadpool_kernels::normed::Normed;
use tadpool_kernels::normed_pooling::{self, NormedPooling};
use tadpool_kernels::pooling::{self as kernel, Subtracted};
use tadpool_kernels::scaled_pooling::{self, ScaledPooling};
use tadpool_kernels::wide_pooling::{self, WidePooling};

use crate::layers::{BoxedStep, LayerKind, Part, Places, QuantKind, QuantOp, dims};
use crate::network::float::{Observe, View};
use crate::network::{Layer, Norm, NormScope, Residual};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{Quant, QuantLayer, Stream};

/// The pooling token mixer.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooling {
    /// Normalisation before the mixer.
    pub norm: Norm,
    /// Window side; odd, stride 1, padded to keep the shape.
    pub window: usize,
    /// The values that are taken off the pool.
    pub subtracted: Subtracted,
    /// Factors of the branch and of the residual stream.
    pub residual: Residual,
    /// A term of each channel, as BatchNorm behind the pool leaves one; empty if there is none.
    pub bias: Vec<f32>,
}

/// Constants of a pooling mixer.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantPooling {
    /// The norm before the mixer.
    pub norm: KernelNorm,
    /// Per channel, Q24.
    pub factor: Vec<i32>,
    /// Q16.
    pub residual: i32,
    /// Q16.
    pub offset: i32,
}

/// Constants of a pooling mixer with a res scale, or with nothing subtracted.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantScaledPooling {
    /// The norm before the mixer.
    pub norm: KernelNorm,
    /// The values that are taken off the pool.
    pub subtracted: Subtracted,
    /// Per channel, Q24.
    pub factor: Vec<i32>,
    /// Per channel, Q16.
    pub residual: Vec<i32>,
    /// Per channel, Q16.
    pub offset: Vec<i32>,
}

/// Constants of a pooling mixer behind a norm of each token.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantNormedPooling {
    /// The norm before the mixer.
    pub normed: Normed,
    /// The values that are taken off the pool.
    pub subtracted: Subtracted,
    /// Per channel, Q28.
    pub factor: Vec<i32>,
    /// Per channel, Q24.
    pub residual: Vec<i32>,
    /// Per channel, Q16.
    pub offset: Vec<i32>,
}

/// Constants of a pooling mixer with a window of more than 3x3.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantWidePooling {
    /// Side of the window.
    pub window: usize,
    /// The norm before the mixer if it is folded, or has fixed statistics.
    pub norm: Option<KernelNorm>,
    /// The norm before the mixer if it is written out.
    pub normed: Option<Normed>,
    /// The values that are taken off the pool.
    pub subtracted: Subtracted,
    /// Per channel, Q36 or Q40.
    pub factor: Vec<i32>,
    /// Per channel, Q24.
    pub residual: Vec<i32>,
    /// Per channel, Q16.
    pub offset: Vec<i32>,
}

impl LayerKind for Pooling {
    fn name(&self) -> &'static str {
        "pooling mixer"
    }

    fn part(&self) -> Part {
        Part::Mixer
    }

    fn parameters(&self) -> Vec<&[f32]> {
        let mut lists = [self.norm.lists(), self.residual.lists()].concat();
        lists.push(&self.bias);
        lists
    }

    fn inner_views(&self) -> &'static [View] {
        match self.norm.scope {
            NormScope::Map | NormScope::Fixed => &[],
            NormScope::Token => &[View::Input],
        }
    }

    fn run(&self, layer: &Layer, mut x: Vec<f32>, observe: Observe<'_>) -> Vec<f32> {
        float::run(self, layer.input, &mut x, observe);
        x
    }

    fn quantize(&self, context: &Context<'_>, output: Quant) -> Result<QuantOp, QuantError> {
        quantize::quantize(context, self, output)
    }
}

impl QuantKind for QuantPooling {
    fn scratch_size(&self, layer: &QuantLayer, _tile_tokens: usize) -> Option<usize> {
        let size = match layer.stream {
            Stream::Int8 => kernel::Pooling::scratch_size,
            Stream::Int16 => int16::pooling::scratch_size,
        };
        Some(size(layer.input.width, layer.input.channels))
    }

    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(kernel::Pooling {
            map: places.output,
            scratch: places.scratch,
            shape: dims(layer.input),
            norm: self.norm,
            factor: &self.factor,
            residual: self.residual,
            offset: self.offset,
        })
    }
}

impl QuantKind for QuantScaledPooling {
    fn scratch_size(&self, layer: &QuantLayer, _tile_tokens: usize) -> Option<usize> {
        let (width, channels) = (layer.input.width, layer.input.channels);
        Some(scaled_pooling::scratch_size(width, channels))
    }

    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(ScaledPooling {
            map: places.output,
            scratch: places.scratch,
            shape: dims(layer.input),
            norm: self.norm,
            subtracted: self.subtracted,
            factor: &self.factor,
            residual: &self.residual,
            offset: &self.offset,
        })
    }
}

impl QuantKind for QuantWidePooling {
    fn scratch_size(&self, layer: &QuantLayer, _tile_tokens: usize) -> Option<usize> {
        let (width, channels) = (layer.input.width, layer.input.channels);
        let value_bytes = match self.normed {
            Some(_) => 1,
            None => layer.stream.value_bytes(),
        };
        let window = self.window;
        Some(wide_pooling::scratch_size(
            window,
            width,
            channels,
            value_bytes,
        ))
    }

    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(WidePooling {
            map: places.output,
            scratch: places.scratch,
            shape: dims(layer.input),
            window: self.window,
            norm: self.norm,
            normed: self.normed,
            subtracted: self.subtracted,
            factor: &self.factor,
            residual: &self.residual,
            offset: &self.offset,
        })
    }
}

impl QuantKind for QuantNormedPooling {
    fn scratch_size(&self, layer: &QuantLayer, _tile_tokens: usize) -> Option<usize> {
        let (width, channels) = (layer.input.width, layer.input.channels);
        Some(normed_pooling::scratch_size(width, channels))
    }

    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(NormedPooling {
            map: places.output,
            scratch: places.scratch,
            shape: dims(layer.input),
            normed: self.normed,
            subtracted: self.subtracted,
            factor: &self.factor,
            residual: &self.residual,
            offset: &self.offset,
        })
    }
}
