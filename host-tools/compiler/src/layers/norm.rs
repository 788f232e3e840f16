//! A norm of its own: behind a patch embedding, or at the end of a stage.
//!
//! Its integer form is an [identity mixer](crate::layers::identity) without the residual
//! stream.

use tadpool_float::normalise;

use crate::layers::identity;
use crate::layers::{LayerKind, Part, QuantOp};
use crate::network::float::Observe;
use crate::network::{Layer, Norm};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::Quant;

impl LayerKind for Norm {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn part(&self) -> Part {
        Part::Norm
    }

    fn parameters(&self) -> Vec<&[f32]> {
        self.lists().into()
    }

    fn run(&self, _layer: &Layer, x: Vec<f32>, _observe: Observe<'_>) -> Vec<f32> {
        normalise(self, &x)
    }

    fn quantize(&self, context: &Context<'_>, output: Quant) -> Result<QuantOp, QuantError> {
        identity::quantize::norm(context, self, output).map(QuantOp::Identity)
    }
}
