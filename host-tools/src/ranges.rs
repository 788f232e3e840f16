//! Activation ranges: what calibration measures and quantization needs.

use crate::ir::MetaFormer;

/// Ranges of every layer, in the order of [`MetaFormer::layers`].
#[derive(Debug, Clone, PartialEq)]
pub struct Ranges {
    /// One entry a layer.
    pub layers: Vec<LayerRanges>,
}

/// Ranges of the values that one layer makes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LayerRanges {
    /// Of the layer's output.
    pub output: Range,
    /// Of a channel MLP's values between `fc1` and the activation.
    pub pre_activation: Range,
    /// Of a channel MLP's values between the activation and `fc2`.
    pub hidden: Range,
    /// Which of them the network was trained with, to be taken as they are.
    pub trained: Trained,
}

/// What a network was trained with, by quantization-aware training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trained {
    /// [`LayerRanges::pre_activation`].
    pub pre_activation: bool,
    /// [`LayerRanges::hidden`].
    pub hidden: bool,
    /// The weights: rows that are whole numbers of steps keep these.
    pub weights: bool,
}

/// A closed interval of real values; empty until a value was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
}

impl Default for Range {
    fn default() -> Self {
        Self {
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
        }
    }
}

impl Range {
    /// The interval that holds all of `values`.
    pub fn of(values: &[f32]) -> Self {
        values.iter().fold(Self::default(), |range, &value| Self {
            min: range.min.min(value),
            max: range.max.max(value),
        })
    }

    /// The smallest interval that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    /// Whether a value was seen and all were finite.
    pub fn is_finite(self) -> bool {
        self.min.is_finite() && self.max.is_finite() && self.min <= self.max
    }
}

impl LayerRanges {
    /// The smallest ranges that hold both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            output: self.output.union(other.output),
            pre_activation: self.pre_activation.union(other.pre_activation),
            hidden: self.hidden.union(other.hidden),
            trained: self.trained,
        }
    }
}

impl Ranges {
    /// Empty ranges for `network`.
    pub fn empty(network: &MetaFormer) -> Self {
        Self {
            layers: vec![LayerRanges::default(); network.layers.len()],
        }
    }

    /// The smallest ranges that hold both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            layers: self
                .layers
                .into_iter()
                .zip(other.layers)
                .map(|(a, b)| a.union(b))
                .collect(),
        }
    }
}
