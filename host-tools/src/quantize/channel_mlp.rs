//! Channel MLP: the norm goes into `fc1`.

use tadpool_kernels::norm::Norm;

use super::fixed::{Rows, affine, parts, product_bound};
use super::rounding::{Column, Rounded};
use super::{Context, QuantError, residual};
use crate::ir::{Activation, ChannelMlp};
use crate::quant_model::{Quant, QuantChannelMlp, QuantMatrix};
use crate::ranges::Range;

pub(super) fn quantize(
    context: &Context<'_>,
    op: &ChannelMlp,
    output: Quant,
) -> Result<QuantChannelMlp, QuantError> {
    context.finite(&op.fc1.weight, "the weight of fc1")?;
    context.finite(&op.fc1.bias, "the bias of fc1")?;
    let stream = context.stream()?;
    let norm = context.norm(&op.norm, context.layer.input, stream)?;

    let pre_activation = context.range(
        context.ranges.pre_activation,
        "values before the activation",
    )?;
    let trained = context.ranges.trained;
    let index = match trained.pre_activation {
        true => affine(pre_activation, 0),
        false => affine(useful(op.activation, pre_activation), 0),
    };
    let hidden = match trained.hidden {
        true => affine(context.range(context.ranges.hidden, "hidden values")?, -128),
        false => affine(activated(op.activation, index), -128),
    };

    let shift = context.shift()?;
    let fc1 = normed_fc1(context, op, &norm, index, &shift)?;
    let (fc2, residual) = residual::quantize(context, &op.fc2, &op.residual, hidden, output)?;
    Ok(QuantChannelMlp {
        norm,
        shift,
        fc1_row_sums: fc1.row_sums,
        fc1: fc1.matrix,
        fc1_bias: fc1.bias,
        fc1_multiplier: fc1.multiplier,
        hidden_zero: index.zero_point,
        activation: table(op.activation, index, hidden),
        fc2: fc2.matrix,
        fc2_bias: fc2.bias,
        fc2_residual: residual,
        fc2_multiplier: fc2.multiplier,
    })
}

/// The part of the activation's input where its output is not flat.
///
/// GELU at -4 is -1.3e-4 (-7.0e-5 with tanh), a small part of a step of any usual
/// hidden range, so steps below would be wasted.
fn useful(activation: Activation, range: Range) -> Range {
    let floor = match activation {
        Activation::Gelu | Activation::GeluTanh => -4.0,
        Activation::Relu | Activation::SquaredRelu | Activation::StarRelu { .. } => 0.0,
    };
    Range {
        min: range.min.max(floor),
        max: range.max.max(floor),
    }
}

/// What the activation makes of the 256 values it can be given.
fn activated(activation: Activation, index: Quant) -> Range {
    let outputs: Vec<f32> = (0..=255)
        .map(|q| activation.apply(index.real(q)) as f32)
        .collect();
    Range::of(&outputs)
}

fn table(activation: Activation, index: Quant, hidden: Quant) -> [i8; 256] {
    std::array::from_fn(|q| {
        let value = activation.apply(index.real(q as i32)) / hidden.scale;
        (value.round() + f64::from(hidden.zero_point)).clamp(-128.0, 127.0) as i8
    })
}

struct NormedFc1 {
    matrix: QuantMatrix,
    row_sums: Vec<i32>,
    bias: Vec<i32>,
    multiplier: Vec<i32>,
}

fn normed_fc1(
    context: &Context<'_>,
    op: &ChannelMlp,
    norm: &Norm,
    index: Quant,
    shift: &[u8],
) -> Result<NormedFc1, QuantError> {
    let fc1 = &op.fc1;
    let parts = parts(shift, fc1.inputs);
    let weights = fc1.weight.chunks_exact(fc1.inputs).flat_map(|row| {
        row.iter()
            .zip(&op.norm.gamma)
            .zip(&parts)
            .map(|((&weight, &gamma), part)| f64::from(weight) * f64::from(gamma) * part)
    });
    let rows = Rows::new(fc1.inputs, context.precision.weights[0], weights)
        .trained(context.ranges.trained.weights);
    let floor = index.scale / 4096.0;
    let columns: Vec<Column> = parts.iter().copied().enumerate().collect();
    let guide = context.guide(0, &columns);
    let Rounded {
        matrix,
        scales,
        correction,
    } = rows.round(rows.scales(floor), &guide, |scale| scale.max(floor));

    // Largest deviation of int8 values, with epsilon.
    let sigma_max =
        (128f64.powi(2) + norm.epsilon as f64 / f64::from(norm.elements).powi(2)).sqrt();
    let mut row_sums = Vec::with_capacity(matrix.outputs);
    let mut bias = Vec::with_capacity(matrix.outputs);
    let mut multiplier = Vec::with_capacity(matrix.outputs);
    for (channel, (row, scale)) in matrix.rows().zip(&scales).enumerate() {
        // Steps of the mean per step of the accumulator.
        let steps = row.iter().zip(&parts);
        let steps = steps.map(|(&weight, part)| f64::from(weight) / part);
        let mean_bound: f64 = steps.clone().map(|steps| 128.0 * steps.abs()).sum();
        row_sums.push(context.fits_i32(channel, "the sum of the weights of fc1", steps.sum())?);
        let beta: f64 = fc1.weight[channel * fc1.inputs..][..fc1.inputs]
            .iter()
            .zip(&op.norm.beta)
            .map(|(&weight, &beta)| f64::from(weight) * f64::from(beta))
            .sum();
        let real = beta + f64::from(fc1.bias[channel]) + correction[channel];
        // Products with the map and with its mean, then the bias.
        let room = 2f64.powi(31) - product_bound(row) - mean_bound;
        let limit = (room / sigma_max * 256.0).min(2f64.powi(31) - 1.0);
        bias.push(context.fits(channel, "the bias of fc1", real / scale * 256.0, limit)? as i32);
        let factor = 2f64.powi(28) * scale / index.scale;
        multiplier.push(context.fits_i32(channel, "the requantization factor of fc1", factor)?);
    }
    Ok(NormedFc1 {
        matrix,
        row_sums,
        bias,
        multiplier,
    })
}
