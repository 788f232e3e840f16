//! Multi-head self-attention:
//! `res_scale * x + layer_scale * projection(attention(qkv(norm(x))))`.

mod float;
mod quantize;
pub(crate) mod recognise;

use tadpool_kernels::attention as kernel;
use tadpool_kernels::normed::Normed;

use crate::layers::{
    BoxedStep, LayerKind, Matrix, Part, Places, QuantKind, QuantOp, with_unpacked,
};
use crate::network::float::{Observe, View};
use crate::network::{Layer, Linear, Norm, Residual, Shape};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{
    Quant, QuantLayer, QuantMatrix, QuantPlainLinear, QuantResidualLinear,
};

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

/// Constants of a self-attention.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantAttention {
    /// Number of heads.
    pub heads: usize,
    /// The norm before `qkv`, written out.
    pub norm: Normed,
    /// Channels to queries, keys and values, whose zero points are zero.
    pub qkv: QuantPlainLinear,
    /// A step of the scores as an exponent of two, Q32.
    pub exponent: i32,
    /// Steps that the projection reads for a step of the values, Q20.
    pub attended: i32,
    /// Heads to channels.
    pub projection: QuantResidualLinear,
}

impl LayerKind for Attention {
    fn name(&self) -> &'static str {
        "self-attention"
    }

    fn part(&self) -> Part {
        Part::Mixer
    }

    fn parameters(&self) -> Vec<&[f32]> {
        [
            self.norm.lists(),
            self.qkv.lists(),
            self.projection.lists(),
            self.residual.lists(),
        ]
        .concat()
    }

    fn matrices(&self) -> Vec<Matrix<'_>> {
        let qkv = Matrix::of("qkv", &self.qkv).behind(&self.norm);
        vec![
            qkv.reading(View::Input),
            Matrix::of("projection", &self.projection).reading(View::Attended),
        ]
    }

    fn macs(&self, output: Shape) -> u64 {
        let tokens = output.tokens() as u64;
        let products = 2 * tokens * tokens * self.projection.inputs as u64;
        let weights = self.qkv.weight.len() + self.projection.weight.len();
        products + tokens * weights as u64
    }

    fn inner_views(&self) -> &'static [View] {
        &[
            View::Input,
            View::Queries,
            View::Keys,
            View::Values,
            View::Attended,
        ]
    }

    fn run(&self, _layer: &Layer, mut x: Vec<f32>, observe: Observe<'_>) -> Vec<f32> {
        float::run(self, &mut x, observe);
        x
    }

    fn quantize(&self, context: &Context<'_>, output: Quant) -> Result<QuantOp, QuantError> {
        let op = quantize::quantize(context, self, output)?;
        Ok(QuantOp::Attention(Box::new(op)))
    }
}

impl QuantKind for QuantAttention {
    fn matrices(&self) -> Vec<&QuantMatrix> {
        vec![&self.qkv.matrix, &self.projection.matrix]
    }

    fn scratch_size(&self, layer: &QuantLayer, tile_tokens: usize) -> Option<usize> {
        let heads = [self.heads, self.head_size()];
        let (tokens, channels) = (layer.input.tokens(), layer.input.channels);
        let size = kernel::Attention::scratch_size(tokens, channels, heads, tile_tokens);
        Some(with_unpacked(size, &self.matrices()))
    }

    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(kernel::Attention {
            map: places.output,
            scratch: places.scratch,
            channels: layer.input.channels,
            heads: self.heads,
            head_size: self.head_size(),
            tile_tokens: places.tile_tokens,
            norm: self.norm,
            qkv: self.qkv.constants(),
            exponent: self.exponent,
            attended: self.attended,
            projection: self.projection.constants(),
        })
    }
}

impl QuantAttention {
    /// Values of a token that one head looks at.
    fn head_size(&self) -> usize {
        self.projection.matrix.inputs / self.heads
    }
}
