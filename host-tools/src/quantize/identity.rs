//! Identity mixer: gamma, beta and layer scale become an affine per channel.

use tadpool_kernels::identity::SLOPE_MAX;

use super::{Context, QuantError};
use crate::ir::{Identity, Norm};
use crate::quant_model::{Quant, QuantIdentity};

pub(super) fn quantize(
    context: &Context<'_>,
    op: &Identity,
    output: Quant,
) -> Result<QuantIdentity, QuantError> {
    context.residual(&op.residual)?;
    affine(context, &op.norm, &op.residual.layer_scale, true, output)
}

/// A norm alone: an identity mixer without the residual stream.
pub(super) fn norm(
    context: &Context<'_>,
    norm: &Norm,
    output: Quant,
) -> Result<QuantIdentity, QuantError> {
    affine(context, norm, &vec![1.0; norm.gamma.len()], false, output)
}

/// `layer_scale * norm(x)`, and `x` besides if the step adds to it.
fn affine(
    context: &Context<'_>,
    norm: &Norm,
    layer_scale: &[f32],
    adds: bool,
    output: Quant,
) -> Result<QuantIdentity, QuantError> {
    let stream = context.stream()?;
    let ratio = if adds {
        stream.scale / output.scale
    } else {
        0.0
    };
    let zero = f64::from(output.zero_point) - f64::from(stream.zero_point) * ratio;

    let mut factor = Vec::with_capacity(layer_scale.len());
    let mut offset = Vec::with_capacity(layer_scale.len());
    let parameters = layer_scale.iter().zip(&norm.gamma).zip(&norm.beta);
    for (channel, ((&layer_scale, &gamma), &beta)) in parameters.enumerate() {
        let layer_scale = f64::from(layer_scale) / output.scale;
        let slope = layer_scale * f64::from(gamma);
        factor.push(context.fits_i32(channel, "the identity factor", slope * 2f64.powi(20))?);
        let start = (zero + layer_scale * f64::from(beta)) * 65_536.0 + context.half_step();
        offset.push(context.fits(channel, "the offset", start, 2f64.powi(29))? as i32);
    }
    let residual = context.fits(0, "the scale ratio", ratio * 65_536.0, f64::from(SLOPE_MAX))?;
    Ok(QuantIdentity {
        norm: context.norm(norm, context.layer.input, stream)?,
        factor,
        offset,
        residual: residual as i32,
    })
}
