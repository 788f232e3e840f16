//! A norm that is written out, and the linear layer that reads it with the norm's
//! weight and bias in its own.

use tadpool_kernels::normed::{self, Normed};

use super::fixed::{Rows, product_bound};
use super::rounding::{Column, Rounded};
use super::{Context, QuantError};
use crate::float::View;
use crate::ir::{Linear, Norm, NormScope};
use crate::quant_model::QuantLinear;
use crate::ranges::Range;

/// A norm whose values become integers, and the size of their step.
pub(super) fn norm(context: &Context<'_>, norm: &Norm) -> Result<(Normed, f64), QuantError> {
    let step = symmetric(inner(context, View::Input, "normed map")?);
    let kernel = Normed {
        scope: match norm.scope {
            NormScope::Map => normed::NormScope::Map,
            NormScope::Token => normed::NormScope::Token,
        },
        norm: context.scoped_norm(norm, context.layer.input, context.stream()?)?,
        multiplier: context.fits_i32(0, "the factor of the normed map", 4096.0 / step)?,
    };
    Ok((kernel, step))
}

/// The layer's first matrix, which reads normed values of the size `input`; the values
/// of output `o` have the size `outputs(o)` and no zero point.
pub(super) fn linear(
    context: &Context<'_>,
    linear: &Linear,
    norm: &Norm,
    input: f64,
    outputs: impl Fn(usize) -> f64,
) -> Result<QuantLinear, QuantError> {
    context.finite(&linear.weight, "the weight of the branch's first layer")?;
    context.finite(&linear.bias, "the bias of the branch's first layer")?;
    let weights = linear.weight.chunks_exact(linear.inputs).flat_map(|row| {
        let pairs = row.iter().zip(&norm.gamma);
        pairs.map(|(&weight, &gamma)| f64::from(weight) * f64::from(gamma))
    });
    let rows = Rows::new(linear.inputs, context.precision.weights[0], weights)
        .trained(context.ranges.trained.weights);
    // So that one step of an output is at most this many of its sum.
    let floor = (0..linear.outputs)
        .map(|output| outputs(output) / (input * STEPS))
        .fold(0.0, f64::max);
    let columns: Vec<Column> = (0..linear.inputs).map(|input| (input, 1.0)).collect();
    let guide = context.guide(0, &columns);
    let Rounded {
        matrix,
        scales,
        correction,
    } = rows.round(rows.scales(floor), &guide, |scale| scale.max(floor));

    let mut bias = Vec::with_capacity(matrix.outputs);
    let mut multiplier = Vec::with_capacity(matrix.outputs);
    for (output, (row, scale)) in matrix.rows().zip(&scales).enumerate() {
        let beta = linear.weight[output * linear.inputs..][..linear.inputs].iter();
        let beta = beta.zip(&norm.beta);
        let beta: f64 = beta.map(|(&w, &beta)| f64::from(w) * f64::from(beta)).sum();
        let real = f64::from(linear.bias[output]) + beta + correction[output];
        let step = scale * input;
        let room = 2f64.powi(31) - product_bound(row);
        let what = "the bias of the branch's first layer";
        bias.push(context.fits(output, what, real / step, room)? as i32);
        let what = "the requantization factor of the branch's first layer";
        let factor = 2f64.powi(32) * step / outputs(output);
        multiplier.push(context.fits_i32(output, what, factor)?);
    }
    Ok(QuantLinear {
        matrix,
        bias,
        multiplier,
    })
}

/// Most steps of a sum in one of its output.
const STEPS: f64 = 4096.0;

/// The calibrated range of an inner map.
pub(super) fn inner(
    context: &Context<'_>,
    view: View,
    what: &'static str,
) -> Result<Range, QuantError> {
    let range = context.ranges.inner.get(&view).copied();
    context.range(range.unwrap_or_default(), what)
}

/// The size of 127 steps up to the larger bound.
pub(super) fn symmetric(range: Range) -> f64 {
    (f64::from(range.max.abs().max(range.min.abs())) / 127.0).max(1e-9)
}
