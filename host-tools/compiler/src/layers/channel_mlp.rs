//! The channel MLP: `res_scale * x + layer_scale * fc2(activation(fc1(norm(x))))`.
//!
//! Two kernels: behind a norm of the whole map, which is folded into `fc1`, and behind a
//! norm that is written out.

mod float;
mod quantize;
pub(crate) mod recognise;

use tadpool_kernels::channel_mlp as kernel;
use tadpool_kernels::int16;
use tadpool_kernels::linear::NormedLinear;
use tadpool_kernels::norm::Norm as KernelNorm;
use tadpool_kernels::normed::Normed;
use tadpool_kernels::normed_mlp::NormedMlp;
use tadpool_kernels::stream::{Int8, Int16};

use crate::layers::{
    BoxedStep, LayerKind, Matrix, Part, Places, QuantKind, QuantOp, with_unpacked,
};
use crate::network::float::{Observe, View};
use crate::network::{Activation, Layer, Linear, Norm, NormScope, Residual};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{
    Quant, QuantLayer, QuantMatrix, QuantPlainLinear, QuantResidualLinear, Stream,
};

/// The channel MLP.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelMlp {
    /// Normalisation before `fc1`.
    pub norm: Norm,
    /// Channels to hidden.
    pub fc1: Linear,
    /// Between `fc1` and `fc2`.
    pub activation: Activation,
    /// Hidden to channels.
    pub fc2: Linear,
    /// Factors of the branch and of the residual stream.
    pub residual: Residual,
}

/// Constants of a channel MLP.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantChannelMlp {
    /// The norm before `fc1`.
    pub norm: KernelNorm,
    /// Bits per channel that are rounded away from the values of an int16
    /// stream, at most eight; empty if the stream is int8.
    pub shift: Vec<u8>,
    /// Channels to hidden.
    pub fc1: QuantMatrix,
    /// Sum of each row of `fc1`, each weight times `2^(8 - shift)` of its channel.
    pub fc1_row_sums: Vec<i32>,
    /// Per hidden channel, Q8.
    pub fc1_bias: Vec<i32>,
    /// Per hidden channel, Q28.
    pub fc1_multiplier: Vec<i32>,
    /// Zero point of the activation's input.
    pub hidden_zero: i32,
    /// The activation as a table.
    pub activation: [i8; 256],
    /// Hidden to channels.
    pub fc2: QuantResidualLinear,
}

/// Constants of a channel MLP behind a norm that is written out.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantNormedMlp {
    /// The norm before `fc1`.
    pub norm: Normed,
    /// Channels to hidden.
    pub fc1: QuantPlainLinear,
    /// The activation as a table.
    pub activation: [i8; 256],
    /// Hidden to channels.
    pub fc2: QuantResidualLinear,
}

impl LayerKind for ChannelMlp {
    fn name(&self) -> &'static str {
        "channel MLP"
    }

    fn part(&self) -> Part {
        Part::ChannelMlp
    }

    fn parameters(&self) -> Vec<&[f32]> {
        [
            self.norm.lists(),
            self.fc1.lists(),
            self.fc2.lists(),
            self.residual.lists(),
        ]
        .concat()
    }

    fn matrices(&self) -> Vec<Matrix<'_>> {
        let fc1 = Matrix::of("fc1", &self.fc1).behind(&self.norm);
        vec![
            fc1.reading(View::Input),
            Matrix::of("fc2", &self.fc2).reading(View::Hidden),
        ]
    }

    fn activation(&self) -> Option<Activation> {
        Some(self.activation)
    }

    fn inner_views(&self) -> &'static [View] {
        match self.norm.scope {
            NormScope::Map | NormScope::Fixed => &[],
            NormScope::Token => &[View::Input],
        }
    }

    fn run(&self, _layer: &Layer, mut x: Vec<f32>, observe: Observe<'_>) -> Vec<f32> {
        float::run(self, &mut x, observe);
        x
    }

    fn quantize(&self, context: &Context<'_>, output: Quant) -> Result<QuantOp, QuantError> {
        quantize::quantize(context, self, output)
    }
}

impl QuantKind for QuantChannelMlp {
    fn matrices(&self) -> Vec<&QuantMatrix> {
        vec![&self.fc1, &self.fc2.matrix]
    }

    fn scratch_size(&self, layer: &QuantLayer, tile_tokens: usize) -> Option<usize> {
        let size = match layer.stream {
            Stream::Int8 => kernel::ChannelMlp::scratch_size,
            Stream::Int16 => int16::channel_mlp::scratch_size,
        };
        let size = size(self.fc1.inputs, self.fc1.outputs, tile_tokens);
        Some(with_unpacked(size, &self.matrices()))
    }

    fn step<'a>(&'a self, _layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(kernel::ChannelMlp {
            map: places.output,
            scratch: places.scratch,
            channels: self.fc1.inputs,
            hidden: self.fc1.outputs,
            tile_tokens: places.tile_tokens,
            norm: self.norm,
            shift: &self.shift,
            fc1: NormedLinear {
                weights: self.fc1.rows_of_bytes(),
                row_sums: &self.fc1_row_sums,
                bias: &self.fc1_bias,
                multiplier: &self.fc1_multiplier,
            },
            hidden_zero: self.hidden_zero,
            activation: &self.activation,
            fc2: self.fc2.constants(),
        })
    }
}

impl QuantKind for QuantNormedMlp {
    fn matrices(&self) -> Vec<&QuantMatrix> {
        vec![&self.fc1.matrix, &self.fc2.matrix]
    }

    fn scratch_size(&self, layer: &QuantLayer, tile_tokens: usize) -> Option<usize> {
        let size = match layer.stream {
            Stream::Int8 => NormedMlp::scratch_size::<Int8>,
            Stream::Int16 => NormedMlp::scratch_size::<Int16>,
        };
        let fc1 = &self.fc1.matrix;
        let size = size(fc1.inputs, fc1.outputs, tile_tokens);
        Some(with_unpacked(size, &self.matrices()))
    }

    fn step<'a>(&'a self, _layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(NormedMlp {
            map: places.output,
            scratch: places.scratch,
            channels: self.fc1.matrix.inputs,
            hidden: self.fc1.matrix.outputs,
            tile_tokens: places.tile_tokens,
            norm: self.norm,
            fc1: self.fc1.constants(),
            activation: &self.activation,
            fc2: self.fc2.constants(),
        })
    }
}
