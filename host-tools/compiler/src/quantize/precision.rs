//! Precision: how many bits the weights and the stream of each layer have.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::given::model_toml::{Bits, Quantization, StreamChoice, WeightChoice, shown};
use crate::layers::Matrix;
use crate::network::{Layer, LayerName, MetaFormer, Part, StageName};
use crate::quantize::quant_model::{Stream, WeightBits};

/// The precision of every layer, in the order of [`MetaFormer::layers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precision {
    /// One entry a layer.
    pub layers: Vec<LayerPrecision>,
}

/// The precision of one layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerPrecision {
    /// Of the layer's matrices, in the order of [`matrix_names`].
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

/// A precision, and what was widened for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The precision.
    pub precision: Precision,
    /// Stages whose stream has sixteen bits because eight were measured to be too
    /// few.
    pub widened: Vec<Widened>,
}

/// A stage whose stream was widened, and what for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Widened {
    /// The stage.
    pub stage: StageName,
    /// Numbers of its layers.
    #[serde(skip)]
    pub layers: Vec<usize>,
    /// The first of its steps that eight bits were too few for, or the head.
    pub step: LayerName,
    /// That step's signal to noise ratio, in decibels.
    pub sqnr_db: f64,
}

impl From<Precision> for Choice {
    fn from(precision: Precision) -> Self {
        Self {
            precision,
            widened: Vec::new(),
        }
    }
}

/// A pin that does not fit the network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrecisionError {
    /// No layer or stage has this name.
    #[error(
        "`quantization.pins` names `{name}`, which is no layer with weights and no stage; there are: {known}"
    )]
    UnknownName {
        /// The name.
        name: String,
        /// Names that exist.
        known: String,
    },
    /// The name exists, but not with these bits.
    #[error(
        "`quantization.pins` sets `{name}` to {bits}: a layer's weights are int8 or int4, a stage's stream is int8 or int16"
    )]
    Bits {
        /// The name.
        name: String,
        /// The precision that it cannot have.
        bits: Bits,
    },
}

impl Precision {
    /// The precision that a description chooses, its pins included. Stages that begin with a
    /// ReLU stay int8.
    ///
    /// # Errors
    /// A pin names nothing, or something that cannot have these bits.
    pub fn chosen(network: &MetaFormer, choice: &Quantization) -> Result<Self, PrecisionError> {
        let mut precision = Self::int8(network);
        let last = network.layers.len().saturating_sub(1);
        // A ReLU behind a convolution is the end of an int8 map's range.
        let rectified = network.layers.iter();
        let rectified = rectified.filter(|layer| layer.op.rectifier().is_some());
        let rectified: Vec<_> = rectified.map(|layer| layer.name.stage()).collect();
        for (index, layer) in network.layers.iter().enumerate() {
            let chosen = &mut precision.layers[index];
            let is_mlp = layer.op.part() == Part::ChannelMlp;
            let narrow = match choice.weights {
                WeightChoice::Int8 => false,
                WeightChoice::Int4Mlp => is_mlp,
                WeightChoice::Int4 => {
                    index != 0 && index != last && !layer.op.layer().matrices().is_empty()
                }
            };
            if narrow {
                chosen.weights[..layer.op.layer().matrices().len()].fill(WeightBits::Int4);
            }
            let may_be_wide =
                layer.op.part() != Part::Head && !rectified.contains(&layer.name.stage());
            if choice.stream == StreamChoice::Int16 && may_be_wide {
                chosen.stream = Stream::Int16;
            }
        }
        precision.pinned(network, &choice.pins)
    }

    /// The same with these layers and stages pinned.
    ///
    /// # Errors
    /// A pin names nothing, or something that cannot have these bits.
    pub fn pinned(
        mut self,
        network: &MetaFormer,
        pins: &BTreeMap<String, Bits>,
    ) -> Result<Self, PrecisionError> {
        for (name, &bits) in pins {
            self.pin(network, name, bits)?;
        }
        Ok(self)
    }

    /// Sets the weights of a layer (`stage1.block0.mlp`), one matrix of it
    /// (`stage1.block0.mlp.fc2`), or the stream of a stage (`stage1`).
    ///
    /// # Errors
    /// The name names nothing, or something that cannot have these bits.
    pub fn pin(
        &mut self,
        network: &MetaFormer,
        name: &str,
        bits: Bits,
    ) -> Result<(), PrecisionError> {
        let weight_bits = match bits {
            Bits::Int4 => Some(WeightBits::Int4),
            Bits::Int8 => Some(WeightBits::Int8),
            Bits::Int16 => None,
        };
        let stream = match bits {
            Bits::Int4 => None,
            Bits::Int8 => Some(Stream::Int8),
            Bits::Int16 => Some(Stream::Int16),
        };
        let mut found = false;
        let mut fits = true;
        for (precision, layer) in self.layers.iter_mut().zip(&network.layers) {
            let part = layer.name.to_string() == name;
            let matrices = matrix_names(layer);
            let slots = match matrices.iter().position(|matrix| matrix == name) {
                _ if part => 0..matrices.len(),
                Some(slot) => slot..slot + 1,
                None => 0..0,
            };
            if !slots.is_empty() {
                found = true;
                match weight_bits {
                    Some(bits) => precision.weights[slots].fill(bits),
                    None => fits = false,
                }
            } else if layer
                .name
                .stage()
                .is_some_and(|stage| stage.to_string() == name)
            {
                found = true;
                match stream {
                    Some(stream) => precision.stream = stream,
                    None => fits = false,
                }
            }
        }
        match (found, fits) {
            (true, true) => Ok(()),
            (true, false) => Err(PrecisionError::Bits {
                name: name.to_owned(),
                bits,
            }),
            (false, _) => Err(PrecisionError::UnknownName {
                name: shown(name),
                known: names(network).join(", "),
            }),
        }
    }

    /// Sets the stream of a stage that was widened.
    pub fn set_stream(&mut self, stage: &Widened, stream: Stream) {
        for &layer in &stage.layers {
            if let Some(precision) = self.layers.get_mut(layer) {
                precision.stream = stream;
            }
        }
    }

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
            if layer.op.part() == Part::ChannelMlp {
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
            if layer.op.part() == Part::Embedding {
                embeddings += 1;
            }
            if embeddings == stage + 1 && layer.op.part() != Part::Head {
                precision.stream = stream;
            }
        }
        self
    }
}

/// The name of each matrix of a layer, in the order of [`LayerPrecision::weights`].
pub fn matrix_names(layer: &Layer) -> Vec<String> {
    let matrices = layer.op.layer().matrices();
    let name = |matrix: &Matrix<'_>| match matrix.name {
        "" => layer.name.to_string(),
        name => format!("{}.{name}", layer.name),
    };
    matrices.iter().map(name).collect()
}

/// Everything that a pin can name.
fn names(network: &MetaFormer) -> Vec<String> {
    network.names_of(|layer| !layer.op.layer().matrices().is_empty())
}
