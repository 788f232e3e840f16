//! The identity mixer: `res_scale * x + layer_scale * norm(x)`.

pub(crate) mod quantize;
pub(crate) mod recognise;

use tadpool_float::normalise;
use tadpool_kernels::identity as kernel;
use tadpool_kernels::norm::Norm as KernelNorm;
use tadpool_kernels::normed;

use crate::layers::{BoxedStep, LayerKind, Part, Places, QuantKind, QuantOp};
use crate::network::float::{Observe, add_branch};
use crate::network::{Layer, Norm, Residual};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{Quant, QuantLayer};

/// The identity token mixer.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Normalisation before the mixer.
    pub norm: Norm,
    /// Factors of the branch and of the residual stream.
    pub residual: Residual,
}

/// Constants of an identity mixer or a norm of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantIdentity {
    /// Which values share a mean and a deviation.
    pub scope: normed::NormScope,
    /// The norm, of the whole map or of one token.
    pub norm: KernelNorm,
    /// Per channel, Q20.
    pub factor: Vec<i32>,
    /// Per channel, Q16.
    pub offset: Vec<i32>,
    /// Per channel, Q16.
    pub residual: Vec<i32>,
}

impl LayerKind for Identity {
    fn name(&self) -> &'static str {
        "identity mixer"
    }

    fn part(&self) -> Part {
        Part::Mixer
    }

    fn parameters(&self) -> Vec<&[f32]> {
        [self.norm.lists(), self.residual.lists()].concat()
    }

    fn run(&self, _layer: &Layer, mut x: Vec<f32>, _observe: Observe<'_>) -> Vec<f32> {
        let branch = normalise(&self.norm, &x);
        add_branch(&mut x, &branch, &self.residual);
        x
    }

    fn quantize(&self, context: &Context<'_>, output: Quant) -> Result<QuantOp, QuantError> {
        quantize::quantize(context, self, output).map(QuantOp::Identity)
    }
}

impl QuantKind for QuantIdentity {
    fn scratch_size(&self, _layer: &QuantLayer, _tile_tokens: usize) -> Option<usize> {
        None
    }

    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(kernel::Identity {
            map: places.output,
            channels: layer.input.channels,
            scope: self.scope,
            norm: self.norm,
            factor: &self.factor,
            offset: &self.offset,
            residual: &self.residual,
        })
    }
}
