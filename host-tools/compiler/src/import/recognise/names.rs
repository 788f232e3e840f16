//! Names layers in the order in which they are recognised.

use crate::layers::{Op, Part};
use crate::network::LayerName;

/// The stage and block that the next layer belongs to.
#[derive(Default)]
pub(crate) struct Names {
    stage: usize,
    block: usize,
    has_mixer: bool,
    has_mlp: bool,
    /// Whether the embedding has a norm behind it.
    has_norm: bool,
}

impl Names {
    /// The next layer's name.
    pub(crate) fn next(&mut self, op: &Op) -> LayerName {
        match op.part() {
            Part::Embedding => {
                *self = Self {
                    stage: self.stage + 1,
                    ..Self::default()
                };
                LayerName::Embedding { stage: self.stage }
            }
            Part::Head => LayerName::Head,
            Part::Activation => LayerName::EmbeddingActivation { stage: self.stage },
            Part::Position => LayerName::Position { stage: self.stage },
            Part::Norm if self.has_mixer || self.has_mlp || self.has_norm => {
                LayerName::Norm { stage: self.stage }
            }
            Part::Norm => {
                self.has_norm = true;
                LayerName::EmbeddingNorm { stage: self.stage }
            }
            Part::Mixer => {
                if self.has_mixer || self.has_mlp {
                    self.block += 1;
                }
                (self.has_mixer, self.has_mlp) = (true, false);
                LayerName::Mixer {
                    stage: self.stage,
                    block: self.block,
                }
            }
            Part::ChannelMlp => {
                if self.has_mlp {
                    self.block += 1;
                    self.has_mixer = false;
                }
                self.has_mlp = true;
                LayerName::ChannelMlp {
                    stage: self.stage,
                    block: self.block,
                }
            }
        }
    }
}
