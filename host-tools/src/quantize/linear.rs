//! Linear layers between int8 values, and those that end a branch.

use super::fixed::{Rows, product_bound};
use super::rounding::{Guide, Rounded};
use super::{Context, QuantError};
use crate::ir::Residual;
use crate::quant_model::{Quant, QuantPlainLinear, QuantResidual, QuantResidualLinear, Stream};

/// What constants are called in errors.
pub(super) struct Names {
    pub(super) bias: &'static str,
    pub(super) factor: &'static str,
}

/// The least part of a step of the output that a step of the accumulator may be.
const FINEST: f64 = 1.0 / 65_536.0;

/// The largest part that fits a multiplier, and some room.
const COARSEST: f64 = 0.48;

/// The largest residual factor: `128 * RESIDUAL_MAX` stays below `2^29`.
const RESIDUAL_MAX: f64 = (1 << 22) as f64;

/// `output` with steps as coarse as a multiplier needs them for these weights.
pub(super) fn coarse(rows: &Rows, input: Quant, output: Quant) -> Quant {
    let largest = rows.scales(0.0).into_iter().fold(0.0, f64::max);
    Quant {
        scale: output.scale.max(largest * input.scale / COARSEST),
        ..output
    }
}

/// A layer that reads values of `input` and writes those of `output`, which is
/// [`coarse`] enough.
pub(super) fn plain(
    context: &Context<'_>,
    names: &Names,
    (rows, guide): (&Rows, &Guide),
    bias: &[f64],
    [input, output]: [Quant; 2],
) -> Result<QuantPlainLinear, QuantError> {
    let floor = FINEST * output.scale / input.scale;
    let Rounded {
        matrix,
        scales,
        correction,
    } = rows.round(rows.scales(floor), guide, |scale| scale.max(floor));
    let mut starts = Vec::with_capacity(bias.len());
    let mut multiplier = Vec::with_capacity(bias.len());
    for (channel, (row, scale)) in matrix.rows().zip(&scales).enumerate() {
        let step = scale * input.scale;
        let start = (bias[channel] + correction[channel]) / step
            - f64::from(input.zero_point) * row_sum(row);
        let room = 2f64.powi(31) - product_bound(row);
        starts.push(context.fits(channel, names.bias, start, room)? as i32);
        let factor = 2f64.powi(32) * step / output.scale;
        multiplier.push(context.fits_i32(channel, names.factor, factor)?);
    }
    Ok(QuantPlainLinear {
        matrix,
        bias: starts,
        multiplier,
        zero: output.zero_point,
    })
}

/// What ends a branch: weights `outputs x inputs` and a bias per output, the layer
/// scale included.
pub(super) struct BranchEnd<'a> {
    pub(super) inputs: usize,
    /// Of the layer's matrices.
    pub(super) slot: usize,
    pub(super) weights: Vec<f64>,
    pub(super) bias: Vec<f64>,
    pub(super) residual: &'a Residual,
    pub(super) guide: Guide,
}

/// A layer that reads values of `input` and adds its result to the stream.
///
/// On an int8 stream the residual enters the accumulator: a channel's weight scale is
/// widened until one step of the stream, times the res scale, is a whole number of
/// accumulator steps, and the sum is rounded once. For that the weights of a channel
/// are taken in units of its res scale.
pub(super) fn residual(
    context: &Context<'_>,
    names: &Names,
    end: &BranchEnd<'_>,
    input: Quant,
    output: Quant,
) -> Result<QuantResidualLinear, QuantError> {
    let stream = context.stream()?;
    let wide = context.width == Stream::Int16;
    let res_scales = end.residual.res_scale.iter();
    let res_scales: Vec<f64> = res_scales.map(|&scale| f64::from(scale)).collect();
    let unit = |channel: usize| match res_scales[channel].abs() {
        0.0 => 1.0,
        _ if wide => 1.0,
        scale => scale,
    };
    let weights = end.weights.chunks_exact(end.inputs.max(1)).enumerate();
    let weights =
        weights.flat_map(|(channel, row)| row.iter().map(move |weight| weight / unit(channel)));
    let rows = Rows::new(end.inputs, context.precision.weights[end.slot], weights);
    let rounded = match wide {
        true => {
            let floor = output.scale / (input.scale * RESIDUAL_MAX);
            rows.round(rows.scales(floor), &end.guide, |scale| scale.max(floor))
        }
        false => {
            let steps = |scale: f64| {
                let steps = stream.scale / (input.scale * scale);
                steps.floor().min(RESIDUAL_MAX)
            };
            let allowed = |scale: f64| stream.scale / (input.scale * steps(scale));
            let tight = rows.scales(0.0);
            let too_coarse = |(_, tight): &(usize, &f64)| steps(**tight) < 1.0;
            if let Some((channel, tight)) = tight.iter().enumerate().find(too_coarse) {
                return Err(QuantError::Unrepresentable {
                    layer: context.layer.name.clone(),
                    channel,
                    what: "one step of the branch in steps of the residual stream",
                    value: input.scale * tight / stream.scale,
                    limit: 1.0,
                });
            }
            let widest = tight.into_iter().map(allowed).collect();
            rows.round(widest, &end.guide, allowed)
        }
    };
    let Rounded {
        matrix,
        scales,
        correction,
    } = rounded;

    let mut bias = Vec::with_capacity(matrix.outputs);
    let mut multiplier = Vec::with_capacity(matrix.outputs);
    let mut residual = QuantResidual {
        factor: Vec::with_capacity(matrix.outputs),
        offset: Vec::new(),
        zero_point: if wide { 0 } else { output.zero_point },
    };
    for (channel, (row, scale)) in matrix.rows().zip(&scales).enumerate() {
        let (unit, res_scale) = (unit(channel), res_scales[channel]);
        let step = scale * unit * input.scale;
        let real = end.bias[channel] + unit * correction[channel];
        let mut start = real / step - f64::from(input.zero_point) * row_sum(row);
        let mut room = 2f64.powi(31) - product_bound(row);
        if wide {
            let ratio = res_scale * stream.scale / output.scale;
            let factor = ratio * 2f64.powi(24);
            let zero = f64::from(output.zero_point) - f64::from(stream.zero_point) * ratio;
            let zero = zero * 65_536.0 + context.half_step();
            let factor = context.fits_i32(channel, "the scale ratio", factor)?;
            residual.factor.push(factor);
            let offset = context.fits_i32(channel, "the zero point", zero)?;
            residual.offset.push(offset);
        } else {
            let steps = (res_scale * stream.scale / step).round();
            residual.factor.push(steps as i32);
            start -= f64::from(stream.zero_point) * steps;
            room -= 128.0 * steps.abs();
        }
        bias.push(context.fits(channel, names.bias, start, room)? as i32);
        let factor = 2f64.powi(32) * step / output.scale;
        multiplier.push(context.fits_i32(channel, names.factor, factor)?);
    }
    Ok(QuantResidualLinear {
        matrix,
        bias,
        residual,
        multiplier,
    })
}

/// The bias of each row of a layer that reads normalised values, whose norm has the
/// bias `beta`.
pub(super) fn normed_bias(linear: &crate::ir::Linear, beta: &[f32]) -> Vec<f64> {
    let rows = linear.weight.chunks_exact(linear.inputs.max(1));
    rows.zip(&linear.bias)
        .map(|(row, &bias)| {
            let products = row.iter().zip(beta);
            let products = products.map(|(&weight, &beta)| f64::from(weight) * f64::from(beta));
            f64::from(bias) + products.sum::<f64>()
        })
        .collect()
}

fn row_sum(row: &[i8]) -> f64 {
    row.iter().map(|&weight| f64::from(weight)).sum()
}
