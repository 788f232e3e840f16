//! Names of layers by their place in the network.

use crate::layers::{Op, Part};

/// Place in the network, for names.
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
    pub(crate) fn next(&mut self, op: &Op) -> String {
        match op.part() {
            Part::Embedding => {
                *self = Self {
                    stage: self.stage + 1,
                    ..Self::default()
                };
                return format!("stage{}.embedding", self.stage);
            }
            Part::Head => return "head".to_owned(),
            Part::Norm if self.has_mixer || self.has_mlp || self.has_norm => {
                return format!("stage{}.norm", self.stage);
            }
            Part::Norm => {
                self.has_norm = true;
                return format!("stage{}.embedding.norm", self.stage);
            }
            Part::Mixer => {
                if self.has_mixer || self.has_mlp {
                    self.block += 1;
                }
                (self.has_mixer, self.has_mlp) = (true, false);
            }
            Part::ChannelMlp => {
                if self.has_mlp {
                    self.block += 1;
                    self.has_mixer = false;
                }
                self.has_mlp = true;
            }
        }
        let part = if self.has_mlp { "mlp" } else { "mixer" };
        format!("stage{}.block{}.{part}", self.stage, self.block)
    }
}
