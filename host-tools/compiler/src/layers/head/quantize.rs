//! Head: the norm goes into the classifier's weights and bias.

use super::quantize_wide;
use crate::network::{Head, NormScope};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::fixed::Rows;
use crate::quantize::gptq::{Guide, RoundedMatrix};
use crate::quantize::quant_model::{QuantHead, QuantOp, Stream};

pub(crate) fn quantize(context: &Context<'_>, op: &Head) -> Result<QuantOp, QuantError> {
    let of_tokens = matches!(&op.norm, Some(norm) if norm.scope == NormScope::Token);
    let wide =
        || quantize_wide::quantize(context, op).map(|head| QuantOp::WideHead(Box::new(head)));
    match of_tokens || op.mean_norm.is_some() || op.hidden.is_some() {
        true => wide(),
        false => match classifier(context, op) {
            // Large weights behind few tokens.
            Err(QuantError::Unrepresentable { .. }) => wide(),
            classifier => classifier.map(QuantOp::Head),
        },
    }
}

fn classifier(context: &Context<'_>, op: &Head) -> Result<QuantHead, QuantError> {
    context.finite(&op.linear.weight, "the weight")?;
    context.finite(&op.linear.bias, "the bias")?;
    let stream = context.stream()?;
    let linear = &op.linear;
    let norm = match &op.norm {
        Some(norm) => Some(context.norm(norm, context.layer.input, stream)?),
        None => None,
    };
    let gamma = |input: usize| {
        op.norm
            .as_ref()
            .map_or(1.0, |norm| f64::from(norm.gamma[input]))
    };
    let beta = |input: usize| {
        op.norm
            .as_ref()
            .map_or(0.0, |norm| f64::from(norm.beta[input]))
    };

    let weights = linear.weight.chunks_exact(linear.inputs).flat_map(|row| {
        row.iter()
            .enumerate()
            .map(|(input, &weight)| f64::from(weight) * gamma(input))
    });
    let rows = Rows::new(linear.inputs, context.precision.weights[0], weights)
        .trained(context.ranges.trained.weights);
    let RoundedMatrix { matrix, scales, .. } =
        rows.round(rows.scales(1e-9), &Guide::default(), |scale| scale);

    // Without a norm the map's scale stays; with one it cancels.
    let unit = if norm.is_some() { 1.0 } else { stream.scale };
    let tokens = context.layer.input.tokens();
    if context.width == Stream::Int16 && tokens >= 1 << 16 {
        return Err(QuantError::Geometry {
            layer: context.layer.name.to_string(),
            what: "number of tokens of an int16 map",
            value: tokens,
            supported: "maps below 65536 tokens",
        });
    }
    let tokens = tokens as f64;
    let mut multiplier = Vec::with_capacity(linear.outputs);
    let mut bias = Vec::with_capacity(linear.outputs);
    for (class, scale) in scales.iter().enumerate() {
        let factor = scale * unit / tokens * 2f64.powi(36);
        multiplier.push(context.fits_i32(class, "the requantization factor", factor)?);
        let real: f64 = linear.weight[class * linear.inputs..][..linear.inputs]
            .iter()
            .enumerate()
            .map(|(input, &weight)| f64::from(weight) * beta(input))
            .sum::<f64>()
            + f64::from(linear.bias[class]);
        bias.push(context.fits_i32(class, "the bias", real * 65_536.0)?);
    }
    Ok(QuantHead {
        norm,
        zero_point: stream.zero_point as i8,
        row_sums: matrix.row_sums(),
        matrix,
        multiplier,
        bias,
    })
}
