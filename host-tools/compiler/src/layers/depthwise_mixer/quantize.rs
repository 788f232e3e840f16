//! Depthwise mixer: the norm's weight goes into the convolution, its bias becomes a term
//! of the sum of the taps that lie inside the map.
//!
//! The kernel's documentation has the formula of every constant.

use tadpool_kernels::depthwise::padded_rows;

use super::{DepthwiseMixer, QuantDepthwiseMixer};
use crate::network::NormScope;
use crate::network::float::View;
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::fixed::{Rows, affine, parts, product_bound};
use crate::quantize::gptq::{Guide, RoundedMatrix};
use crate::quantize::linear;
use crate::quantize::quant_model::{Quant, QuantDepthwise, WeightBits};

/// The largest deviation of int8 values from any of them, and some room for epsilon.
const SIGMA_MAX: f64 = 160.0;
/// The same where deviations are from zero, which may lie at the end of them.
const ROOT_MAX: f64 = 320.0;

pub(crate) fn quantize(
    context: &Context<'_>,
    op: &DepthwiseMixer,
    output: Quant,
) -> Result<QuantDepthwiseMixer, QuantError> {
    context.finite(
        &op.depthwise.weight,
        "the weight of the depthwise convolution",
    )?;
    context.finite(&op.depthwise.bias, "the bias of the depthwise convolution")?;
    context.residual(&op.residual)?;
    context.odd_window(&op.depthwise)?;
    let read = Read::of(context, op)?;
    let rows = rows(op, &read);
    let seen = context.ranges.inner.get(&View::Depthwise).copied();
    let range = context.range(seen.unwrap_or_default(), "values of the convolution")?;
    // A multiplier holds at most half a step of what is written.
    let mixed = linear::coarse(&rows, read.widest(), affine(range, -128));
    let RoundedMatrix { matrix, scales, .. } =
        rows.round(rows.scales(1e-12), &Guide::default(), |scale| scale);

    let channels = op.depthwise.bias.len();
    let mut bias = Vec::with_capacity(channels);
    let mut multiplier = Vec::with_capacity(channels);
    let mut beta = Vec::new();
    for (channel, (weights, &scale)) in matrix.rows().zip(&scales).enumerate() {
        let bias_limit = 2f64.powi(31) - product_bound(weights);
        let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let real = f64::from(op.depthwise.bias[channel]) / (scale * read.unit);
        let mut start = real - read.zero[channel] * sum;
        if let Some(of_norm) = &read.beta {
            let exact = of_norm[channel] * read.fraction;
            let rounded =
                context.fits(channel, "the norm's bias", exact, 2f64.powi(31) - 1.0)? as f64;
            beta.push(rounded as i32);
            // Windows inside the map get the bias exactly.
            start += (exact - rounded) / read.fraction * sum;
        }
        let limit = match read.is_folded() {
            // Times the deviation it stays within the accumulator.
            true => (bias_limit / sigma_max(op) * read.fraction).min(2f64.powi(31) - 1.0),
            false => bias_limit,
        };
        let start = context.fits(
            channel,
            "the bias of the depthwise convolution",
            start * read.fraction,
            limit,
        )?;
        bias.push(start as i32);
        let factor = read.multiplier * scale / mixed.scale;
        multiplier.push(context.fits_i32(
            channel,
            "the requantization factor of the depthwise convolution",
            factor,
        )?);
    }

    let (residual, mut offset) = context.beside(&op.residual, output)?;
    let mut factor = Vec::with_capacity(channels);
    for (channel, &layer_scale) in op.residual.layer_scale.iter().enumerate() {
        let steps = f64::from(layer_scale) * mixed.scale / output.scale;
        factor.push(context.fits_i32(channel, "the layer scale", steps * 2f64.powi(24))?);
        let start = f64::from(offset[channel]) - steps * f64::from(mixed.zero_point) * 65_536.0;
        offset[channel] = context.fits_i32(channel, "the zero point", start)?;
    }
    Ok(QuantDepthwiseMixer {
        norm: read.norm,
        normed: read.normed,
        shift: read.shift,
        depthwise: QuantDepthwise {
            window: op.depthwise.window,
            weights: matrix.weights,
            bias,
            multiplier,
            padding: read.padding,
            zero: mixed.zero_point,
        },
        beta,
        factor,
        residual,
        offset,
    })
}

/// The values that the windows look at.
struct Read {
    norm: Option<tadpool_kernels::norm::Norm>,
    normed: Option<tadpool_kernels::normed::Normed>,
    shift: Vec<u8>,
    /// The factor of a tap's weight, per channel: the norm's weight, and the part
    /// of a step that an int16 stream keeps.
    gamma: Vec<f64>,
    /// Real size of one step; of a folded norm, of one deviation.
    unit: f64,
    /// Real size of a step in the multiplier, in its fixed point.
    multiplier: f64,
    /// One in the fixed point of bias and beta.
    fraction: f64,
    /// The norm's bias in steps, if it has one.
    beta: Option<Vec<f64>>,
    /// The value per channel that stands for zero.
    zero: Vec<f64>,
    /// The value beyond the map.
    padding: i8,
}

impl Read {
    fn of(context: &Context<'_>, op: &DepthwiseMixer) -> Result<Self, QuantError> {
        let channels = op.depthwise.bias.len();
        let stream = context.stream()?;
        let plain = |factors: Option<&[f64]>| -> Result<Self, QuantError> {
            let shift = context.shift()?;
            let parts = parts(&shift, channels);
            let zero = f64::from(stream.zero_point);
            Ok(Self {
                norm: None,
                normed: None,
                unit: stream.scale,
                multiplier: 2f64.powi(32) * stream.scale,
                fraction: 1.0,
                beta: None,
                zero: parts.iter().map(|part| zero / part).collect(),
                padding: stream.zero_point.clamp(-128, 127) as i8,
                gamma: match factors {
                    Some(factors) => factors
                        .iter()
                        .zip(&parts)
                        .map(|(f, part)| f * part)
                        .collect(),
                    None => parts,
                },
                shift,
            })
        };
        let Some(norm) = &op.norm else {
            return plain(None);
        };
        let has_bias = norm.beta.iter().any(|&beta| beta != 0.0);
        let gamma = floored(op);
        let beta = |unit: f64, gamma: &[f64]| {
            let betas = norm.beta.iter().zip(gamma);
            let betas = betas.map(|(&beta, gamma)| f64::from(beta) / (gamma * unit));
            // A channel without weight and bias adds nothing.
            let betas = betas.map(|steps| if steps.is_finite() { steps } else { 0.0 });
            has_bias.then(|| betas.collect::<Vec<_>>())
        };
        match norm.scope {
            NormScope::Fixed => {
                let read = plain(Some(&gamma))?;
                let beta = beta(stream.scale, &read.gamma);
                Ok(Self { beta, ..read })
            }
            NormScope::Map => {
                let shift = context.shift()?;
                let parts = parts(&shift, channels);
                let gamma: Vec<f64> = gamma.iter().zip(&parts).map(|(g, part)| g * part).collect();
                Ok(Self {
                    norm: Some(context.norm(norm, context.layer.input, stream)?),
                    normed: None,
                    unit: 1.0,
                    multiplier: 2f64.powi(28),
                    fraction: 256.0,
                    beta: beta(1.0, &gamma),
                    zero: vec![0.0; channels],
                    padding: 0,
                    gamma,
                    shift,
                })
            }
            NormScope::Token => {
                let (normed, quant) = context.normed(norm)?;
                Ok(Self {
                    norm: None,
                    normed: Some(normed),
                    shift: Vec::new(),
                    unit: quant.scale,
                    multiplier: 2f64.powi(32) * quant.scale,
                    fraction: 1.0,
                    beta: beta(quant.scale, &gamma),
                    zero: vec![0.0; channels],
                    padding: 0,
                    gamma,
                })
            }
        }
    }

    fn is_folded(&self) -> bool {
        self.norm.is_some()
    }

    /// The size of a step, for the coarsest step of what is written.
    fn widest(&self) -> Quant {
        Quant {
            scale: self.multiplier / 2f64.powi(32),
            zero_point: 0,
        }
    }
}

fn sigma_max(op: &DepthwiseMixer) -> f64 {
    match op.norm.as_ref().is_none_or(|norm| norm.centred) {
        true => SIGMA_MAX,
        false => ROOT_MAX,
    }
}

/// The norm's weight per channel, and where it is next to nothing a part of the norm's bias:
/// so small that the map hardly shows, so large that the bias fits an integer.
fn floored(op: &DepthwiseMixer) -> Vec<f64> {
    let taps: usize = op.depthwise.window.iter().product();
    let least = 127.0 * taps as f64 * sigma_max(op) / 2f64.powi(28);
    let norm = op.norm.iter();
    let channels = norm.flat_map(|norm| norm.gamma.iter().zip(&norm.beta));
    channels
        .map(|(&gamma, &beta)| {
            let (gamma, least) = (f64::from(gamma), f64::from(beta).abs() * least);
            match gamma.abs() < least {
                true => least.copysign(gamma),
                false => gamma,
            }
        })
        .collect()
}

/// The window of each channel as the kernel reads it: column by column, padded, with the
/// factor of the channel.
fn rows(op: &DepthwiseMixer, read: &Read) -> Rows {
    let [height, width] = op.depthwise.window;
    let (channels, padded) = (op.depthwise.bias.len(), padded_rows(height));
    let place = |at: usize| {
        let (channel, column, row) = (at / padded / width, at / padded % width, at % padded);
        match row < height {
            true => {
                let weight = op.depthwise.weight[(row * width + column) * channels + channel];
                f64::from(weight) * read.gamma[channel]
            }
            false => 0.0,
        }
    };
    let weights = (0..channels * width * padded).map(place);
    Rows::new(width * padded, WeightBits::Int8, weights)
}
