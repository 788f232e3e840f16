//! The patch embedding: a convolution that embeds patches as tokens; also the
//! downsampling between stages.
//!
//! Recognised with all [convolutions](crate::import::recognise).

mod float;
mod quantize;

use tadpool_kernels::int16;
use tadpool_kernels::patch_embedding as kernel;

use crate::layers::{
    BoxedStep, LayerKind, Matrix, Part, Places, QuantKind, QuantOp, Windows, Writes, dims,
    with_unpacked,
};
use crate::network::float::{Observe, View};
use crate::network::{Activation, Layer, Linear};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{Quant, QuantLayer, QuantMatrix, Stream};

/// A convolution that embeds patches as tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchEmbedding {
    /// Window height and width.
    pub window: [usize; 2],
    /// Step between windows, down and across.
    pub stride: [usize; 2],
    /// Zero padding: top, left, bottom, right.
    pub padding: [usize; 4],
    /// `outputs x (window height * window width * channels)`, channel fastest.
    pub linear: Linear,
    /// Behind it, if there is one: ReLU or ReLU6, which the range of an int8 map cuts off
    /// for nothing.
    pub rectifier: Option<Activation>,
}

/// Constants of a patch embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantPatchEmbedding {
    /// Window rows and columns.
    pub window: [usize; 2],
    /// Step between windows, down and across.
    pub stride: [usize; 2],
    /// Rows of padding at the top and columns at the left.
    pub padding: [usize; 2],
    /// Whether the input is raw pixels.
    pub pixels: bool,
    /// Bits per input channel that are rounded away from the values of an int16
    /// stream, at most eight; empty if int8 values or pixels are read.
    pub shift: Vec<u8>,
    /// Value per input channel that stands for zero.
    pub pad: Vec<i8>,
    /// Window to channels.
    pub matrix: QuantMatrix,
    /// Accumulator start per output.
    pub bias: Vec<i32>,
    /// Multiplier per output, Q32.
    pub multiplier: Vec<i32>,
    /// Zero point of the output.
    pub zero_point: i32,
}

impl LayerKind for PatchEmbedding {
    fn name(&self) -> &'static str {
        "patch embedding"
    }

    fn part(&self) -> Part {
        Part::Embedding
    }

    fn parameters(&self) -> Vec<&[f32]> {
        self.linear.lists().into()
    }

    fn matrices(&self) -> Vec<Matrix<'_>> {
        vec![Matrix::of("", &self.linear).reading(View::Input)]
    }

    fn run(&self, layer: &Layer, x: Vec<f32>, observe: Observe<'_>) -> Vec<f32> {
        float::run(self, layer, &x, observe)
    }

    fn quantize(&self, context: &Context<'_>, output: Quant) -> Result<QuantOp, QuantError> {
        quantize::quantize(context, self, output).map(QuantOp::PatchEmbedding)
    }
}

impl QuantKind for QuantPatchEmbedding {
    fn matrices(&self) -> Vec<&QuantMatrix> {
        vec![&self.matrix]
    }

    fn writes(&self) -> Writes {
        Writes::Map
    }

    fn windows(&self) -> Option<Windows> {
        Some(Windows {
            window: self.window,
            stride: self.stride,
            padding: self.padding,
            at_once: None,
        })
    }

    fn scratch_size(&self, layer: &QuantLayer, tile_tokens: usize) -> Option<usize> {
        let QuantMatrix {
            inputs, outputs, ..
        } = self.matrix;
        let sums = match layer.stream {
            Stream::Int8 => 0,
            Stream::Int16 => int16::sums_size(outputs, inputs),
        };
        let size = kernel::PatchEmbedding::scratch_size(inputs, outputs, tile_tokens);
        Some(with_unpacked(size + sums, &[&self.matrix]))
    }

    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(self.constants(layer, places))
    }
}

impl QuantPatchEmbedding {
    /// The constants of its kernel.
    pub(crate) fn constants(
        &self,
        layer: &QuantLayer,
        places: &Places,
    ) -> kernel::PatchEmbedding<'_> {
        kernel::PatchEmbedding {
            input: places.input,
            output: places.output,
            scratch: places.scratch,
            input_shape: dims(layer.input),
            output_shape: dims(layer.output),
            window: self.window,
            stride: self.stride,
            padding: self.padding,
            tile_tokens: places.tile_tokens,
            flip: if self.pixels { 0x80 } else { 0 },
            shift: &self.shift,
            pad: &self.pad,
            weights: self.matrix.rows_of_bytes(),
            bias: &self.bias,
            multiplier: &self.multiplier,
            zero_point: self.zero_point,
        }
    }
}
