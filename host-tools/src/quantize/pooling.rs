//! Pooling mixer: gamma and layer scale become one factor per channel.

use tadpool_kernels::pooling::FACTOR_MAX;

use super::{Context, QuantError};
use crate::ir::Pooling;
use crate::quant_model::{Quant, QuantPooling};

pub(super) fn quantize(
    context: &Context<'_>,
    op: &Pooling,
    output: Quant,
) -> Result<QuantPooling, QuantError> {
    if op.kernel != 3 {
        return Err(QuantError::Geometry {
            layer: context.layer.name.clone(),
            what: "the pooling window",
            value: op.kernel,
            supported: "windows of 3x3",
        });
    }
    context.residual(&op.residual)?;
    let stream = context.stream()?;
    let norm = context.norm(&op.norm, context.layer.input, stream)?;

    let factor = op
        .residual
        .layer_scale
        .iter()
        .zip(&op.norm.gamma)
        .enumerate()
        .map(|(channel, (&layer_scale, &gamma))| {
            let branch = f64::from(layer_scale) * f64::from(gamma) / output.scale;
            context.fits_i32(channel, "the pooling factor", branch / 36.0 * 2f64.powi(24))
        })
        .collect::<Result<_, _>>()?;

    let ratio = stream.scale / output.scale;
    let zero = f64::from(output.zero_point) - f64::from(stream.zero_point) * ratio;
    let branch_bound = 36.0 * 255.0 * f64::from(FACTOR_MAX);
    let limit = 2f64.powi(30) - branch_bound / 2.0;
    let residual = context.fits(0, "the scale ratio", ratio * 65_536.0, limit / 128.0)?;
    let offset = context.fits(
        0,
        "the zero point",
        zero * 65_536.0 + context.half_step(),
        limit,
    )?;
    Ok(QuantPooling {
        norm,
        factor,
        residual: residual as i32,
        offset: offset as i32,
    })
}
