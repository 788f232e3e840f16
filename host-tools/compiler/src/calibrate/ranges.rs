//! Activation ranges: what calibration measures and quantization needs.

use std::collections::BTreeMap;

pub use tadpool_float::Range;

use crate::network::float::View;
use crate::network::{MetaFormer, Op};

/// Ranges of every layer, in the order of [`MetaFormer::layers`].
#[derive(Debug, Clone, PartialEq)]
pub struct Ranges {
    /// One entry a layer.
    pub layers: Vec<LayerRanges>,
}

/// Ranges of the values that one layer makes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerRanges {
    /// Of the layer's output.
    pub output: Range,
    /// Of the values between `fc1` and the activation, if the layer has one.
    pub pre_activation: Range,
    /// Of the values behind that activation.
    pub hidden: Range,
    /// Of the layer's other maps that become integers, see [`inner_views`].
    pub inner: BTreeMap<View, Range>,
    /// Which of them the network was trained with, to be taken as they are.
    pub trained: Trained,
}

/// The ranges that a network was trained with, by quantization-aware training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trained {
    /// [`LayerRanges::pre_activation`].
    pub pre_activation: bool,
    /// [`LayerRanges::hidden`].
    pub hidden: bool,
    /// The weights: rows that are whole numbers of steps keep these.
    pub weights: bool,
}

impl LayerRanges {
    /// The smallest ranges that hold both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            output: self.output.union(other.output),
            pre_activation: self.pre_activation.union(other.pre_activation),
            hidden: self.hidden.union(other.hidden),
            inner: union(self.inner, other.inner),
            trained: self.trained,
        }
    }
}

fn union(mut a: BTreeMap<View, Range>, b: BTreeMap<View, Range>) -> BTreeMap<View, Range> {
    for (view, range) in b {
        let known = a.entry(view).or_default();
        *known = known.union(range);
    }
    a
}

/// Maps of a layer, besides its output and those around its first activation, that
/// become integers and so need a range.
pub fn inner_views(op: &Op) -> &'static [View] {
    op.layer().inner_views()
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
