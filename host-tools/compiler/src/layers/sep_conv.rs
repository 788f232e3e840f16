//! The separable convolution:
//! `res_scale * x + layer_scale * fc2(act2(depthwise(act1(fc1(norm(x))))))`.

mod float;
mod quantize;
pub(crate) mod recognise;

use tadpool_kernels::normed::Normed;
use tadpool_kernels::sep_conv as kernel;
use tadpool_kernels::stream::{Int8, Int16};

use crate::layers::{
    BoxedStep, LayerKind, Matrix, Part, Places, QuantKind, QuantOp, dims, with_unpacked,
};
use crate::network::float::{Observe, View};
use crate::network::{Activation, Depthwise, Layer, Linear, Norm, Residual, Shape};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{
    Quant, QuantDepthwise, QuantLayer, QuantMatrix, QuantPlainLinear, QuantResidualLinear, Stream,
};

/// The separable convolution of ConvFormer.
#[derive(Debug, Clone, PartialEq)]
pub struct SepConv {
    /// Normalisation before `fc1`.
    pub norm: Norm,
    /// Channels to hidden, token by token.
    pub fc1: Linear,
    /// Between `fc1` and `depthwise`.
    pub act1: Option<Activation>,
    /// Over the hidden channels.
    pub depthwise: Depthwise,
    /// Between `depthwise` and `fc2`.
    pub act2: Option<Activation>,
    /// Hidden to channels, token by token.
    pub fc2: Linear,
    /// Factors of the branch and of the residual stream.
    pub residual: Residual,
}

/// Constants of a separable convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantSepConv {
    /// The norm before `fc1`.
    pub normed: Normed,
    /// Channels to hidden.
    pub fc1: QuantPlainLinear,
    /// The activation behind `fc1` as a table.
    pub act1: Option<[i8; 256]>,
    /// Over the hidden channels.
    pub depthwise: QuantDepthwise,
    /// The activation behind the convolution as a table.
    pub act2: Option<[i8; 256]>,
    /// Hidden to channels.
    pub fc2: QuantResidualLinear,
}

impl LayerKind for SepConv {
    fn name(&self) -> &'static str {
        "separable convolution"
    }

    fn part(&self) -> Part {
        Part::Mixer
    }

    fn parameters(&self) -> Vec<&[f32]> {
        [
            self.norm.lists(),
            self.fc1.lists(),
            [&self.depthwise.weight, &self.depthwise.bias],
            self.fc2.lists(),
            self.residual.lists(),
        ]
        .concat()
    }

    fn matrices(&self) -> Vec<Matrix<'_>> {
        let hidden = match self.act2 {
            Some(_) => View::DepthwiseHidden,
            None => View::Depthwise,
        };
        let fc1 = Matrix::of("fc1", &self.fc1).behind(&self.norm);
        vec![
            fc1.reading(View::Input),
            Matrix::of("fc2", &self.fc2).reading(hidden),
        ]
    }

    fn macs(&self, output: Shape) -> u64 {
        let weights = self.fc1.weight.len() + self.depthwise.weight.len() + self.fc2.weight.len();
        output.tokens() as u64 * weights as u64
    }

    fn activation(&self) -> Option<Activation> {
        self.act1
    }

    fn inner_views(&self) -> &'static [View] {
        &[View::Input, View::Depthwise]
    }

    fn run(&self, layer: &Layer, mut x: Vec<f32>, observe: Observe<'_>) -> Vec<f32> {
        float::run(self, layer.input, &mut x, observe);
        x
    }

    fn quantize(&self, context: &Context<'_>, output: Quant) -> Result<QuantOp, QuantError> {
        let op = quantize::quantize(context, self, output)?;
        Ok(QuantOp::SepConv(Box::new(op)))
    }
}

impl QuantKind for QuantSepConv {
    fn matrices(&self) -> Vec<&QuantMatrix> {
        vec![&self.fc1.matrix, &self.fc2.matrix]
    }

    fn scratch_size(&self, layer: &QuantLayer, tile_tokens: usize) -> Option<usize> {
        let size = match layer.stream {
            Stream::Int8 => kernel::SepConv::scratch_size::<Int8>,
            Stream::Int16 => kernel::SepConv::scratch_size::<Int16>,
        };
        let (hidden, window) = (self.fc1.matrix.outputs, self.depthwise.window);
        let size = size(dims(layer.input), hidden, window, tile_tokens);
        Some(with_unpacked(size, &self.matrices()))
    }

    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(kernel::SepConv {
            map: places.output,
            scratch: places.scratch,
            shape: dims(layer.input),
            hidden: self.fc1.matrix.outputs,
            tile_tokens: places.tile_tokens,
            normed: self.normed,
            fc1: self.fc1.constants(),
            act1: self.act1.as_ref(),
            depthwise: self.depthwise.constants(),
            act2: self.act2.as_ref(),
            fc2: self.fc2.constants(),
        })
    }
}
