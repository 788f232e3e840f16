//! The description's `[quantization]`: how numbers become integers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// How the network is quantized.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quantization {
    /// How activation ranges are chosen.
    pub ranges: RangeMethod,
    /// How weights are rounded.
    pub rounding: RoundingMethod,
    /// Whether biases make up for what rounding takes from the outputs on average.
    #[serde(rename = "bias-correction")]
    pub bias_correction: BiasCorrection,
    /// Whether the hidden channels of channel MLPs are brought to like sizes.
    pub equalisation: Equalisation,
    /// Bits of the weights.
    pub weights: WeightChoice,
    /// Bits of the residual stream.
    pub stream: StreamChoice,
    /// Bits of single layers or stages, by name, whatever the other fields say:
    /// `"stage1.block0.mlp" = "int8"`, `"stage1.block0.mlp.fc2" = "int8"`,
    /// `"stage1" = "int16"`.
    pub pins: BTreeMap<String, Bits>,
}

/// How an activation range is chosen from what calibration saw.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum RangeMethod {
    /// From the smallest to the largest value.
    MinMax,
    /// The range that holds this percentage of the values.
    Percentile(f64),
    /// The range with the least squared error.
    #[default]
    Mse,
    /// The range with the least divergence (Kullback and Leibler) of the distribution of
    /// the integers from that of the values.
    Kl,
}

/// How weights are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum RoundingMethod {
    /// Each to the nearest step.
    Nearest,
    /// For the least error of the layer's outputs on the calibration images.
    #[default]
    Output,
}

/// Whether biases are corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum BiasCorrection {
    /// For what calibration saw.
    #[default]
    On,
    /// Biases stay as they are.
    Off,
}

/// Whether channel MLPs are equalised, see [`crate::calibrate::equalise`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Equalisation {
    /// Those with an activation that a factor can be drawn through.
    On,
    /// None.
    #[default]
    Off,
}

/// Which weights have how many bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum WeightChoice {
    /// Eight everywhere.
    #[default]
    Int8,
    /// Four in the channel MLPs.
    Int4Mlp,
    /// Four everywhere but in the first and the last layer.
    Int4,
}

/// How many bits the residual stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum StreamChoice {
    /// Eight, but sixteen in the stages where eight are measured to be too few.
    #[default]
    Auto,
    /// Eight everywhere.
    Int8,
    /// Sixteen everywhere.
    Int16,
}

/// The precision that a layer's weights or a stage's stream is pinned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Bits {
    /// Weights of four bits.
    Int4,
    /// Weights, or a stream, of eight.
    Int8,
    /// A stream of sixteen.
    Int16,
}

/// A choice that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is none of {known}")]
pub struct UnknownChoice {
    given: String,
    known: &'static str,
}

pub(super) fn unknown<T>(given: &str, known: &'static str) -> Result<T, UnknownChoice> {
    Err(UnknownChoice {
        given: given
            .chars()
            .take(40)
            .collect::<String>()
            .escape_debug()
            .to_string(),
        known,
    })
}

/// Parses and writes an enum by the names of its variants.
macro_rules! named {
    ($type:ident: $($name:literal = $variant:ident),+) => {
        impl FromStr for $type {
            type Err = UnknownChoice;

            fn from_str(text: &str) -> Result<Self, UnknownChoice> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => unknown(text, concat!($("`", $name, "` "),+).trim_ascii_end()),
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = UnknownChoice;

            fn try_from(text: String) -> Result<Self, UnknownChoice> {
                text.parse()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $name,)+
                })
            }
        }
    };
}

named!(RoundingMethod: "nearest" = Nearest, "output" = Output);
named!(BiasCorrection: "on" = On, "off" = Off);
named!(Equalisation: "on" = On, "off" = Off);
named!(WeightChoice: "int8" = Int8, "int4-mlp" = Int4Mlp, "int4" = Int4);
named!(StreamChoice: "auto" = Auto, "int8" = Int8, "int16" = Int16);
named!(Bits: "int4" = Int4, "int8" = Int8, "int16" = Int16);

impl FromStr for RangeMethod {
    type Err = UnknownChoice;

    fn from_str(text: &str) -> Result<Self, UnknownChoice> {
        let percent = text.strip_prefix("percentile:").map(str::parse::<f64>);
        match (text, percent) {
            ("min-max", _) => Ok(Self::MinMax),
            ("mse", _) => Ok(Self::Mse),
            ("kl", _) => Ok(Self::Kl),
            (_, Some(Ok(percent))) if percent > 50.0 && percent <= 100.0 => {
                Ok(Self::Percentile(percent))
            }
            _ => unknown(
                text,
                "`min-max`, `mse`, `kl`, `percentile:P` with P above 50 and up to 100",
            ),
        }
    }
}

impl TryFrom<String> for RangeMethod {
    type Error = UnknownChoice;

    fn try_from(text: String) -> Result<Self, UnknownChoice> {
        text.parse()
    }
}

impl fmt::Display for RangeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("min-max"),
            Self::Percentile(percent) => write!(f, "percentile:{percent}"),
            Self::Mse => f.write_str("mse"),
            Self::Kl => f.write_str("kl"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_as_they_are_written() {
        for text in ["min-max", "mse", "kl", "percentile:99.9", "percentile:100"] {
            assert_eq!(text.parse::<RangeMethod>().unwrap().to_string(), text);
        }
        for text in ["int8", "int4-mlp", "int4"] {
            assert_eq!(text.parse::<WeightChoice>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_choices_are_refused() {
        for text in [
            "",
            "max",
            "percentile",
            "percentile:50",
            "percentile:101",
            "percentile:nan",
        ] {
            assert!(text.parse::<RangeMethod>().is_err(), "{text}");
        }
        let error = "int2".parse::<WeightChoice>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`int2` is none of `int8` `int4-mlp` `int4`"
        );
    }
}
