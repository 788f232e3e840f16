//! Random mixing: the norm's weight and the layer scale become one factor per channel,
//! its bias a term of every value.

use tadpool_kernels::random_mixing::matrix_rows;

use crate::network::RandomMixing;
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::fixed::{Rows, product_bound};
use crate::quantize::gptq::{Guide, RoundedMatrix};
use crate::quantize::quant_model::{Quant, QuantRandomMixing};

/// The unit of the mixed values in the coarsest step of a row's sum, so that every
/// row's multiplier fits.
const UNIT: f64 = 2.1;

/// Each of the two products besides the residual stays below this.
const TERM_MAX: f64 = (1u64 << 60) as f64;

pub(crate) fn quantize(
    context: &Context<'_>,
    op: &RandomMixing,
    output: Quant,
) -> Result<QuantRandomMixing, QuantError> {
    context.finite(&op.matrix, "the matrix")?;
    context.finite(&op.residual.layer_scale, "the layer scale")?;
    context.finite(&op.residual.res_scale, "the res scale")?;
    let (normed, input) = context.normed(&op.norm)?;
    let tokens = context.layer.input.tokens();
    let zeros = (matrix_rows(tokens) - tokens) * tokens;
    let weights = op.matrix.iter().map(|&weight| f64::from(weight));
    let weights = weights.chain(std::iter::repeat_n(0.0, zeros));
    let rows = Rows::new(tokens, context.precision.weights[0], weights);
    let RoundedMatrix { matrix, scales, .. } =
        rows.round(rows.scales(1e-12), &Guide::default(), |scale| scale);
    let widest = scales.iter().copied().fold(0.0, f64::max);
    let unit = UNIT * widest * input.scale;

    let mut multiplier = Vec::with_capacity(tokens);
    let mut largest = 0.0f64;
    for (row, (weights, scale)) in matrix.rows().zip(&scales).take(tokens).enumerate() {
        let bound = product_bound(weights);
        context.fits(row, "the sum of a row of the matrix", bound, 2f64.powi(31))?;
        let part = scale * input.scale / unit;
        largest = largest.max(bound * part + 1.0);
        let factor = part * 2f64.powi(32);
        multiplier.push(context.fits_i32(row, "the factor of a row of the matrix", factor)?);
    }

    // What a value of zero stands for, and the norm's bias, are a term of every row.
    let least = f64::from(input.zero_point) * input.scale;
    let biases = op.norm.gamma.iter().zip(&op.norm.beta);
    let biases = biases.map(|(&gamma, &beta)| f64::from(beta) - f64::from(gamma) * least);
    let biases: Vec<f64> = biases.collect();
    let has_bias = biases.iter().any(|&bias| bias != 0.0);
    let mut constant = Vec::new();
    let mut largest_constant = 1.0f64;
    let rounded = matrix.rows().zip(&scales);
    for (row, (weights, scale)) in rounded.take(tokens).enumerate() {
        let weights = weights.iter().map(|&weight| f64::from(weight));
        let sum = weights.sum::<f64>() * scale;
        if has_bias {
            let sum = sum * 65_536.0;
            largest_constant = largest_constant.max(sum.abs());
            constant.push(context.fits_i32(row, "the sum of a row of the matrix", sum)?);
        }
    }

    let channels = context.layer.input.channels;
    let mut factor = Vec::with_capacity(channels);
    let mut beta = Vec::new();
    let (residual, offset) = context.beside(&op.residual, output)?;
    let scales = op.residual.layer_scale.iter();
    let norm = op.norm.gamma.iter().zip(biases);
    let word = 2f64.powi(31) - 1.0;
    for (channel, (&layer_scale, (&gamma, bias))) in scales.zip(norm).enumerate() {
        let layer_scale = f64::from(layer_scale) / output.scale;
        let slope = unit * layer_scale * f64::from(gamma) * 2f64.powi(32);
        let limit = (TERM_MAX / largest).min(word);
        factor.push(context.fits(channel, "the mixing factor", slope, limit)? as i32);
        if has_bias {
            let bias = layer_scale * bias * 65_536.0;
            let limit = (TERM_MAX / largest_constant).min(word);
            beta.push(context.fits(channel, "the norm's bias", bias, limit)? as i32);
        }
    }
    Ok(QuantRandomMixing {
        normed,
        matrix,
        multiplier,
        constant,
        beta,
        factor,
        residual,
        offset,
    })
}
