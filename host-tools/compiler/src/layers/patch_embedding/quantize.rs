//! Patch embedding: input normalisation or the map's scale goes into the
//! weights and the bias.

use tadpool_float::Column;

use crate::network::PatchEmbedding;
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::fixed::{Rows, parts, product_bound};
use crate::quantize::gptq::RoundedMatrix;
use crate::quantize::quant_model::{Quant, QuantPatchEmbedding};

pub(crate) fn quantize(
    context: &Context<'_>,
    op: &PatchEmbedding,
    output: Quant,
) -> Result<QuantPatchEmbedding, QuantError> {
    context.finite(&op.linear.weight, "the weight")?;
    context.finite(&op.linear.bias, "the bias")?;
    context.rectifies(op.rectifier, output)?;
    let shift = context.shift()?;
    let channels = Channels::new(context, &shift);
    let count = channels.zero.len();

    // Per window value: network weights in the order of the stored channels,
    // times the real size of one input step.
    let rows = op
        .linear
        .weight
        .chunks_exact(op.linear.inputs)
        .flat_map(|row| {
            row.chunks_exact(count).flat_map(|token| {
                channels
                    .source
                    .iter()
                    .zip(&channels.step)
                    .map(|(&source, step)| f64::from(token[source]) * step)
            })
        });
    let rows = Rows::new(op.linear.inputs, context.precision.weights[0], rows)
        .trained(context.ranges.trained.weights);
    let floor = output.scale / 4096.0;
    let columns = channels.columns(op.linear.inputs);
    let guide = context.guide(0, &columns);
    let RoundedMatrix {
        matrix,
        scales,
        correction,
    } = rows.round(rows.scales(floor), &guide, |scale| scale.max(floor));

    let mut bias = Vec::with_capacity(matrix.outputs);
    let mut multiplier = Vec::with_capacity(matrix.outputs);
    for (channel, (row, scale)) in matrix.rows().zip(&scales).enumerate() {
        // The weights as rounded, so that a window of zeros gives the bias exactly.
        let zeros: f64 = row
            .iter()
            .zip(channels.zero.iter().cycle())
            .map(|(&weight, zero)| f64::from(weight) * zero)
            .sum();
        let start = (f64::from(op.linear.bias[channel]) + correction[channel]) / scale - zeros;
        let limit = 2f64.powi(31) - product_bound(row);
        bias.push(context.fits(channel, "the bias in accumulator steps", start, limit)? as i32);
        let factor = 2f64.powi(32) * scale / output.scale;
        multiplier.push(context.fits_i32(channel, "the requantization factor", factor)?);
    }
    Ok(QuantPatchEmbedding {
        window: op.window,
        stride: op.stride,
        padding: [op.padding[0], op.padding[1]],
        pixels: context.stream.is_none(),
        shift,
        pad: channels
            .zero
            .iter()
            .map(|zero| zero.round().clamp(-128.0, 127.0) as i8)
            .collect(),
        matrix,
        bias,
        multiplier,
        zero_point: output.zero_point,
    })
}

/// Meaning of the values that the kernel reads, per stored channel.
struct Channels {
    /// Network channel that the stored channel feeds.
    source: Vec<usize>,
    /// Real size of one step.
    step: Vec<f64>,
    /// Value that stands for a real zero; for pixels not an integer.
    zero: Vec<f64>,
}

impl Channels {
    /// The channel in the network of each of the `inputs` values of a window.
    fn columns(&self, inputs: usize) -> Vec<Column> {
        let count = self.source.len();
        (0..inputs)
            .map(|column| {
                let (token, stored) = (column / count * count, column % count);
                (token + self.source[stored], self.step[stored])
            })
            .collect()
    }

    fn new(context: &Context<'_>, shift: &[u8]) -> Self {
        let count = context.layer.input.channels;
        if let Some(stream) = context.stream {
            let parts = parts(shift, count);
            let zero = f64::from(stream.zero_point);
            return Self {
                source: (0..count).collect(),
                step: parts.iter().map(|part| stream.scale * part).collect(),
                zero: parts.iter().map(|part| zero / part).collect(),
            };
        }
        let pixels = context.pixels;
        let mut source = vec![0; count];
        for (network, &stored) in pixels.order.iter().enumerate() {
            source[stored] = network;
        }
        let of = |values: &[f32]| -> Vec<f64> {
            source
                .iter()
                .map(|&network| f64::from(values[network]))
                .collect()
        };
        // The kernel reads `pixel - 128`; the network `(pixel / 255 - mean) / std`.
        Self {
            step: of(&pixels.std)
                .iter()
                .map(|std| 1.0 / (255.0 * std))
                .collect(),
            zero: of(&pixels.mean)
                .iter()
                .map(|mean| 255.0 * mean - 128.0)
                .collect(),
            source,
        }
    }
}
