//! Depthwise embedding: the steps of both maps become multipliers.
//!
//! The kernel's documentation has the formula of every constant.

use tadpool_kernels::depthwise_embedding as kernel;

use super::{DepthwiseEmbedding, QuantDepthwiseEmbedding, Reduction};
use crate::layers::Windows;
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::fixed::Rows;
use crate::quantize::gptq::{Guide, RoundedMatrix};
use crate::quantize::quant_model::{Quant, WeightBits};

pub(crate) fn quantize(
    context: &Context<'_>,
    op: &DepthwiseEmbedding,
    output: Quant,
) -> Result<QuantDepthwiseEmbedding, QuantError> {
    context.rectifies(op.rectifier, output)?;
    let places = op.window[0] * op.window[1];
    if places > kernel::MOST_PLACES {
        return Err(QuantError::Geometry {
            layer: context.layer.name.to_string(),
            what: "number of places of a window",
            value: places,
            supported: "windows of at most 256 places",
        });
    }
    let stream = context.stream()?;
    let ratio = stream.scale / output.scale * 2f64.powi(24);
    let start = |real: f64| {
        let steps = real / output.scale + f64::from(output.zero_point);
        steps * 65_536.0 + context.half_step()
    };
    let (mut multiplier, mut offset, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    let reduction = match &op.reduction {
        Reduction::Sum { weight, bias } => {
            context.finite(weight, "the weight of the depthwise convolution")?;
            context.finite(bias, "the bias of the depthwise convolution")?;
            let channels = bias.len();
            let by_channel = (0..channels).flat_map(|channel| {
                let places = weight.iter().skip(channel).step_by(channels.max(1));
                places.map(|&weight| f64::from(weight))
            });
            let rows = Rows::new(places, WeightBits::Int8, by_channel);
            let RoundedMatrix { matrix, scales, .. } =
                rows.round(rows.scales(1e-12), &Guide::default(), |scale| scale);
            weights = (0..places * channels)
                .map(|at| matrix.weights[at % channels * places + at / channels])
                .collect();
            for (channel, (scale, &bias)) in scales.iter().zip(bias).enumerate() {
                let what = "the requantization factor of the depthwise convolution";
                multiplier.push(context.fits_i32(channel, what, scale * ratio)?);
                let what = "the bias of the depthwise convolution";
                offset.push(context.fits_i32(channel, what, start(f64::from(bias)))?);
            }
            kernel::Reduction::Sum
        }
        Reduction::Mean { counts_padding } => {
            for inside in 1..=places {
                let count = if *counts_padding { places } else { inside };
                let factor = ratio / count as f64;
                multiplier.push(context.fits_i32(0, "the scale ratio", factor)?);
            }
            offset.push(context.fits_i32(0, "the zero point", start(0.0))?);
            kernel::Reduction::Mean
        }
        Reduction::Maximum => {
            multiplier.push(context.fits_i32(0, "the scale ratio", ratio)?);
            let zero = -f64::from(stream.zero_point) * stream.scale;
            offset.push(context.fits_i32(0, "the zero point", start(zero))?);
            kernel::Reduction::Maximum
        }
    };
    Ok(QuantDepthwiseEmbedding {
        windows: Windows {
            window: op.window,
            stride: op.stride,
            padding: op.padding,
            at_once: Some(1),
        },
        reduction,
        weights,
        zero_point: stream.zero_point,
        multiplier,
        offset,
    })
}
