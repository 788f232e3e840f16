//! The linear layer that ends a branch: it takes the layer scale, and the res scale
//! where the branch and the residual stream share an accumulator.

use super::fixed::{Rows, product_bound};
use super::rounding::{Column, Guide, Rounded};
use super::{Context, QuantError};
use crate::ir::{Linear, Residual};
use crate::quant_model::{Quant, QuantLinear, QuantResidual, Stream};

/// The largest residual factor: `128 * RESIDUAL_MAX` stays below `2^29`.
const RESIDUAL_MAX: f64 = (1 << 22) as f64;

/// The largest accumulator step, in steps of what is written, where the residual stream
/// is rounded to whole ones: 128 times half of it is one step.
const LOST_MAX: f64 = 1.0 / 64.0;

/// `res_scale * x + layer_scale * linear(h)`, with the layer's second matrix. `hidden`
/// tells what `h` means, `output` what is written.
pub(super) fn quantize(
    context: &Context<'_>,
    linear: &Linear,
    residual: &Residual,
    hidden: Quant,
    output: Quant,
) -> Result<(QuantLinear, QuantResidual), QuantError> {
    context.finite(&linear.weight, "the weight of the branch's last layer")?;
    context.finite(&linear.bias, "the bias of the branch's last layer")?;
    context.finite(&residual.layer_scale, "the layer scale")?;
    context.finite(&residual.res_scale, "the res scale")?;
    match context.width {
        Stream::Int8 => joined(context, linear, residual, hidden, output),
        Stream::Int16 => beside(context, linear, residual, hidden, output),
    }
}

/// Each row with the factor that its output is multiplied with.
fn scaled(context: &Context<'_>, linear: &Linear, factors: &[f64]) -> Rows {
    let rows = linear.weight.chunks_exact(linear.inputs).zip(factors);
    let weights = rows.flat_map(|(row, factor)| row.iter().map(move |&w| f64::from(w) * factor));
    Rows::new(linear.inputs, context.precision.weights[1], weights)
        .trained(context.ranges.trained.weights)
}

/// For rounding a matrix whose columns are the values that it reads.
fn guide(context: &Context<'_>, inputs: usize) -> Guide {
    let columns: Vec<Column> = (0..inputs).map(|input| (input, 1.0)).collect();
    context.guide(1, &columns)
}

/// In the accumulator of an int8 stream.
///
/// What the accumulator holds is divided by the res scale, so that a step of the stream
/// counts as many of its steps as without one; the multiplier makes up for it.
fn joined(
    context: &Context<'_>,
    linear: &Linear,
    residual: &Residual,
    hidden: Quant,
    output: Quant,
) -> Result<(QuantLinear, QuantResidual), QuantError> {
    let stream = context.stream()?;
    let scales = residual.layer_scale.iter().zip(&residual.res_scale);
    let factors = scales.enumerate().map(|(channel, (&layer, &res))| {
        let factor = f64::from(layer) / f64::from(res);
        match factor.is_finite() {
            true => Ok(factor),
            false => Err(QuantError::Unrepresentable {
                layer: context.layer.name.clone(),
                channel,
                what: "the layer scale over the res scale",
                value: factor,
                limit: f64::MAX,
            }),
        }
    });
    let factors = factors.collect::<Result<Vec<f64>, _>>()?;
    let rows = scaled(context, linear, &factors);

    // A channel's weight scale is widened until one step of the residual
    // stream is a whole number of accumulator steps: the residual then enters
    // the accumulator exactly and the sum is rounded once. The scale of trained
    // weights moves to the nearest such number; the weights stay what they were.
    let steps = |scale: f64| {
        let steps = stream.scale / (hidden.scale * scale);
        let steps = match rows.trained {
            true => steps.round(),
            false => steps.floor(),
        };
        steps.min(RESIDUAL_MAX)
    };
    // Where a step of the stream is less than one of the accumulator, it is rounded to
    // none or one.
    let allowed = |scale: f64| match steps(scale) {
        ..1.0 => scale,
        steps => stream.scale / (hidden.scale * steps),
    };
    let tight = rows.scales(0.0);
    for (channel, tight) in tight.iter().enumerate() {
        let res_scale = f64::from(residual.res_scale[channel]);
        let lost = (hidden.scale * tight * res_scale / output.scale).abs();
        if steps(*tight) < 1.0 && lost > LOST_MAX {
            return Err(QuantError::Unrepresentable {
                layer: context.layer.name.clone(),
                channel,
                what: "one step of the branch in steps of the written stream",
                value: lost,
                limit: LOST_MAX,
            });
        }
    }
    let widest = tight.into_iter().map(allowed).collect();
    let Rounded {
        matrix,
        scales,
        correction,
    } = rows.round(widest, &guide(context, linear.inputs), allowed);
    let factor: Vec<i32> = scales
        .iter()
        .map(|scale| (stream.scale / (hidden.scale * scale)).round() as i32)
        .collect();

    let mut bias = Vec::with_capacity(matrix.outputs);
    let mut multiplier = Vec::with_capacity(matrix.outputs);
    for (channel, (row, scale)) in matrix.rows().zip(&scales).enumerate() {
        let step = scale * hidden.scale;
        let real = f64::from(linear.bias[channel]) * factors[channel] + correction[channel];
        let steps = f64::from(factor[channel]);
        let start = real / step
            - f64::from(hidden.zero_point) * sum(row)
            - f64::from(stream.zero_point) * steps;
        let room = 2f64.powi(31) - product_bound(row) - 128.0 * steps;
        bias.push(context.fits(channel, BIAS, start, room)? as i32);
        let real = step * f64::from(residual.res_scale[channel]) / output.scale;
        multiplier.push(context.fits_i32(channel, FACTOR, 2f64.powi(32) * real)?);
    }
    let linear = QuantLinear {
        matrix,
        bias,
        multiplier,
    };
    let residual = QuantResidual {
        factor,
        offset: Vec::new(),
        zero_point: output.zero_point,
    };
    Ok((linear, residual))
}

/// Beside an int16 stream: the sums of the branch alone, and what the stream is
/// multiplied with when the two are added.
fn beside(
    context: &Context<'_>,
    linear: &Linear,
    residual: &Residual,
    hidden: Quant,
    output: Quant,
) -> Result<(QuantLinear, QuantResidual), QuantError> {
    let stream = context.stream()?;
    let factors: Vec<f64> = residual.layer_scale.iter().map(|&s| s.into()).collect();
    let rows = scaled(context, linear, &factors);
    let floor = output.scale / (hidden.scale * RESIDUAL_MAX);
    let guide = guide(context, linear.inputs);
    let Rounded {
        matrix,
        scales,
        correction,
    } = rows.round(rows.scales(floor), &guide, |scale| scale.max(floor));

    let mut bias = Vec::with_capacity(matrix.outputs);
    let mut multiplier = Vec::with_capacity(matrix.outputs);
    for (channel, (row, scale)) in matrix.rows().zip(&scales).enumerate() {
        let step = scale * hidden.scale;
        let real = f64::from(linear.bias[channel]) * factors[channel] + correction[channel];
        let start = real / step - f64::from(hidden.zero_point) * sum(row);
        let room = 2f64.powi(31) - product_bound(row);
        bias.push(context.fits(channel, BIAS, start, room)? as i32);
        let factor = 2f64.powi(32) * step / output.scale;
        multiplier.push(context.fits_i32(channel, FACTOR, factor)?);
    }
    let mut factor = Vec::with_capacity(matrix.outputs);
    let mut offset = Vec::with_capacity(matrix.outputs);
    for (channel, &res_scale) in residual.res_scale.iter().enumerate() {
        let ratio = f64::from(res_scale) * stream.scale / output.scale;
        let zero = f64::from(output.zero_point) - f64::from(stream.zero_point) * ratio;
        factor.push(context.fits_i32(channel, "the scale ratio", ratio * 2f64.powi(24))?);
        let start = zero * 65_536.0 + context.half_step();
        offset.push(context.fits_i32(channel, "the zero point", start)?);
    }
    let linear = QuantLinear {
        matrix,
        bias,
        multiplier,
    };
    let residual = QuantResidual {
        factor,
        offset,
        zero_point: 0,
    };
    Ok((linear, residual))
}

const BIAS: &str = "the bias of the branch's last layer";
const FACTOR: &str = "the requantization factor of the branch's last layer";

fn sum(row: &[i8]) -> f64 {
    row.iter().map(|&weight| f64::from(weight)).sum()
}
