//! Channel MLP: the norm goes into `fc1`.

use tadpool_float::Column;
use tadpool_kernels::norm::Norm;

use crate::network::{ChannelMlp, NormScope};
use crate::quantize::QuantError;
use crate::quantize::activation::{around, table};
use crate::quantize::context::{Context, largest_deviation};
use crate::quantize::fixed::{Rows, parts, product_bound};
use crate::quantize::gptq::RoundedMatrix;
use crate::quantize::linear::{self, Names};
use crate::quantize::quant_model::{Quant, QuantChannelMlp, QuantMatrix, QuantNormedMlp, QuantOp};

pub(crate) fn quantize(
    context: &Context<'_>,
    op: &ChannelMlp,
    output: Quant,
) -> Result<QuantOp, QuantError> {
    context.finite(&op.fc1.weight, "the weight of fc1")?;
    context.finite(&op.fc1.bias, "the bias of fc1")?;
    context.finite(&op.fc2.weight, "the weight of fc2")?;
    context.finite(&op.fc2.bias, "the bias of fc2")?;
    context.residual(&op.residual)?;
    let [index, hidden] = around(context, op.activation)?;
    let activation = table(op.activation, index, hidden);
    let fc2 = || {
        linear::residual(
            context,
            (Names::FC2, 1),
            &op.fc2,
            &op.residual,
            hidden,
            output,
        )
    };
    Ok(match op.norm.scope {
        NormScope::Map | NormScope::Fixed => {
            let norm = context.folded(&op.norm)?;
            let shift = context.shift()?;
            let fc1 = normed_fc1(context, op, &norm, index, &shift)?;
            QuantOp::ChannelMlp(Box::new(QuantChannelMlp {
                norm,
                shift,
                fc1_row_sums: fc1.row_sums,
                fc1: fc1.matrix,
                fc1_bias: fc1.bias,
                fc1_multiplier: fc1.multiplier,
                hidden_zero: index.zero_point,
                activation,
                fc2: fc2()?,
            }))
        }
        NormScope::Token => {
            let (norm, normed) = context.normed(&op.norm)?;
            QuantOp::NormedMlp(Box::new(QuantNormedMlp {
                norm,
                fc1: linear::normed(context, (Names::FC1, 0), &op.fc1, &op.norm, normed, |_| {
                    index
                })?,
                activation,
                fc2: fc2()?,
            }))
        }
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
    // With fixed statistics the mean is the zero point, and the deviation one step.
    let stream = context.stream()?;
    let fixed = norm.is_fixed();
    let (unit, zero) = match fixed {
        true => (stream.scale, f64::from(stream.zero_point)),
        false => (1.0, 0.0),
    };
    let weights = fc1.weight.chunks_exact(fc1.inputs).flat_map(|row| {
        row.iter()
            .zip(&op.norm.gamma)
            .zip(&parts)
            .map(|((&weight, &gamma), part)| f64::from(weight) * f64::from(gamma) * part * unit)
    });
    let rows = Rows::new(fc1.inputs, context.precision.weights[0], weights)
        .trained(context.ranges.trained.weights);
    let floor = index.scale / 4096.0;
    let columns = parts.iter().map(|part| part * unit).enumerate();
    let columns: Vec<Column> = columns.collect();
    let guide = context.guide(0, &columns);
    let RoundedMatrix {
        matrix,
        scales,
        correction,
    } = rows.round(rows.scales(floor), &guide, |scale| scale.max(floor));

    // Largest deviation of int8 values, with epsilon.
    let sigma_max = match fixed {
        true => 1.0,
        false => {
            let epsilon = norm.epsilon as f64 / f64::from(norm.elements).powi(2);
            (largest_deviation(norm).powi(2) + epsilon).sqrt()
        }
    };
    let mut row_sums = Vec::with_capacity(matrix.outputs);
    let mut bias = Vec::with_capacity(matrix.outputs);
    let mut multiplier = Vec::with_capacity(matrix.outputs);
    for (channel, (row, scale)) in matrix.rows().zip(&scales).enumerate() {
        // Steps of the mean per step of the accumulator.
        let steps = row.iter().zip(&parts);
        let steps = steps.map(|(&weight, part)| f64::from(weight) / part);
        let mean_bound: f64 = steps.clone().map(|steps| 128.0 * steps.abs()).sum();
        let row_sum: f64 = steps.sum();
        // The zero point is no mean of a run, it goes into the bias.
        let of_mean = if fixed { 0.0 } else { row_sum };
        row_sums.push(context.fits_i32(channel, "the sum of the weights of fc1", of_mean)?);
        let beta: f64 = fc1.weight[channel * fc1.inputs..][..fc1.inputs]
            .iter()
            .zip(&op.norm.beta)
            .map(|(&weight, &beta)| f64::from(weight) * f64::from(beta))
            .sum();
        let real = beta + f64::from(fc1.bias[channel]) + correction[channel];
        // Products with the map and with its mean, then the bias.
        let room = 2f64.powi(31) - product_bound(row) - mean_bound;
        let limit = (room / sigma_max * 256.0).min(2f64.powi(31) - 1.0);
        let start = (real / scale - zero * row_sum) * 256.0;
        bias.push(context.fits(channel, "the bias of fc1", start, limit)? as i32);
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
