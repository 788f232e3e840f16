//! Linear layers of a branch: the one that reads a norm which is written out, and the
//! one that joins the residual stream.

use tadpool_float::Column;

use super::fixed::{Rows, product_bound};
use super::gptq::{Guide, RoundedMatrix};
use super::{Context, QuantError};
use crate::network::{Linear, Norm, Residual};
use crate::quantize::quant_model::{
    Quant, QuantPlainLinear, QuantResidual, QuantResidualLinear, Stream,
};

/// The name of a layer's constants in errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    bias: &'static str,
    factor: &'static str,
}

impl Names {
    pub(crate) const FC1: Self = Self {
        bias: "the bias of fc1",
        factor: "the requantization factor of fc1",
    };
    pub(crate) const DEPTHWISE: Self = Self {
        bias: "the bias of the depthwise convolution",
        factor: "the requantization factor of the depthwise convolution",
    };
    pub(crate) const FC2: Self = Self {
        bias: "the bias of fc2",
        factor: "the requantization factor of fc2",
    };
    pub(crate) const QKV: Self = Self {
        bias: "the bias of qkv",
        factor: "the requantization factor of qkv",
    };
    pub(crate) const PROJECTION: Self = Self {
        bias: "the bias of the projection",
        factor: "the requantization factor of the projection",
    };
}

/// Most steps of a sum in one step of its output.
const STEPS: f64 = 4096.0;

/// The largest part of a step of the output that fits a multiplier, and some room.
const COARSEST: f64 = 0.48;

/// `output` with steps as coarse as a multiplier needs them for these weights.
pub(crate) fn coarse(rows: &Rows, input: Quant, output: Quant) -> Quant {
    let largest = rows.scales(0.0).into_iter().fold(0.0, f64::max);
    Quant {
        scale: output.scale.max(largest * input.scale / COARSEST),
        ..output
    }
}

/// A layer that reads values of `input`; those of output `o` mean `output(o)`, and have
/// the same zero point.
pub(crate) fn plain(
    context: &Context<'_>,
    names: Names,
    (rows, guide): (&Rows, &Guide),
    bias: &[f64],
    input: Quant,
    output: impl Fn(usize) -> Quant,
) -> Result<QuantPlainLinear, QuantError> {
    let widest = (0..bias.len()).map(|o| output(o).scale).fold(0.0, f64::max);
    let floor = widest / (STEPS * input.scale);
    let RoundedMatrix {
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
        let factor = 2f64.powi(32) * step / output(channel).scale;
        multiplier.push(context.fits_i32(channel, names.factor, factor)?);
    }
    Ok(QuantPlainLinear {
        matrix,
        bias: starts,
        multiplier,
        zero: output(0).zero_point,
    })
}

/// Matrix `slot` of the layer with the weight of the norm before it.
pub(crate) fn normed_rows(
    context: &Context<'_>,
    slot: usize,
    linear: &Linear,
    norm: &Norm,
) -> Rows {
    let weights = linear.weight.chunks_exact(linear.inputs).flat_map(|row| {
        let row = row.iter().zip(&norm.gamma);
        row.map(|(&weight, &gamma)| f64::from(weight) * f64::from(gamma))
    });
    Rows::new(linear.inputs, context.precision.weights[slot], weights)
        .trained(context.ranges.trained.weights)
}

/// Matrix `slot` of the layer, which reads values that were normalised without the
/// weight and bias of `norm`.
pub(crate) fn normed(
    context: &Context<'_>,
    (names, slot): (Names, usize),
    linear: &Linear,
    norm: &Norm,
    input: Quant,
    output: impl Fn(usize) -> Quant,
) -> Result<QuantPlainLinear, QuantError> {
    let rows = normed_rows(context, slot, linear, norm);
    let guide = columns(context, slot, linear.inputs);
    let biases = linear.weight.chunks_exact(linear.inputs).zip(&linear.bias);
    let biases = biases.map(|(row, &bias)| {
        let beta = row.iter().zip(&norm.beta);
        let beta = beta.map(|(&weight, &beta)| f64::from(weight) * f64::from(beta));
        beta.sum::<f64>() + f64::from(bias)
    });
    let biases: Vec<f64> = biases.collect();
    plain(context, names, (&rows, &guide), &biases, input, output)
}

/// Matrix `slot` of the layer, which ends a branch: with the layer scale, and the
/// residual stream besides.
pub(crate) fn residual(
    context: &Context<'_>,
    (names, slot): (Names, usize),
    linear: &Linear,
    residual: &Residual,
    input: Quant,
    output: Quant,
) -> Result<QuantResidualLinear, QuantError> {
    let branch = Branch {
        context,
        names,
        slot,
        linear,
        residual,
        input,
        stream: context.stream()?,
        output,
    };
    match context.width {
        Stream::Int8 => branch.within(),
        Stream::Int16 => branch.beside(),
    }
}

/// The largest residual factor: `128 * RESIDUAL_MAX` stays below `2^29`.
const RESIDUAL_MAX: f64 = (1 << 22) as f64;

/// The largest accumulator step, in steps of what is written, where the residual stream
/// is rounded to whole ones: 128 times half of it is one step.
const LOST_MAX: f64 = 1.0 / 64.0;

/// Accumulator steps of a stream that a res scale of zero drops: any number would do.
const DROPPED: f64 = (1 << 16) as f64;

/// The end of a branch.
struct Branch<'a> {
    context: &'a Context<'a>,
    names: Names,
    slot: usize,
    linear: &'a Linear,
    residual: &'a Residual,
    /// Meaning of what the layer reads.
    input: Quant,
    /// Meaning of the residual stream before the step.
    stream: Quant,
    /// Meaning of the residual stream behind the step.
    output: Quant,
}

impl Branch<'_> {
    /// The residual stream within the accumulator.
    ///
    /// A channel's weight scale is widened until one step of the residual stream times
    /// its res scale is a whole number of accumulator steps: the residual then enters
    /// the accumulator exactly and the sum is rounded once. The scale of trained
    /// weights moves to the nearest such number; the weights stay what they were.
    fn within(&self) -> Result<QuantResidualLinear, QuantError> {
        let (input, stream) = (self.input, self.stream);
        // Rows in units of their res scale, so that all have the same condition.
        let units = self.units();
        let rows = self.rows(&units);
        let steps = |scale: f64| {
            let steps = stream.scale / (input.scale * scale);
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
            steps => stream.scale / (input.scale * steps),
        };
        let tight = rows.scales(0.0);
        for (channel, (tight, unit)) in tight.iter().zip(&units).enumerate() {
            let lost = input.scale * tight * unit / self.output.scale;
            if steps(*tight) < 1.0 && lost > LOST_MAX {
                return Err(QuantError::Unrepresentable {
                    layer: self.context.layer.name.to_string(),
                    channel,
                    what: "one step of the branch in steps of the written stream",
                    value: lost,
                    limit: LOST_MAX,
                });
            }
        }
        let widest = tight.into_iter().map(allowed).collect();
        let mut rounded = rows.round(widest, &self.guide(), allowed);
        let steps = |scale: &f64| (stream.scale / (input.scale * scale)).round() as i32;
        let factor: Vec<i32> = rounded
            .scales
            .iter()
            .zip(&self.residual.res_scale)
            .map(|(scale, &res_scale)| match res_scale {
                0.0 => 0,
                _ if res_scale < 0.0 => -steps(scale),
                _ => steps(scale),
            })
            .collect();
        let parts = rounded.scales.iter_mut().zip(&mut rounded.correction);
        for ((scale, correction), unit) in parts.zip(&units) {
            *scale *= unit;
            *correction *= unit;
        }
        let residual = QuantResidual {
            factor,
            offset: Vec::new(),
            zero_point: self.output.zero_point,
        };
        let taken = residual.factor.clone();
        self.finish(rounded, &taken, residual)
    }

    /// An int16 residual stream beside the accumulator: the sums of the branch alone,
    /// and what the stream is multiplied with when the two are added.
    fn beside(&self) -> Result<QuantResidualLinear, QuantError> {
        let (context, output) = (self.context, self.output);
        let rows = self.rows(&vec![1.0; self.linear.outputs]);
        let floor = output.scale / (self.input.scale * RESIDUAL_MAX);
        let rounded = rows.round(rows.scales(floor), &self.guide(), |scale| scale.max(floor));
        let (factor, offset) = context.beside(self.residual, output)?;
        let residual = QuantResidual {
            factor,
            offset,
            zero_point: 0,
        };
        self.finish(rounded, &vec![0; self.linear.outputs], residual)
    }

    /// The divisor of each channel's row: its res scale, or for a stream that
    /// is dropped what leaves its scale as it is.
    fn units(&self) -> Vec<f64> {
        let scales = self.rows(&vec![1.0; self.linear.outputs]).scales(0.0);
        let each = self.residual.res_scale.iter().zip(scales);
        each.map(|(&res_scale, scale)| match f64::from(res_scale).abs() {
            0.0 if scale > 0.0 => DROPPED * scale * self.input.scale / self.stream.scale,
            0.0 => 1.0,
            res_scale => res_scale,
        })
        .collect()
    }

    /// The matrix with the layer scale, each row divided by its unit.
    fn rows(&self, units: &[f64]) -> Rows {
        let Linear { inputs, weight, .. } = self.linear;
        let factors = self.residual.layer_scale.iter().zip(units);
        let rows = weight.chunks_exact(*inputs).zip(factors);
        let weights = rows.flat_map(|(row, (&layer_scale, &unit))| {
            row.iter()
                .map(move |&weight| f64::from(weight) * f64::from(layer_scale) / unit)
        });
        Rows::new(*inputs, self.context.precision.weights[self.slot], weights)
            .trained(self.context.ranges.trained.weights)
    }

    fn guide(&self) -> Guide {
        columns(self.context, self.slot, self.linear.inputs)
    }

    /// `taken` tells how many accumulator steps of each channel a step of the residual
    /// stream is.
    fn finish(
        &self,
        rounded: RoundedMatrix,
        taken: &[i32],
        residual: QuantResidual,
    ) -> Result<QuantResidualLinear, QuantError> {
        let RoundedMatrix {
            matrix,
            scales,
            correction,
        } = rounded;
        let mut bias = Vec::with_capacity(matrix.outputs);
        let mut multiplier = Vec::with_capacity(matrix.outputs);
        for (channel, (row, scale)) in matrix.rows().zip(&scales).enumerate() {
            let step = scale * self.input.scale;
            let taken = f64::from(taken[channel]);
            let layer_scale = f64::from(self.residual.layer_scale[channel]);
            let real = f64::from(self.linear.bias[channel]) * layer_scale;
            let start = (real + correction[channel]) / step
                - f64::from(self.input.zero_point) * row_sum(row)
                - f64::from(self.stream.zero_point) * taken;
            let room = 2f64.powi(31) - product_bound(row) - 128.0 * taken.abs();
            let context = self.context;
            bias.push(context.fits(channel, self.names.bias, start, room)? as i32);
            let factor = 2f64.powi(32) * step / self.output.scale;
            multiplier.push(context.fits_i32(channel, self.names.factor, factor)?);
        }
        Ok(QuantResidualLinear {
            matrix,
            bias,
            residual,
            multiplier,
        })
    }
}

/// For rounding a matrix whose columns are what calibration saw.
fn columns(context: &Context<'_>, slot: usize, inputs: usize) -> Guide {
    let columns: Vec<Column> = (0..inputs).map(|input| (input, 1.0)).collect();
    context.guide(slot, &columns)
}

fn row_sum(row: &[i8]) -> f64 {
    row.iter().map(|&weight| f64::from(weight)).sum()
}
