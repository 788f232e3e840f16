//! Position embedding: 127 steps a channel.

use super::{PositionEmbedding, QuantPositionEmbedding};
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::Quant;

pub(crate) fn quantize(
    context: &Context<'_>,
    op: &PositionEmbedding,
    output: Quant,
) -> Result<QuantPositionEmbedding, QuantError> {
    context.finite(&op.positions, "the position embedding")?;
    let stream = context.stream()?;
    let channels = context.layer.input.channels;
    let steps: Vec<f64> = (0..channels)
        .map(|channel| {
            let values = op.positions.iter().skip(channel).step_by(channels.max(1));
            let largest = values.fold(0.0f32, |largest, value| largest.max(value.abs()));
            f64::from(largest) / 127.0
        })
        .collect();
    let each = op.positions.iter().zip(steps.iter().cycle());
    let positions = each.map(|(&value, &step)| match step > 0.0 {
        true => (f64::from(value) / step).round().clamp(-127.0, 127.0) as i8,
        false => 0,
    });
    let (ratio, zero) = context.stream_ratio(1.0, stream, output);
    let factors = steps.iter().enumerate().map(|(channel, step)| {
        let factor = step / output.scale * 2f64.powi(24);
        context.fits_i32(channel, "a step of the position embedding", factor)
    });
    Ok(QuantPositionEmbedding {
        positions: positions.collect(),
        factor: factors.collect::<Result<_, _>>()?,
        residual: context.fits_i32(0, "the scale ratio", ratio * 2f64.powi(24))?,
        offset: context.fits_i32(0, "the zero point", zero * 65_536.0 + context.half_step())?,
    })
}
