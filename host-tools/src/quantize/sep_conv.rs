//! Separable convolution: the norm's weight and bias go into `fc1`, the layer scale
//! into `fc2`.

use tadpool_kernels::depthwise::padded_rows;

use super::channel_mlp::{activated, table, useful};
use super::fixed::{Rows, affine};
use super::linear::{self, BranchEnd, Names};
use super::rounding::{Column, Guide};
use super::{Context, QuantError, normed};
use crate::float::View;
use crate::ir::{Activation, Depthwise, SepConv};
use crate::quant_model::{Quant, QuantDepthwise, QuantSepConv, WeightBits};
use crate::ranges::Range;

pub(super) fn quantize(
    context: &Context<'_>,
    op: &SepConv,
    output: Quant,
) -> Result<QuantSepConv, QuantError> {
    for (values, what) in [
        (&op.fc1.weight, "the weight of fc1"),
        (&op.fc1.bias, "the bias of fc1"),
        (
            &op.depthwise.weight,
            "the weight of the depthwise convolution",
        ),
        (&op.depthwise.bias, "the bias of the depthwise convolution"),
        (&op.fc2.weight, "the weight of fc2"),
        (&op.fc2.bias, "the bias of fc2"),
        (&op.residual.layer_scale, "the layer scale"),
        (&op.residual.res_scale, "the res scale"),
    ] {
        context.finite(values, what)?;
    }
    let (normed, input) = normed::quantize(context, &op.norm)?;

    let weights = op.fc1.weight.iter().zip(op.norm.gamma.iter().cycle());
    let weights = weights.map(|(&weight, &gamma)| f64::from(weight) * f64::from(gamma));
    let fc1_rows = Rows::new(op.fc1.inputs, context.precision.weights[0], weights);
    let range = context.range(context.ranges.pre_activation, "values behind fc1")?;
    let before = linear::coarse(&fc1_rows, input, index(op.act1, range));
    let (hidden, act1) = activation(op.act1, before);
    let names = Names {
        bias: "the bias of fc1",
        factor: "the requantization factor of fc1",
    };
    let columns: Vec<Column> = (0..op.fc1.inputs).map(|input| (input, 1.0)).collect();
    let guide = context.guide(0, &columns);
    let bias = linear::normed_bias(&op.fc1, &op.norm.beta);
    let fc1 = linear::plain(
        context,
        &names,
        (&fc1_rows, &guide),
        &bias,
        [input, signed(before)],
    )?;

    let seen = context.ranges.inner.get(&View::Depthwise).copied();
    let range = context.range(seen.unwrap_or_default(), "values of the convolution")?;
    let (depthwise, mixed, act2) = depthwise(context, &op.depthwise, hidden, (op.act2, range))?;

    let names = Names {
        bias: "the bias of fc2",
        factor: "the requantization factor of fc2",
    };
    let columns: Vec<Column> = (0..op.fc2.inputs).map(|input| (input, 1.0)).collect();
    let scales = op.residual.layer_scale.iter().map(|&s| f64::from(s));
    let rows = op.fc2.weight.chunks_exact(op.fc2.inputs.max(1));
    let weights = rows
        .zip(scales.clone())
        .flat_map(|(row, scale)| row.iter().map(move |&weight| f64::from(weight) * scale));
    let bias = op.fc2.bias.iter().zip(scales.clone());
    let end = BranchEnd {
        inputs: op.fc2.inputs,
        slot: 1,
        weights: weights.collect(),
        bias: bias.map(|(&bias, scale)| f64::from(bias) * scale).collect(),
        residual: &op.residual,
        guide: context.guide(1, &columns),
    };
    let fc2 = linear::residual(context, &names, &end, mixed, output)?;
    Ok(QuantSepConv {
        normed,
        fc1,
        act1,
        depthwise,
        act2,
        fc2,
    })
}

/// The values that an activation reads, or that are taken as they are: 256 steps from
/// zero on.
fn index(activation: Option<Activation>, range: Range) -> Quant {
    match activation {
        Some(activation) => affine(useful(activation, range), 0),
        None => affine(range, 0),
    }
}

/// The same steps as int8 values.
fn signed(index: Quant) -> Quant {
    Quant {
        zero_point: index.zero_point - 128,
        ..index
    }
}

/// What becomes of values with these steps, and the table that does it.
fn activation(activation: Option<Activation>, index: Quant) -> (Quant, Option<[i8; 256]>) {
    match activation {
        Some(activation) => {
            let hidden = affine(activated(activation, index), -128);
            (hidden, Some(table(activation, index, hidden)))
        }
        None => (signed(index), None),
    }
}

/// The convolution of `hidden` values, what it gives once activated, and how.
fn depthwise(
    context: &Context<'_>,
    op: &Depthwise,
    hidden: Quant,
    (act2, range): (Option<Activation>, Range),
) -> Result<(QuantDepthwise, Quant, Option<[i8; 256]>), QuantError> {
    let [height, width] = op.kernel;
    for (what, value) in [("window rows", height), ("window columns", width)] {
        if value % 2 == 0 {
            return Err(QuantError::Geometry {
                layer: context.layer.name.clone(),
                what,
                value,
                supported: "odd windows",
            });
        }
    }
    let (channels, rows) = (op.bias.len(), padded_rows(height));
    let place = |at: usize| {
        let (channel, column, row) = (at / rows / width, at / rows % width, at % rows);
        match row < height {
            true => f64::from(op.weight[(row * width + column) * channels + channel]),
            false => 0.0,
        }
    };
    let weights = (0..channels * width * rows).map(place);
    let rows = Rows::new(width * rows, WeightBits::Int8, weights);
    let before = linear::coarse(&rows, hidden, index(act2, range));
    let (mixed, table) = activation(act2, before);
    let names = Names {
        bias: "the bias of the depthwise convolution",
        factor: "the requantization factor of the depthwise convolution",
    };
    let bias: Vec<f64> = op.bias.iter().map(|&bias| f64::from(bias)).collect();
    let guide = Guide::default();
    let quants = [hidden, signed(before)];
    let linear = linear::plain(context, &names, (&rows, &guide), &bias, quants)?;
    let depthwise = QuantDepthwise {
        kernel: op.kernel,
        weights: linear.matrix.weights,
        bias: linear.bias,
        multiplier: linear.multiplier,
        padding: hidden.zero_point as i8,
        zero: linear.zero,
    };
    Ok((depthwise, mixed, table))
}
