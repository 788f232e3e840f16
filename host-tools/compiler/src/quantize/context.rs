//! The inputs of the quantization of one layer, and the checks that all layers share.

use tadpool_float::{Column, Covariance};
use tadpool_kernels::norm::Norm;
use tadpool_kernels::normed::{self, Normed};

use super::gptq::{Guide, means};
use super::{Pixels, QuantError, Rounding, fixed};
use crate::calibrate::ranges::{LayerRanges, Range};
use crate::calibrate::{Calibration, Moments};
use crate::network::float::View;
use crate::network::{self, Activation, Depthwise, Layer, NormScope, Residual, Shape};
use crate::quantize::precision::LayerPrecision;
use crate::quantize::quant_model::{Quant, Stream};

/// The inputs of one layer's quantization.
pub(crate) struct Context<'a> {
    pub(crate) layer: &'a Layer,
    pub(crate) rounding: Rounding<'a>,
    /// The layer's number.
    pub(crate) index: usize,
    pub(crate) ranges: &'a LayerRanges,
    pub(crate) precision: &'a LayerPrecision,
    /// Meaning of the map that is read; `None` for raw pixels.
    pub(crate) stream: Option<Quant>,
    /// Width of the map that is read.
    pub(crate) width: Stream,
    pub(crate) pixels: &'a Pixels,
}

impl<'a> Context<'a> {
    /// The calibration data that rounds matrix `slot` of the layer, whose columns come from
    /// `columns`.
    pub(crate) fn guide(&self, slot: usize, columns: &[Column]) -> Guide {
        let moments = |seen: Option<&'a Calibration>| -> Option<&'a Moments> {
            let moments = seen?.layers.get(self.index)?.inputs[slot].as_ref();
            moments.filter(|moments| moments.tokens() > 0)
        };
        Guide {
            covariance: moments(self.rounding.outputs).and_then(|m| Covariance::of(m, columns)),
            mean: moments(self.rounding.correction).map(|m| means(m, columns)),
        }
    }

    /// Meaning of the map that is read.
    pub(crate) fn stream(&self) -> Result<Quant, QuantError> {
        self.stream.ok_or_else(|| QuantError::Geometry {
            layer: self.layer.name.to_string(),
            what: "number of patch embeddings before it",
            value: 0,
            supported: "networks that start with a patch embedding",
        })
    }

    /// Bits per channel that are rounded away from the map that is read; none
    /// if it is int8.
    pub(crate) fn shift(&self) -> Result<Vec<u8>, QuantError> {
        if self.width == Stream::Int8 {
            return Ok(Vec::new());
        }
        let (shift, channels) = (&self.precision.shift, self.layer.input.channels);
        if shift.is_empty() {
            return Ok(vec![STREAM_FRACTION; channels]);
        }
        let largest = shift.iter().copied().max().unwrap_or(0);
        if shift.len() != channels || largest > STREAM_FRACTION {
            return Err(QuantError::Shift {
                layer: self.layer.name.to_string(),
                count: shift.len(),
                largest,
                channels,
            });
        }
        Ok(shift.clone())
    }

    /// Half a step of the map that is written, Q16.
    pub(crate) fn half_step(&self) -> f64 {
        match self.precision.stream {
            Stream::Int8 => 32_768.0,
            Stream::Int16 => 128.0,
        }
    }

    pub(crate) fn range(&self, range: Range, what: &'static str) -> Result<Range, QuantError> {
        if range.is_finite() {
            Ok(range)
        } else {
            Err(QuantError::Range {
                layer: self.layer.name.to_string(),
                what,
            })
        }
    }

    pub(crate) fn finite(&self, values: &[f32], what: &'static str) -> Result<(), QuantError> {
        if values.iter().all(|value| value.is_finite()) {
            Ok(())
        } else {
            Err(QuantError::NotFinite {
                layer: self.layer.name.to_string(),
                what,
            })
        }
    }

    /// Refuses windows of even sides, which have no middle.
    pub(crate) fn odd_window(&self, convolution: &Depthwise) -> Result<(), QuantError> {
        let sides = ["window rows", "window columns"];
        match sides
            .into_iter()
            .zip(convolution.window)
            .find(|(_, side)| side % 2 == 0)
        {
            None => Ok(()),
            Some((what, value)) => Err(QuantError::Geometry {
                layer: self.layer.name.to_string(),
                what,
                value,
                supported: "odd windows",
            }),
        }
    }

    pub(crate) fn unsupported(&self, what: &'static str) -> QuantError {
        QuantError::Unsupported {
            layer: self.layer.name.to_string(),
            what,
        }
    }

    /// Refuses a ReLU or ReLU6 that the range of the map which is written does not cut off.
    pub(crate) fn rectifies(
        &self,
        rectifier: Option<Activation>,
        output: Quant,
    ) -> Result<(), QuantError> {
        // The lowest value of an int8 map stands for zero.
        let cuts_off = self.precision.stream == Stream::Int8 && output.zero_point == -128;
        match rectifier.is_some() && !cuts_off {
            true => Err(self.unsupported("a ReLU behind a convolution to a map that is not int8")),
            false => Ok(()),
        }
    }

    pub(crate) fn residual(&self, residual: &Residual) -> Result<(), QuantError> {
        self.finite(&residual.layer_scale, "the layer scale")?;
        self.finite(&residual.res_scale, "the res scale")
    }

    /// Steps that are written for a step of the stream times its res scale, and for the
    /// zero points of both.
    pub(crate) fn stream_ratio(&self, res_scale: f32, stream: Quant, output: Quant) -> (f64, f64) {
        let ratio = f64::from(res_scale) * stream.scale / output.scale;
        let zero = f64::from(output.zero_point) - f64::from(stream.zero_point) * ratio;
        (ratio, zero)
    }

    /// For a stream that stands beside what is added to it: steps that are written for
    /// one of the stream, Q24, and the zero points with half a step, Q16, per channel.
    pub(crate) fn beside(
        &self,
        residual: &Residual,
        output: Quant,
    ) -> Result<(Vec<i32>, Vec<i32>), QuantError> {
        let stream = self.stream()?;
        let each = residual.res_scale.iter().enumerate();
        each.map(|(channel, &res_scale)| {
            let (ratio, zero) = self.stream_ratio(res_scale, stream, output);
            let factor = self.fits_i32(channel, "the scale ratio", ratio * 2f64.powi(24))?;
            let start = zero * 65_536.0 + self.half_step();
            Ok((factor, self.fits_i32(channel, "the zero point", start)?))
        })
        .collect()
    }

    /// A norm of the whole map or of each of its tokens.
    pub(crate) fn norm(
        &self,
        norm: &network::Norm,
        shape: Shape,
        stream: Quant,
    ) -> Result<Norm, QuantError> {
        self.finite(&norm.gamma, "the norm's weight")?;
        self.finite(&norm.beta, "the norm's bias")?;
        self.finite(&[norm.epsilon], "the norm's epsilon")?;
        let elements = match norm.scope {
            NormScope::Map => shape.elements(),
            NormScope::Token => shape.channels,
            NormScope::Fixed => return Err(self.unsupported("a norm with fixed statistics")),
        };
        let epsilon =
            (elements as f64).powi(2) * f64::from(norm.epsilon) / (stream.scale * stream.scale);
        if elements >= 1 << 24 {
            return Err(QuantError::Geometry {
                layer: self.layer.name.to_string(),
                what: "number of values in the map",
                value: elements,
                supported: "maps below 16777216 values",
            });
        }
        Ok(Norm {
            elements: elements as u32,
            epsilon: self.fits(
                0,
                "the norm's epsilon over the map's scale",
                epsilon,
                2f64.powi(61),
            )? as u64,
            about: (!norm.centred).then_some(stream.zero_point),
        })
    }

    /// The norm of a step that folds norms into its factors: of the whole map, or one with
    /// fixed statistics.
    pub(crate) fn folded(&self, norm: &network::Norm) -> Result<Norm, QuantError> {
        if norm.scope == NormScope::Fixed {
            self.finite(&norm.gamma, "the norm's weight")?;
            self.finite(&norm.beta, "the norm's bias")?;
            return Ok(Norm::FIXED);
        }
        self.norm(norm, self.layer.input, self.stream()?)
    }

    /// A norm that is written out, and the meaning of what it writes.
    pub(crate) fn normed(&self, norm: &network::Norm) -> Result<(Normed, Quant), QuantError> {
        if norm.scope == NormScope::Fixed {
            // Its factors go into what reads it; values are taken as they are.
            let stream = self.stream()?;
            let normed = Normed {
                scope: scope(norm),
                norm: self.folded(norm)?,
                multiplier: 4096,
            };
            return Ok((normed, stream));
        }
        let seen = self.ranges.inner.get(&View::Input).copied();
        let range = self.range(seen.unwrap_or_default(), "normed map")?;
        let quant = Quant::symmetric(range);
        let normed = Normed {
            scope: scope(norm),
            norm: self.norm(norm, self.layer.input, self.stream()?)?,
            multiplier: self.fits_i32(0, "the steps of a norm", 4096.0 / quant.scale)?,
        };
        Ok((normed, quant))
    }

    /// Rounds a constant of channel `channel` whose magnitude must stay below
    /// `limit`.
    pub(crate) fn fits(
        &self,
        channel: usize,
        what: &'static str,
        value: f64,
        limit: f64,
    ) -> Result<i64, QuantError> {
        let rounded = value.round();
        if rounded.abs() < limit {
            Ok(rounded as i64)
        } else {
            Err(QuantError::Unrepresentable {
                layer: self.layer.name.to_string(),
                channel,
                what,
                value,
                limit,
            })
        }
    }

    /// Rounds a constant that must fit an `i32`.
    pub(crate) fn fits_i32(
        &self,
        channel: usize,
        what: &'static str,
        value: f64,
    ) -> Result<i32, QuantError> {
        self.fits(channel, what, value, 2f64.powi(31) - 1.0)
            .map(|value| value as i32)
    }
}

/// The largest deviation of int8 values from their mean, or from what a norm takes for it.
pub(crate) fn largest_deviation(norm: &Norm) -> f64 {
    match norm.about {
        Some(zero) => f64::from((127 - zero).max(zero + 128)),
        None => 128.0,
    }
}

/// Which values share a mean and a deviation.
pub(crate) fn scope(norm: &network::Norm) -> normed::NormScope {
    match norm.scope {
        // Fixed statistics are never written out.
        NormScope::Map | NormScope::Fixed => normed::NormScope::Map,
        NormScope::Token => normed::NormScope::Token,
    }
}

/// Fractional bits of an int16 stream.
pub(crate) const STREAM_FRACTION: u8 = 8;

/// Scale and zero point of a map.
///
/// 256 steps over the range, zero included since padding stands for it. An int16
/// map has steps to spare and is symmetric, so that any channel may drop fewer
/// bits than others where its values are read.
pub(crate) fn map_quant(range: Range, stream: Stream) -> Quant {
    match stream {
        Stream::Int8 => fixed::affine(range, -128),
        Stream::Int16 => Quant {
            scale: (f64::from(range.max.abs().max(range.min.abs())) / 127.5).max(1e-9),
            zero_point: 0,
        },
    }
}
