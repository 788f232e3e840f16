//! The position embedding: `x + positions`, a constant map that is added once.

mod quantize;
pub(crate) mod recognise;

use tadpool_kernels::position_embedding as kernel;

use crate::layers::{BoxedStep, LayerKind, Part, Places, QuantKind, QuantOp};
use crate::network::Layer;
use crate::network::float::Observe;
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{Quant, QuantLayer};

/// A learned position embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct PositionEmbedding {
    /// `tokens x channels`.
    pub positions: Vec<f32>,
}

/// Constants of a position embedding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantPositionEmbedding {
    /// `tokens x channels`.
    pub positions: Vec<i8>,
    /// Per channel, Q24.
    pub factor: Vec<i32>,
    /// Q24.
    pub residual: i32,
    /// Q16.
    pub offset: i32,
}

impl LayerKind for PositionEmbedding {
    fn name(&self) -> &'static str {
        "position embedding"
    }

    fn part(&self) -> Part {
        Part::Position
    }

    fn parameters(&self) -> Vec<&[f32]> {
        vec![&self.positions]
    }

    fn run(&self, _layer: &Layer, mut x: Vec<f32>, _observe: Observe<'_>) -> Vec<f32> {
        let each = x.iter_mut().zip(&self.positions);
        each.for_each(|(x, position)| *x += position);
        x
    }

    fn quantize(&self, context: &Context<'_>, output: Quant) -> Result<QuantOp, QuantError> {
        quantize::quantize(context, self, output).map(QuantOp::PositionEmbedding)
    }
}

impl QuantKind for QuantPositionEmbedding {
    fn scratch_size(&self, _layer: &QuantLayer, _tile_tokens: usize) -> Option<usize> {
        None
    }

    fn step<'a>(&'a self, _layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(kernel::PositionEmbedding {
            map: places.output,
            positions: &self.positions,
            factor: &self.factor,
            residual: self.residual,
            offset: self.offset,
        })
    }
}
