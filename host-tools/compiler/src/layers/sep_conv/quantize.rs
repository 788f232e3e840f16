//! Separable convolution: the norm's weight and bias go into `fc1`, the layer scale
//! into `fc2`.

use tadpool_kernels::depthwise::padded_rows;

use crate::calibrate::ranges::Range;
use crate::network::float::View;
use crate::network::{Activation, Depthwise, SepConv};
use crate::quantize::QuantError;
use crate::quantize::activation::{activated, table, useful};
use crate::quantize::context::Context;
use crate::quantize::fixed::{Rows, affine};
use crate::quantize::gptq::Guide;
use crate::quantize::linear::{self, Names};
use crate::quantize::quant_model::{Quant, QuantDepthwise, QuantSepConv, WeightBits};

pub(crate) fn quantize(
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
    let (normed, input) = context.normed(&op.norm)?;
    let fc1_rows = linear::normed_rows(context, 0, &op.fc1, &op.norm);
    let range = context.range(context.ranges.pre_activation, "values behind fc1")?;
    let before = linear::coarse(&fc1_rows, input, index(op.act1, range));
    let (hidden, act1) = activation(op.act1, before);
    let fc1 = linear::normed(context, (Names::FC1, 0), &op.fc1, &op.norm, input, |_| {
        signed(before)
    })?;

    let seen = context.ranges.inner.get(&View::Depthwise).copied();
    let range = context.range(seen.unwrap_or_default(), "values of the convolution")?;
    let (depthwise, mixed, act2) = depthwise(context, &op.depthwise, hidden, (op.act2, range))?;

    let slot = (Names::FC2, 1);
    let fc2 = linear::residual(context, slot, &op.fc2, &op.residual, mixed, output)?;
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

/// The result of an activation on values with these steps, and its table.
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
    context.odd_window(op)?;
    let [height, width] = op.window;
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
    let bias: Vec<f64> = op.bias.iter().map(|&bias| f64::from(bias)).collect();
    let matrix = (&rows, &Guide::default());
    let linear = linear::plain(context, Names::DEPTHWISE, matrix, &bias, hidden, |_| {
        signed(before)
    })?;
    let depthwise = QuantDepthwise {
        window: op.window,
        weights: linear.matrix.weights,
        bias: linear.bias,
        multiplier: linear.multiplier,
        padding: hidden.zero_point as i8,
        zero: linear.zero,
    };
    Ok((depthwise, mixed, table))
}
