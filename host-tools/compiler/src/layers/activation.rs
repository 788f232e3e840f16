//! An activation of its own, behind a convolution of a stem.
//!
//! ReLU and ReLU6 are no layer: the range of the map before them ends there.

mod quantize;

use tadpool_kernels::activation as kernel;

use crate::layers::{BoxedStep, LayerKind, Part, Places, QuantKind, QuantOp};
use crate::network::float::{Observe, activate};
use crate::network::{Activation, Layer};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{Quant, QuantLayer};

/// Constants of an activation.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantActivation {
    /// The output for each whole input value, Q16.
    pub table: Box<[i32; 257]>,
}

impl LayerKind for Activation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn part(&self) -> Part {
        Part::Activation
    }

    fn parameters(&self) -> Vec<&[f32]> {
        Vec::new()
    }

    fn run(&self, _layer: &Layer, mut x: Vec<f32>, _observe: Observe<'_>) -> Vec<f32> {
        activate(*self, &mut x);
        x
    }

    fn quantize(&self, context: &Context<'_>, output: Quant) -> Result<QuantOp, QuantError> {
        quantize::quantize(context, *self, output).map(QuantOp::Activation)
    }
}

impl QuantKind for QuantActivation {
    fn scratch_size(&self, _layer: &QuantLayer, _tile_tokens: usize) -> Option<usize> {
        None
    }

    fn step<'a>(&'a self, _layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(kernel::Activation {
            map: places.output,
            table: &self.table,
        })
    }
}
