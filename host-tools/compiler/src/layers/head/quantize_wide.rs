//! A head with a norm of each token or of the mean, or with a hidden layer: its vector
//! is kept in wide integers.

use tadpool_kernels::wide_head::{MeanNorm, NormPlace, VectorNorm};

use crate::calibrate::ranges::Range;
use crate::network::{Activation, Head, Linear, Norm, NormScope, Shape};
use crate::quantize::QuantError;
use crate::quantize::activation::useful;
use crate::quantize::context::Context;
use crate::quantize::fixed::Rows;
use crate::quantize::gptq::{Guide, RoundedMatrix};
use crate::quantize::quant_model::{Quant, QuantHeadHidden, QuantWideHead, QuantWideLinear};

/// The largest value of a vector.
const LARGEST: f64 = 32_767.0;
/// The part of the range before the activation that is added on each side for what
/// calibration has not seen; 65536 steps have room for it.
const MARGIN: f32 = 0.25;

pub(crate) fn quantize(context: &Context<'_>, op: &Head) -> Result<QuantWideHead, QuantError> {
    let stream = context.stream()?;
    let shape = context.layer.input;
    if shape.tokens() >= 1 << 16 {
        return Err(QuantError::Geometry {
            layer: context.layer.name.to_string(),
            what: "number of tokens",
            value: shape.tokens(),
            supported: "maps below 65536 tokens",
        });
    }
    let mean = Quant {
        scale: stream.scale / 256.0,
        zero_point: 256 * stream.zero_point,
    };
    let (norm, value) = match (&op.norm, &op.mean_norm) {
        (Some(_), Some(_)) => {
            return Err(context.unsupported("a norm before and another behind the mean"));
        }
        (Some(norm), None) => {
            let place = match norm.scope {
                NormScope::Map => NormPlace::Map,
                NormScope::Token => NormPlace::Token,
                NormScope::Fixed => {
                    return Err(context.unsupported("a norm with fixed statistics"));
                }
            };
            let (norm, value) = vector_norm(context, norm, shape, stream)?;
            (Some(MeanNorm { place, norm }), value)
        }
        (None, Some(norm)) => {
            let (norm, value) = vector_norm(context, norm, vector(shape.channels), mean)?;
            let place = NormPlace::Mean;
            (Some(MeanNorm { place, norm }), value)
        }
        (None, None) => (None, mean),
    };
    let logits = Quant {
        scale: 1.0 / 65_536.0,
        zero_point: 0,
    };
    let folded = op.norm.as_ref().or(op.mean_norm.as_ref());
    let Some(hidden) = &op.hidden else {
        let linear = wide_linear(context, 0, &op.linear, folded, [value, logits])?;
        return Ok(QuantWideHead {
            norm,
            hidden: None,
            linear,
        });
    };
    let seen = context.range(
        context.ranges.pre_activation,
        "values before the activation",
    )?;
    let index = before(hidden.activation, seen);
    let (activation, scale) = table(hidden.activation, index);
    let (hidden_norm, next) = match &hidden.norm {
        Some(norm) => {
            let values = Quant {
                scale: 256.0 * scale,
                zero_point: 0,
            };
            let shape = vector(hidden.fc1.outputs);
            let (norm, next) = vector_norm(context, norm, shape, values)?;
            (Some(norm), next)
        }
        None => (
            None,
            Quant {
                scale,
                zero_point: 0,
            },
        ),
    };
    Ok(QuantWideHead {
        norm,
        hidden: Some(QuantHeadHidden {
            fc1: wide_linear(context, 0, &hidden.fc1, folded, [value, index])?,
            activation,
            norm: hidden_norm,
        }),
        linear: wide_linear(context, 1, &op.linear, hidden.norm.as_ref(), [next, logits])?,
    })
}

/// The shape of one vector.
fn vector(channels: usize) -> Shape {
    Shape {
        height: 1,
        width: 1,
        channels,
    }
}

/// A norm of values with the meaning `input`, and the meaning of what it writes: no
/// mean over tokens of it is larger than the root of the channels.
fn vector_norm(
    context: &Context<'_>,
    norm: &Norm,
    shape: Shape,
    input: Quant,
) -> Result<(VectorNorm, Quant), QuantError> {
    let scale = (norm.gamma.len() as f64).sqrt() / LARGEST;
    let quantized = VectorNorm {
        norm: context.norm(norm, shape, input)?,
        multiplier: context.fits_i32(0, "the steps of a norm", 4096.0 / scale)?,
    };
    let output = Quant {
        scale,
        zero_point: 0,
    };
    Ok((quantized, output))
}

/// 65536 steps before the activation.
fn before(activation: Activation, seen: Range) -> Quant {
    let margin = MARGIN * (seen.max - seen.min);
    let range = useful(
        activation,
        Range {
            min: seen.min - margin,
            max: seen.max + margin,
        },
    );
    let (min, max) = (f64::from(range.min.min(0.0)), f64::from(range.max.max(0.0)));
    let scale = ((max - min) / 65_535.0).max(1e-9);
    Quant {
        scale,
        zero_point: (-min / scale).round() as i32,
    }
}

/// The activation at every 256th input, and the size of its steps.
fn table(activation: Activation, index: Quant) -> ([i32; 257], f64) {
    let value = |at: usize| activation.apply(index.real(256 * at as i32));
    let largest = (0..257).fold(0.0f64, |largest, at| largest.max(value(at).abs()));
    let scale = (largest / LARGEST).max(1e-9);
    let steps = |at| (value(at) / scale).round().clamp(-LARGEST, LARGEST) as i32;
    (std::array::from_fn(steps), scale)
}

/// Matrix `slot` of the layer, behind a norm that is written out without its weight and
/// bias.
fn wide_linear(
    context: &Context<'_>,
    slot: usize,
    linear: &Linear,
    norm: Option<&Norm>,
    [input, output]: [Quant; 2],
) -> Result<QuantWideLinear, QuantError> {
    context.finite(&linear.weight, "the weight")?;
    context.finite(&linear.bias, "the bias")?;
    let gamma = |input: usize| norm.map_or(1.0, |norm| f64::from(norm.gamma[input]));
    let beta = |input: usize| norm.map_or(0.0, |norm| f64::from(norm.beta[input]));
    let inputs = linear.inputs;
    let weights = linear.weight.iter().enumerate();
    let weights = weights.map(|(index, &weight)| f64::from(weight) * gamma(index % inputs));
    let rows = Rows::new(inputs, context.precision.weights[slot], weights)
        .trained(context.ranges.trained.weights);
    let RoundedMatrix { matrix, scales, .. } =
        rows.round(rows.scales(1e-9), &Guide::default(), |scale| scale);

    let mut bias = Vec::with_capacity(matrix.outputs);
    let mut multiplier = Vec::with_capacity(matrix.outputs);
    for (index, (row, scale)) in matrix.rows().zip(&scales).enumerate() {
        let step = scale * input.scale / output.scale;
        let sum: f64 = row
            .iter()
            .map(|weight| f64::from(weight.unsigned_abs()))
            .sum();
        let limit = (2f64.powi(62) / ((LARGEST + 1.0) * sum.max(1.0))).min(2f64.powi(31) - 1.0);
        let factor = step * 2f64.powi(24);
        let factor = context.fits(index, "the requantization factor", factor, limit)?;
        multiplier.push(factor as i32);

        let trained = linear.weight[index * inputs..][..inputs].iter().enumerate();
        let trained = trained.map(|(input, &weight)| f64::from(weight) * beta(input));
        let real = trained.sum::<f64>() + f64::from(linear.bias[index]);
        let row_sum: f64 = row.iter().map(|&weight| f64::from(weight)).sum();
        let start = real / output.scale + f64::from(output.zero_point)
            - f64::from(input.zero_point) * row_sum * step;
        bias.push(context.fits_i32(index, "the bias", start)?);
    }
    Ok(QuantWideLinear {
        matrix,
        bias,
        multiplier,
    })
}
