//! The head: `linear(hidden(mean_norm(mean over tokens of norm(x))))`.
//!
//! Two kernels: a classifier of the mean of a map or of its norm, and everything else,
//! whose vector is kept in wide integers.

mod float;
mod quantize;
mod quantize_wide;
pub(crate) mod recognise;

use tadpool_kernels::head as kernel;
use tadpool_kernels::norm::Norm as KernelNorm;
use tadpool_kernels::wide_head::{self, MeanNorm, VectorNorm, WideHead};

use crate::layers::{BoxedStep, LayerKind, Matrix, Part, Places, QuantKind, QuantOp, Writes};
use crate::network::float::Observe;
use crate::network::{Activation, Layer, Linear, Norm, Shape};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{Quant, QuantLayer, QuantMatrix, QuantWideLinear};

/// Global average pooling and a classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Normalisation of the map before the mean, if there is one.
    pub norm: Option<Norm>,
    /// Normalisation of the mean over its channels, if there is one.
    pub mean_norm: Option<Norm>,
    /// The hidden layer of an MLP head.
    pub hidden: Option<HeadHidden>,
    /// Channels, or the hidden layer, to classes.
    pub linear: Linear,
}

/// The hidden layer of an MLP head: `norm(activation(fc1(mean)))`.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadHidden {
    /// Channels to hidden.
    pub fc1: Linear,
    /// Behind `fc1`.
    pub activation: Activation,
    /// Normalisation over the hidden layer.
    pub norm: Option<Norm>,
}

/// Constants of the head.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantHead {
    /// The norm before the mean.
    pub norm: Option<KernelNorm>,
    /// Zero point of the last map.
    pub zero_point: i8,
    /// Channels to classes.
    pub matrix: QuantMatrix,
    /// Sum of each row of `matrix`.
    pub row_sums: Vec<i32>,
    /// Per class, Q36.
    pub multiplier: Vec<i32>,
    /// Per class, Q16.
    pub bias: Vec<i32>,
}

/// Constants of a head whose vector is kept in wide integers.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantWideHead {
    /// The norm around the mean over tokens.
    pub norm: Option<MeanNorm>,
    /// The hidden layer.
    pub hidden: Option<QuantHeadHidden>,
    /// To the logits.
    pub linear: QuantWideLinear,
}

/// The hidden layer of a head.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantHeadHidden {
    /// To the activation's input.
    pub fc1: QuantWideLinear,
    /// The activation at every 256th of its inputs.
    pub activation: [i32; 257],
    /// The norm over the hidden values.
    pub norm: Option<VectorNorm>,
}

impl Head {
    /// Values that its first linear layer reads.
    pub(crate) fn reads(&self) -> usize {
        match &self.hidden {
            Some(hidden) => hidden.fc1.inputs,
            None => self.linear.inputs,
        }
    }
}

impl LayerKind for Head {
    fn name(&self) -> &'static str {
        "head"
    }

    fn part(&self) -> Part {
        Part::Head
    }

    fn parameters(&self) -> Vec<&[f32]> {
        let norms = [&self.norm, &self.mean_norm].into_iter().flatten();
        let mut lists: Vec<&[f32]> = norms.flat_map(Norm::lists).collect();
        if let Some(hidden) = &self.hidden {
            lists.extend(hidden.fc1.lists());
            lists.extend(hidden.norm.iter().flat_map(Norm::lists));
        }
        lists.extend(self.linear.lists());
        lists
    }

    fn matrices(&self) -> Vec<Matrix<'_>> {
        let norm = self.norm.as_ref().or(self.mean_norm.as_ref());
        match &self.hidden {
            None => vec![Matrix::of("", &self.linear).behind_any(norm)],
            Some(hidden) => vec![
                Matrix::of("fc1", &hidden.fc1).behind_any(norm),
                Matrix::of("fc2", &self.linear).behind_any(hidden.norm.as_ref()),
            ],
        }
    }

    fn macs(&self, _output: Shape) -> u64 {
        let matrices = self.matrices();
        matrices
            .iter()
            .map(|matrix| matrix.weight.len() as u64)
            .sum()
    }

    fn activation(&self) -> Option<Activation> {
        self.hidden.as_ref().map(|hidden| hidden.activation)
    }

    fn run(&self, _layer: &Layer, x: Vec<f32>, observe: Observe<'_>) -> Vec<f32> {
        float::run(self, &x, observe)
    }

    fn quantize(&self, context: &Context<'_>, _output: Quant) -> Result<QuantOp, QuantError> {
        quantize::quantize(context, self)
    }
}

impl<'a> Matrix<'a> {
    /// The same behind a norm, if there is one.
    fn behind_any(self, norm: Option<&'a Norm>) -> Self {
        match norm {
            Some(norm) => self.behind(norm),
            None => self,
        }
    }
}

impl QuantKind for QuantHead {
    fn matrices(&self) -> Vec<&QuantMatrix> {
        vec![&self.matrix]
    }

    fn writes(&self) -> Writes {
        Writes::Logits
    }

    fn is_tiled(&self) -> bool {
        false
    }

    fn scratch_size(&self, layer: &QuantLayer, _tile_tokens: usize) -> Option<usize> {
        Some(kernel::Head::scratch_size(layer.input.channels))
    }

    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(kernel::Head {
            map: places.input,
            output: places.output,
            scratch: places.scratch,
            tokens: layer.input.tokens(),
            channels: layer.input.channels,
            norm: self.norm,
            zero_point: self.zero_point,
            weights: self.matrix.rows_of_bytes(),
            row_sums: &self.row_sums,
            multiplier: &self.multiplier,
            bias: &self.bias,
        })
    }
}

impl QuantKind for QuantWideHead {
    fn matrices(&self) -> Vec<&QuantMatrix> {
        let hidden = self.hidden.as_ref().map(|hidden| &hidden.fc1.matrix);
        hidden.into_iter().chain([&self.linear.matrix]).collect()
    }

    fn writes(&self) -> Writes {
        Writes::Logits
    }

    fn is_tiled(&self) -> bool {
        false
    }

    fn scratch_size(&self, layer: &QuantLayer, _tile_tokens: usize) -> Option<usize> {
        let hidden = self.hidden.as_ref();
        let hidden = hidden.map_or(0, |hidden| hidden.fc1.matrix.outputs);
        Some(WideHead::scratch_size(layer.input.channels, hidden))
    }

    fn step<'a>(&'a self, layer: &QuantLayer, places: &Places) -> BoxedStep<'a> {
        Box::new(WideHead {
            map: places.input,
            output: places.output,
            scratch: places.scratch,
            tokens: layer.input.tokens(),
            channels: layer.input.channels,
            norm: self.norm,
            hidden: self.hidden.as_ref().map(|hidden| wide_head::HeadHidden {
                fc1: hidden.fc1.constants(),
                activation: &hidden.activation,
                norm: hidden.norm,
            }),
            linear: self.linear.constants(),
        })
    }
}
