//! Names of layers by their place in the network.

use crate::network::Op;

/// Place in the network, for names.
#[derive(Default)]
pub(super) struct Names {
    stage: usize,
    block: usize,
    has_mixer: bool,
    has_mlp: bool,
    /// Whether the embedding has a norm behind it.
    has_norm: bool,
}

impl Names {
    /// The next layer's name.
    pub(super) fn next(&mut self, op: &Op) -> String {
        match op {
            Op::PatchEmbedding(_) => {
                *self = Self {
                    stage: self.stage + 1,
                    ..Self::default()
                };
                return format!("stage{}.embedding", self.stage);
            }
            Op::Head(_) => return "head".to_owned(),
            Op::Norm(_) if self.has_mixer || self.has_mlp || self.has_norm => {
                return format!("stage{}.norm", self.stage);
            }
            Op::Norm(_) => {
                self.has_norm = true;
                return format!("stage{}.embedding.norm", self.stage);
            }
            Op::Pooling(_)
            | Op::Identity(_)
            | Op::RandomMixing(_)
            | Op::SepConv(_)
            | Op::Attention(_) => {
                if self.has_mixer || self.has_mlp {
                    self.block += 1;
                }
                (self.has_mixer, self.has_mlp) = (true, false);
            }
            Op::ChannelMlp(_) => {
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
