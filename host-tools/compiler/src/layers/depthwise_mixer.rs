//! The depthwise mixer: `res_scale * x + layer_scale * depthwise(norm(x))`, as blocks like
//! ConvNeXt's and re-parameterised mixers have it.

mod float;
mod quantize;
pub(crate) mod recognise;

use tadpool_kernels::depthwise_mixer as kernel;
use tadpool_kernels::norm::Norm as KernelNorm;
use tadpool_kernels::normed::Normed;

use crate::layers::{BoxedStep, LayerKind, Part, Places, QuantKind, QuantOp, dims};
use crate::network::float::{Observe, View};
use crate::network::{Depthwise, Layer, Norm, NormScope, Residual, Shape};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{Quant, QuantDepthwise, QuantLayer};

/// The depthwise mixer.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthwiseMixer {
    /// Normalisation before the convolution, if there is one.
    pub norm: Option<Norm>,
    /// Over the channels.
    pub depthwise: Depthwise,
    /// Factors of the branch and of the residual stream.
    pub residual: Residual,
}

/// Constants of a depthwise mixer.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantDepthwiseMixer {
    /// A norm of the whole map, folded into `depthwise`.
    pub norm: Option<KernelNorm>,
    /// A norm of each token, written out.
    pub normed: Option<Normed>,
    /// Bits per channel that are rounded away from the values of an int16 stream, at
    /// most eight; empty if the stream is int8 or the norm is written out.
    pub shift: Vec<u8>,
    /// Over the channels.
    pub depthwise: QuantDepthwise,
    /// The norm's bias per channel for each unit of a window's sum of weights; empty if
    /// the norm has none.
    pub beta: Vec<i32>,
    /// Per channel, Q24.
    pub factor: Vec<i32>,
    /// Per channel, Q24.
    pub residual: Vec<i32>,
    /// Per channel, Q16.
    pub offset: Vec<i32>,
}

impl LayerKind for DepthwiseMixer {
    fn name(&self) -> &'static str {
        "depthwise mixer"
    }

    fn part(&self) -> Part {
        Part::Mixer
    }

    fn parameters(&self) -> Vec<&[f32]> {
        let mut lists: Vec<&[f32]> = self.norm.iter().flat_map(Norm::lists).collect();
        lists.extend([&self.depthwise.weight[..], &self.depthwise.bias]);
        lists.extend(self.residual.lists());
        lists
    }

    fn macs(&self, output: Shape) -> u64 {
        output.tokens() as u64 * self.depthwise.weight.len() as u64
    }

    fn inner_views(&self) -> &'static [View] {
        match self.norm.as_ref().map(|norm| norm.scope) {
            Some(NormScope::Token) => &[View::Input, View::Depthwise],
            Some(NormScope::Map | NormScope::Fixed) | None => &[View::Depthwise],
        }
    }

    fn run(&self, layer: &Layer, mut x: Vec<f32>, observe: Observe<'_>) -> Vec<f32> {
        float::run(self, layer.input, &mut x, observe);
        x
    }

    fn quantize(&self, context: &Context<'_>, output: Quant) -> Result<QuantOp, QuantError> {
        let op = quantize::quantize(context, self, output)?;
        Ok(QuantOp::DepthwiseMixer(Box::new(op)))
    }
}

impl QuantKind for QuantDepthwiseMixer {
    fn scratch_size(&self, layer: &QuantLayer, _tile_tokens: usize) -> Option<usize> {
        let has_borders = self.norm.is_some() || !self.beta.is_empty();
        let (shape, window) = (dims(layer.input), self.depthwise.window);
        Some(kernel::DepthwiseMixer::scratch_size(
            shape,
            window,
            has_borders,
        ))
    }

    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(kernel::DepthwiseMixer {
            map: places.output,
            scratch: places.scratch,
            shape: dims(layer.input),
            norm: self.norm,
            normed: self.normed,
            shift: &self.shift,
            depthwise: self.depthwise.constants(),
            beta: &self.beta,
            factor: &self.factor,
            residual: &self.residual,
            offset: &self.offset,
        })
    }
}
