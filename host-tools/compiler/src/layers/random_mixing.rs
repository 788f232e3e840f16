//! Random mixing: `res_scale * x + layer_scale * (matrix * norm(x))`, over the tokens.

mod float;
mod quantize;
pub(crate) mod recognise;

use tadpool_kernels::normed::Normed;
use tadpool_kernels::random_mixing as kernel;

use crate::layers::{
    BoxedStep, LayerKind, Matrix, Part, Places, QuantKind, QuantOp, with_unpacked,
};
use crate::network::float::{Observe, View};
use crate::network::{Layer, Norm, Residual, Shape};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{Quant, QuantLayer, QuantMatrix};

/// The random mixing of RandFormer: a fixed matrix over the tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomMixing {
    /// Normalisation before the mixer.
    pub norm: Norm,
    /// `tokens x tokens`, row-major: row `i` weighs the tokens that make up
    /// token `i` of the branch.
    pub matrix: Vec<f32>,
    /// Factors of the branch and of the residual stream.
    pub residual: Residual,
}

/// Constants of a random mixing.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantRandomMixing {
    /// The norm before the mixer.
    pub normed: Normed,
    /// Tokens to tokens, with rows of zeros behind them.
    pub matrix: QuantMatrix,
    /// Per row, Q32.
    pub multiplier: Vec<i32>,
    /// Per row, Q16; empty if the norm has no bias.
    pub constant: Vec<i32>,
    /// Per channel, Q16; empty if the norm has no bias.
    pub beta: Vec<i32>,
    /// Per channel, Q32.
    pub factor: Vec<i32>,
    /// Per channel, Q24.
    pub residual: Vec<i32>,
    /// Per channel, Q16.
    pub offset: Vec<i32>,
}

impl LayerKind for RandomMixing {
    fn name(&self) -> &'static str {
        "random mixing"
    }

    fn part(&self) -> Part {
        Part::Mixer
    }

    fn parameters(&self) -> Vec<&[f32]> {
        let [gamma, beta] = self.norm.lists();
        let [layer_scale, res_scale] = self.residual.lists();
        vec![gamma, beta, &self.matrix, layer_scale, res_scale]
    }

    fn matrices(&self) -> Vec<Matrix<'_>> {
        vec![Matrix {
            name: "",
            inputs: self.tokens(),
            weight: &self.matrix,
            gamma: None,
            reads: None,
        }]
    }

    fn macs(&self, output: Shape) -> u64 {
        self.matrix.len() as u64 * output.channels as u64
    }

    fn inner_views(&self) -> &'static [View] {
        &[View::Input]
    }

    fn run(&self, _layer: &Layer, mut x: Vec<f32>, observe: Observe<'_>) -> Vec<f32> {
        float::run(self, &mut x, observe);
        x
    }

    fn quantize(&self, context: &Context<'_>, output: Quant) -> Result<QuantOp, QuantError> {
        quantize::quantize(context, self, output).map(QuantOp::RandomMixing)
    }
}

impl RandomMixing {
    /// Tokens that are mixed: the matrix is square.
    fn tokens(&self) -> usize {
        self.matrix.len().isqrt()
    }
}

impl QuantKind for QuantRandomMixing {
    fn matrices(&self) -> Vec<&QuantMatrix> {
        vec![&self.matrix]
    }

    // It takes all of its tokens at once.
    fn is_tiled(&self) -> bool {
        false
    }

    fn scratch_size(&self, layer: &QuantLayer, _tile_tokens: usize) -> Option<usize> {
        let tokens = layer.input.tokens();
        let size = kernel::RandomMixing::scratch_size(tokens, self.normed.scope);
        Some(with_unpacked(size, &[&self.matrix]))
    }

    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(kernel::RandomMixing {
            map: places.output,
            scratch: places.scratch,
            tokens: layer.input.tokens(),
            channels: layer.input.channels,
            normed: self.normed,
            weights: self.matrix.rows_of_bytes(),
            multiplier: &self.multiplier,
            constant: &self.constant,
            beta: &self.beta,
            factor: &self.factor,
            residual: &self.residual,
            offset: &self.offset,
        })
    }
}
