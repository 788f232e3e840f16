//! Where a layer is in the network, which is also its name.

use std::fmt;

use serde::{Serialize, Serializer};

/// A layer's place in the network; displayed, its name, such as `stage2.block0.mixer`.
/// Stages count from one and blocks from zero, as in the files of PoolFormer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerName {
    /// The patch embedding or downsampling that begins a stage.
    Embedding {
        /// The stage.
        stage: usize,
    },
    /// The activation right behind a patch embedding.
    EmbeddingActivation {
        /// The stage.
        stage: usize,
    },
    /// The position embedding in front of a stage's blocks.
    Position {
        /// The stage.
        stage: usize,
    },
    /// The norm right behind a patch embedding.
    EmbeddingNorm {
        /// The stage.
        stage: usize,
    },
    /// A block's token mixer.
    Mixer {
        /// The stage.
        stage: usize,
        /// The block within its stage.
        block: usize,
    },
    /// A block's channel MLP.
    ChannelMlp {
        /// The stage.
        stage: usize,
        /// The block within its stage.
        block: usize,
    },
    /// The norm that ends a stage.
    Norm {
        /// The stage.
        stage: usize,
    },
    /// The classifier.
    Head,
}

impl LayerName {
    /// The stage that the layer belongs to; the head belongs to none.
    pub fn stage(self) -> Option<StageName> {
        match self {
            Self::Embedding { stage }
            | Self::EmbeddingNorm { stage }
            | Self::EmbeddingActivation { stage }
            | Self::Position { stage }
            | Self::Mixer { stage, .. }
            | Self::ChannelMlp { stage, .. }
            | Self::Norm { stage } => Some(StageName(stage)),
            Self::Head => None,
        }
    }
}

/// A stage; displayed, its name, such as `stage2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StageName(pub usize);

impl fmt::Display for StageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage{}", self.0)
    }
}

/// Serialized as it is displayed.
impl Serialize for StageName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedding { stage } => write!(f, "stage{stage}.embedding"),
            Self::EmbeddingActivation { stage } => {
                write!(f, "stage{stage}.embedding.activation")
            }
            Self::Position { stage } => write!(f, "stage{stage}.position"),
            Self::EmbeddingNorm { stage } => write!(f, "stage{stage}.embedding.norm"),
            Self::Mixer { stage, block } => write!(f, "stage{stage}.block{block}.mixer"),
            Self::ChannelMlp { stage, block } => write!(f, "stage{stage}.block{block}.mlp"),
            Self::Norm { stage } => write!(f, "stage{stage}.norm"),
            Self::Head => f.write_str("head"),
        }
    }
}

/// Serialized as it is displayed.
impl Serialize for LayerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
