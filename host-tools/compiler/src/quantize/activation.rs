//! Activations: the ranges around them, and their tables.

use super::fixed::affine;
use super::{Context, QuantError};
use crate::calibrate::ranges::Range;
use crate::network::Activation;
use crate::quantize::quant_model::Quant;

/// The integers before and behind the activation of a layer: the first of 256 is
/// numbered 0 before it and -128 behind it.
pub(crate) fn around(
    context: &Context<'_>,
    activation: Activation,
) -> Result<[Quant; 2], QuantError> {
    let pre_activation = context.range(
        context.ranges.pre_activation,
        "values before the activation",
    )?;
    let trained = context.ranges.trained;
    let index = match trained.pre_activation {
        true => affine(pre_activation, 0),
        false => affine(useful(activation, pre_activation), 0),
    };
    let hidden = match trained.hidden {
        true => affine(context.range(context.ranges.hidden, "hidden values")?, -128),
        false => affine(activated(activation, index), -128),
    };
    Ok([index, hidden])
}

/// The part of the activation's input where its output is not flat.
///
/// GELU at -4 is -1.3e-4 (-7.0e-5 with tanh), a small part of a step of any usual
/// hidden range, so steps below would be wasted.
pub(crate) fn useful(activation: Activation, range: Range) -> Range {
    let (lowest, highest) = match activation {
        Activation::Gelu | Activation::GeluTanh => (-4.0, f32::INFINITY),
        Activation::Relu | Activation::SquaredRelu | Activation::StarRelu { .. } => {
            (0.0, f32::INFINITY)
        }
        Activation::Clip { lowest, highest } => (lowest, highest),
        // Swish at -10 over alpha is 4.5e-4 of that, Mish at -10 the same.
        Activation::Swish { alpha } if alpha > 0.0 => (-10.0 / alpha, f32::INFINITY),
        Activation::Mish => (-10.0, f32::INFINITY),
        Activation::HardSwish => (-3.0, f32::INFINITY),
        Activation::Sigmoid => (-8.0, 8.0),
        Activation::Tanh => (-4.0, 4.0),
        Activation::HardSigmoid { slope, offset } if slope > 0.0 => {
            (-offset / slope, (1.0 - offset) / slope)
        }
        Activation::Elu { .. } | Activation::Softplus => (-8.0, f32::INFINITY),
        Activation::Swish { .. }
        | Activation::HardSigmoid { .. }
        | Activation::LeakyRelu { .. } => (f32::NEG_INFINITY, f32::INFINITY),
    };
    Range {
        min: range.min.max(lowest).min(highest),
        max: range.max.max(lowest).min(highest),
    }
}

/// The activation's results for the 256 values of its input.
pub(crate) fn activated(activation: Activation, index: Quant) -> Range {
    let outputs: Vec<f32> = (0..=255)
        .map(|q| activation.apply(index.real(q)) as f32)
        .collect();
    Range::of(&outputs)
}

pub(crate) fn table(activation: Activation, index: Quant, hidden: Quant) -> [i8; 256] {
    std::array::from_fn(|q| {
        let value = activation.apply(index.real(q as i32)) / hidden.scale;
        (value.round() + f64::from(hidden.zero_point)).clamp(-128.0, 127.0) as i8
    })
}
