//! Every step kernel against the naive oracle, over edge shapes and random
//! ones, and over geometry that does not fit.

mod attention_case;
mod branch_cases;
mod channel_mlp_case;
mod depthwise_mixer_case;
mod embedding_cases;
mod geometry;
mod head_case;
mod int16_steps;
mod mixer_cases;
mod normed_mlp_case;
mod normed_pooling_case;
mod oracle;
mod patch_embedding_case;
mod support;
mod trained_head;
mod wide_head_case;
mod wide_pooling_case;

use std::fmt::Debug;
use std::ops::Range;

use attention_case::AttentionCase;
use branch_cases::{RandomMixingCase, SepConvCase};
use channel_mlp_case::MlpCase;
use depthwise_mixer_case::DepthwiseMixerCase;
use embedding_cases::{ActivationCase, DepthwiseEmbeddingCase, PositionCase};
use head_case::HeadCase;
use mixer_cases::{IdentityCase, PoolingCase, SUBTRACTED, ScaledPoolingCase, subtracted};
use normed_pooling_case::NormedPoolingCase;
use oracle::{Classifier, Convolution, Linear, Mixer, Mlp};
use patch_embedding_case::{ConvolutionCase, PushedCase};
use proptest::prelude::*;
use support::*;
use tadpool_kernels::attention::{self, Attention};
use tadpool_kernels::channel_mlp::{self, ChannelMlp};
use tadpool_kernels::head::{self, Head};
use tadpool_kernels::identity::{self, Identity};
use tadpool_kernels::int16;
use tadpool_kernels::layout::{Dsp, DspPadded, Helium, HeliumPadded, Kernel, Layout, Rows};
use tadpool_kernels::linear::{NormedLinear, PlainLinear, ResidualLinear};
use tadpool_kernels::norm::{Norm, Stats};
use tadpool_kernels::normed::{NormScope, Normed};
use tadpool_kernels::normed_mlp::{self, NormedMlp};
use tadpool_kernels::patch_embedding::{self, PatchEmbedding};
use tadpool_kernels::pooling::{self, Pooling, Subtracted};
use tadpool_kernels::pushed_rows::{self, Pushed};
use tadpool_kernels::scaled_pooling::{self, ScaledPooling};
use tadpool_kernels::stream::{Int8, Int16, Stream};
use tadpool_kernels::weights::{Weights, unpacked_size};
use tadpool_kernels::wide_head;
use tadpool_kernels::{Buffer, Fault, TrainedHead};
use wide_pooling_case::WidePoolingCase;

/// One step with all its data, made from a small description.
trait Case: Debug + Clone {
    /// The map that the kernel writes, after a check of the sums that it returned.
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault>;
    /// Whether the step's matrices fit a layout; without any, only the first
    /// layout is asked.
    fn fits(&self, layout: Layout) -> bool {
        layout == Layout::Rows
    }
    /// The oracle's result.
    fn naive(&self) -> Vec<u8>;
    /// Shapes that every run covers.
    fn edges() -> Vec<Self>;
    /// Random shapes.
    fn any() -> BoxedStrategy<Self>;
}

fn check<C: Case>(case: &C) {
    let naive = case.naive();
    check_layout::<C, Rows>(case, &naive);
    check_layout::<C, Dsp>(case, &naive);
    check_layout::<C, Helium>(case, &naive);
    check_layout::<C, DspPadded>(case, &naive);
    check_layout::<C, HeliumPadded>(case, &naive);
}

fn check_layout<C: Case, K: Kernel>(case: &C, naive: &[u8]) {
    if case.fits(K::LAYOUT) {
        let written = case.kernel::<K>();
        assert_eq!(written.as_deref(), Ok(naive), "{:?} {case:?}", K::LAYOUT);
    }
}

macro_rules! against_the_oracle {
    ($($name:ident: $case:ty),* $(,)?) => {$(
        mod $name {
            use super::*;

            #[test]
            fn edges() {
                for case in <$case>::edges() {
                    check(&case);
                }
            }

            proptest! {
                #[test]
                fn random(case in <$case>::any()) {
                    check(&case);
                }
            }
        }
    )*};
}

against_the_oracle! {
    attention_step: AttentionCase,
    channel_mlp_step: MlpCase,
    patch_embedding_step: ConvolutionCase,
    pushed_rows_step: PushedCase,
    pooling_step: PoolingCase,
    scaled_pooling_step: ScaledPoolingCase,
    normed_pooling_step: NormedPoolingCase,
    identity_step: IdentityCase,
    random_mixing_step: RandomMixingCase,
    sep_conv_step: SepConvCase,
    depthwise_mixer_step: DepthwiseMixerCase,
    depthwise_embedding_step: DepthwiseEmbeddingCase,
    activation_step: ActivationCase,
    position_embedding_step: PositionCase,
    wide_pooling_step: WidePoolingCase,
    head_step: HeadCase,
}
