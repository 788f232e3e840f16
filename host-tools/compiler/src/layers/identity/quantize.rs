//! Identity mixer and norm: gamma, beta and scales become an affine per channel.

use tadpool_kernels::identity::SLOPE_MAX;

use crate::network::{Identity, Norm, NormScope, Residual};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::context::scope;
use crate::quantize::quant_model::{Quant, QuantIdentity};

/// `res_scale * x + layer_scale * norm(x)`.
pub(crate) fn quantize(
    context: &Context<'_>,
    op: &Identity,
    output: Quant,
) -> Result<QuantIdentity, QuantError> {
    context.residual(&op.residual)?;
    affine(context, &op.norm, &op.residual, output)
}

/// A norm alone: an identity mixer without the residual stream.
pub(crate) fn norm(
    context: &Context<'_>,
    norm: &Norm,
    output: Quant,
) -> Result<QuantIdentity, QuantError> {
    let channels = norm.gamma.len();
    let alone = Residual {
        res_scale: vec![0.0; channels],
        ..Residual::plain(channels)
    };
    affine(context, norm, &alone, output)
}

fn affine(
    context: &Context<'_>,
    norm: &Norm,
    residual: &Residual,
    output: Quant,
) -> Result<QuantIdentity, QuantError> {
    let stream = context.stream()?;
    let channels = norm.gamma.len();
    // With fixed statistics the mean is the zero point, and the deviation one step.
    let (unit, mean) = match norm.scope {
        NormScope::Fixed => (stream.scale, f64::from(stream.zero_point)),
        NormScope::Map | NormScope::Token => (1.0, 0.0),
    };
    let mut quantized = QuantIdentity {
        scope: scope(norm),
        norm: context.folded(norm)?,
        factor: Vec::with_capacity(channels),
        offset: Vec::with_capacity(channels),
        residual: Vec::with_capacity(channels),
    };
    let scales = residual.layer_scale.iter().zip(&residual.res_scale);
    let parameters = norm.gamma.iter().zip(&norm.beta).zip(scales);
    for (channel, ((&gamma, &beta), (&layer_scale, &res_scale))) in parameters.enumerate() {
        let layer_scale = f64::from(layer_scale) / output.scale;
        let slope = layer_scale * f64::from(gamma) * unit;
        let factor = context.fits_i32(channel, "the identity factor", slope * 2f64.powi(20))?;
        let (ratio, zero) = context.stream_ratio(res_scale, stream, output);
        let zero = zero - mean * slope;
        let start = (zero + layer_scale * f64::from(beta)) * 65_536.0 + context.half_step();
        let offset = context.fits(channel, "the offset", start, 2f64.powi(29))?;
        let limit = f64::from(SLOPE_MAX);
        let residual = context.fits(channel, "the scale ratio", ratio * 65_536.0, limit)?;
        quantized.factor.push(factor);
        quantized.offset.push(offset as i32);
        quantized.residual.push(residual as i32);
    }
    Ok(quantized)
}
