//! Precision: how many bits the weights and the stream of each layer have.

use crate::ir::{MetaFormer, Op};
use crate::quant_model::{Stream, WeightBits};

/// The precision of every layer, in the order of [`MetaFormer::layers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precision {
    /// One entry a layer.
    pub layers: Vec<LayerPrecision>,
}

/// The precision of one layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerPrecision {
    /// Of the layer's matrices: `fc1` and `fc2` of a channel MLP; the first is
    /// that of a patch embedding or a head.
    pub weights: [WeightBits; 2],
    /// Of the map that the layer writes. A layer that works in place writes a
    /// map as wide as the one that it reads.
    pub stream: Stream,
    /// Bits that are rounded away from each channel of an int16 stream where a
    /// matrix product of this layer reads it, at most eight; empty for eight of
    /// every channel. A channel that uses a small part of the range keeps more
    /// of its bits with a smaller shift.
    pub shift: Vec<u8>,
}

impl Precision {
    /// Eight bits everywhere.
    pub fn int8(network: &MetaFormer) -> Self {
        Self {
            layers: vec![LayerPrecision::default(); network.layers.len()],
        }
    }

    /// The same with `bits` for both matrices of every channel MLP.
    #[must_use]
    pub fn with_channel_mlps(mut self, network: &MetaFormer, bits: WeightBits) -> Self {
        for (precision, layer) in self.layers.iter_mut().zip(&network.layers) {
            if matches!(layer.op, Op::ChannelMlp(_)) {
                precision.weights = [bits; 2];
            }
        }
        self
    }

    /// The same with `stream` for the stage of patch embedding `stage`, counted
    /// from zero.
    #[must_use]
    pub fn with_stage(mut self, network: &MetaFormer, stage: usize, stream: Stream) -> Self {
        let mut embeddings = 0;
        for (precision, layer) in self.layers.iter_mut().zip(&network.layers) {
            if matches!(layer.op, Op::PatchEmbedding(_)) {
                embeddings += 1;
            }
            if embeddings == stage + 1 && !matches!(layer.op, Op::Head(_)) {
                precision.stream = stream;
            }
        }
        self
    }
}
