//! Pooling mixer: gamma and layer scale become one factor per channel, with the steps of
//! the normalised values if each token has a norm of its own. Where nothing is subtracted
//! from the pool, the norm's beta becomes a term of each channel.

use tadpool_kernels::pooling::{FACTOR_MAX, Subtracted};
use tadpool_kernels::wide_pooling::{LARGEST, MULTIPLE};

use crate::network::{NormScope, Pooling};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::{
    Quant, QuantNormedPooling, QuantOp, QuantPooling, QuantScaledPooling, QuantWidePooling,
};

pub(crate) fn quantize(
    context: &Context<'_>,
    op: &Pooling,
    output: Quant,
) -> Result<QuantOp, QuantError> {
    if op.window.is_multiple_of(2) || op.window > LARGEST {
        return Err(QuantError::Geometry {
            layer: context.layer.name.to_string(),
            what: "the pooling window",
            value: op.window,
            supported: "windows of 3x3, 5x5 and 7x7",
        });
    }
    context.residual(&op.residual)?;
    if op.window != 3 {
        return wide(context, op, output).map(QuantOp::WidePooling);
    }
    match op.norm.scope {
        NormScope::Map | NormScope::Fixed => of_map(context, op, output),
        NormScope::Token => of_tokens(context, op, output).map(QuantOp::NormedPooling),
    }
}

/// Behind a norm of the whole map, or one with fixed statistics.
fn of_map(context: &Context<'_>, op: &Pooling, output: Quant) -> Result<QuantOp, QuantError> {
    let stream = context.stream()?;
    let norm = context.folded(&op.norm)?;
    // With fixed statistics the deviation is one step of the map.
    let unit = match op.norm.scope {
        NormScope::Fixed => stream.scale,
        NormScope::Map | NormScope::Token => 1.0,
    };
    let factor = factors(context, op, 2f64.powi(24) * unit / output.scale)?;

    let branch_bound = 36.0 * 255.0 * f64::from(FACTOR_MAX);
    let limit = 2f64.powi(30) - branch_bound / 2.0;
    let terms = terms(context, op, output)?;
    let constants = |channel: usize, res_scale: f32| {
        let (ratio, zero) = context.stream_ratio(res_scale, stream, output);
        let zero = zero + terms[channel];
        let residual = ratio * 65_536.0;
        let residual = context.fits(channel, "the scale ratio", residual, limit / 128.0)?;
        let offset = zero * 65_536.0 + context.half_step();
        let offset = context.fits(channel, "the zero point", offset, limit)?;
        Ok((residual as i32, offset as i32))
    };
    let res_scale = &op.residual.res_scale;
    let is_plain = op.subtracted == Subtracted::Pooled && op.bias.is_empty();
    if is_plain && res_scale.iter().all(|&scale| scale == 1.0) {
        let (residual, offset) = constants(0, 1.0)?;
        return Ok(QuantOp::Pooling(QuantPooling {
            norm,
            factor,
            residual,
            offset,
        }));
    }
    let each = res_scale.iter().enumerate();
    let each = each.map(|(channel, &res_scale)| constants(channel, res_scale));
    let (residual, offset) = each.collect::<Result<_, _>>()?;
    Ok(QuantOp::ScaledPooling(QuantScaledPooling {
        norm,
        subtracted: op.subtracted,
        factor,
        residual,
        offset,
    }))
}

/// Behind a norm of each token.
fn of_tokens(
    context: &Context<'_>,
    op: &Pooling,
    output: Quant,
) -> Result<QuantNormedPooling, QuantError> {
    let (normed, input) = context.normed(&op.norm)?;
    let factor = factors(context, op, 2f64.powi(28) * input.scale / output.scale)?;
    let (residual, offset) = beside(context, op, output)?;
    Ok(QuantNormedPooling {
        normed,
        subtracted: op.subtracted,
        factor,
        residual,
        offset,
    })
}

/// With a window of another size than 3x3.
fn wide(
    context: &Context<'_>,
    op: &Pooling,
    output: Quant,
) -> Result<QuantWidePooling, QuantError> {
    let (norm, normed, unit) = match op.norm.scope {
        NormScope::Map => (Some(context.folded(&op.norm)?), None, 2f64.powi(36)),
        NormScope::Fixed => {
            let step = context.stream()?.scale;
            (Some(context.folded(&op.norm)?), None, 2f64.powi(36) * step)
        }
        NormScope::Token => {
            let (normed, input) = context.normed(&op.norm)?;
            (None, Some(normed), 2f64.powi(40) * input.scale)
        }
    };
    let part = 36.0 / f64::from(MULTIPLE);
    let (residual, offset) = beside(context, op, output)?;
    Ok(QuantWidePooling {
        window: op.window,
        norm,
        normed,
        subtracted: op.subtracted,
        factor: factors(context, op, unit * part / output.scale)?,
        residual,
        offset,
    })
}

/// Factors of the stream, Q24, and offsets, Q16, of a mixer whose sums are not folded.
fn beside(
    context: &Context<'_>,
    op: &Pooling,
    output: Quant,
) -> Result<(Vec<i32>, Vec<i32>), QuantError> {
    let (residual, mut offset) = context.beside(&op.residual, output)?;
    let terms = terms(context, op, output)?;
    for (channel, (offset, term)) in offset.iter_mut().zip(terms).enumerate() {
        let sum = f64::from(*offset) + term * 65_536.0;
        *offset = context.fits_i32(channel, "the norm's bias", sum)?;
    }
    Ok((residual, offset))
}

/// Steps of the written map that the branch adds to each channel whatever the map: its own
/// bias; the norm's, and of fixed statistics, which take no mean off, the zero point too.
/// Those of the norm cancel where the pooled values are subtracted.
fn terms(context: &Context<'_>, op: &Pooling, output: Quant) -> Result<Vec<f64>, QuantError> {
    let mut terms: Vec<f64> = match op.bias.is_empty() {
        true => vec![0.0; op.norm.beta.len()],
        false => {
            let each = op.bias.iter();
            each.map(|&bias| f64::from(bias) / output.scale).collect()
        }
    };
    if op.subtracted == Subtracted::Pooled {
        return Ok(terms);
    }
    let zero = match op.norm.scope {
        NormScope::Fixed => {
            let stream = context.stream()?;
            stream.scale * f64::from(stream.zero_point)
        }
        NormScope::Map | NormScope::Token => 0.0,
    };
    let channels = op.norm.gamma.iter().zip(&op.norm.beta);
    let channels = channels.zip(&op.residual.layer_scale);
    for (term, ((&gamma, &beta), &layer_scale)) in terms.iter_mut().zip(channels) {
        let branch = f64::from(beta) - f64::from(gamma) * zero;
        *term += f64::from(layer_scale) * branch / output.scale;
    }
    Ok(terms)
}

/// The weight of 36 times a difference of values in each channel, if one of them is `unit`.
fn factors(context: &Context<'_>, op: &Pooling, unit: f64) -> Result<Vec<i32>, QuantError> {
    let factors = op.residual.layer_scale.iter().zip(&op.norm.gamma);
    factors
        .enumerate()
        .map(|(channel, (&layer_scale, &gamma))| {
            let branch = f64::from(layer_scale) * f64::from(gamma) * unit;
            context.fits_i32(channel, "the pooling factor", branch / 36.0)
        })
        .collect()
}
