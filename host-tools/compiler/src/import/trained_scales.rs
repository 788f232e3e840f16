//! Trained scales: the whole numbers of steps that a network was trained for.
//!
//! Quantization-aware training writes them into the file as pairs of
//! `QuantizeLinear` and `DequantizeLinear`. They take the place of calibration.

use serde::Serialize;

use crate::calibrate::ranges::{Range, Ranges};
use crate::layers::Part;
use crate::network::MetaFormer;
use crate::quantize;
use crate::quantize::precision::Precision;
use crate::quantize::quant_model::WeightBits;

/// The scales of a file, in the order of [`MetaFormer::layers`].
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedScales {
    /// One entry a layer.
    pub layers: Vec<LayerScales>,
    /// Rounded values that the integer network never stores, such as a norm's
    /// output: it keeps them exact.
    pub exact: usize,
}

/// The scales of one layer's values.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LayerScales {
    /// The layer's output.
    pub output: Option<TrainedScale>,
    /// A channel MLP's values between `fc1` and the activation.
    pub pre_activation: Option<TrainedScale>,
    /// A channel MLP's values between the activation and `fc2`.
    pub hidden: Option<TrainedScale>,
}

/// Whole numbers `q` of steps: `real = scale * (q - zero_point)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainedScale {
    /// Size of a step.
    pub scale: f32,
    /// Whole number that stands for zero.
    pub zero_point: i64,
    /// Smallest whole number.
    pub lowest: i64,
    /// Largest whole number.
    pub highest: i64,
}

/// The use made of a file's scales.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Maps whose scale and zero point are those of the file.
    pub maps: usize,
    /// Maps that the file does not round: their ranges come from calibration.
    pub calibrated: Vec<String>,
    /// Rounded values that the integer network keeps exact.
    pub exact: usize,
    /// Matrices whose integers are those of the file.
    pub matrices: usize,
    /// Matrices that were rounded anew, since a factor of each input is folded
    /// into them (a norm's weight, the deviation of the pixels).
    pub rounded_anew: Vec<String>,
}

impl TrainedScale {
    /// The real values from the smallest to the largest whole number.
    pub fn range(&self) -> Range {
        let real = |q: i64| (f64::from(self.scale) * (q - self.zero_point) as f64) as f32;
        Range {
            min: real(self.lowest),
            max: real(self.highest),
        }
    }
}

impl TrainedScales {
    /// Puts the trained ranges in the place of calibrated ones.
    pub fn apply(&self, ranges: &mut Ranges) {
        for (ranges, scales) in ranges.layers.iter_mut().zip(&self.layers) {
            if let Some(scale) = scales.output {
                ranges.output = scale.range();
            }
            if let Some(scale) = scales.pre_activation {
                ranges.pre_activation = scale.range();
            }
            if let Some(scale) = scales.hidden {
                ranges.hidden = scale.range();
            }
            ranges.trained.pre_activation = scales.pre_activation.is_some();
            ranges.trained.hidden = scales.hidden.is_some();
            ranges.trained.weights = true;
        }
    }

    /// The fewest bits that hold the weights as they were trained.
    pub fn precision(&self, network: &MetaFormer) -> Precision {
        let mut precision = Precision::int8(network);
        for (precision, layer) in precision.layers.iter_mut().zip(&network.layers) {
            let fit = quantize::trained_weights(layer);
            precision.weights = fit.map(|(bits, kept)| if kept { bits } else { WeightBits::Int8 });
        }
        precision
    }

    /// The scales of the file that the integer network takes over.
    pub fn kept(&self, network: &MetaFormer) -> Kept {
        let mut kept = Kept {
            maps: 0,
            calibrated: Vec::new(),
            exact: self.exact,
            matrices: 0,
            rounded_anew: Vec::new(),
        };
        for (layer, scales) in network.layers.iter().zip(&self.layers) {
            let inside = [
                (scales.pre_activation, "before the activation"),
                (scales.hidden, "after the activation"),
            ];
            let part = layer.op.part();
            let inner: &[_] = match part {
                Part::ChannelMlp => &inside,
                Part::Embedding
                | Part::Activation
                | Part::Position
                | Part::Norm
                | Part::Mixer
                | Part::Head => &[],
            };
            // The head's logits are not rounded to 256 steps.
            let output = (scales.output, "output");
            let outer = (part != Part::Head).then_some(&output);
            for (scale, what) in inner.iter().chain(outer) {
                match scale {
                    Some(_) => kept.maps += 1,
                    None => kept.calibrated.push(format!("{} ({what})", layer.name)),
                }
            }
            let matrices = layer.op.layer().matrices();
            for ((_, fits), matrix) in quantize::trained_weights(layer).iter().zip(&matrices) {
                let what = match matrix.name {
                    "" => "weights",
                    name => name,
                };
                match fits {
                    true => kept.matrices += 1,
                    false => kept.rounded_anew.push(format!("{} ({what})", layer.name)),
                }
            }
        }
        kept
    }
}
