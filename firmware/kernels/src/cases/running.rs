//! Running a case.

use super::ready::{Ready, Step};
use crate::arch::cast;
use crate::arena::{self, Fault};
use crate::arithmetic::fixed::{requantize, saturate_i8};
use crate::arithmetic::layout::{Kernel, Rows};
use crate::arithmetic::norm::Stats;
use crate::arithmetic::stream::{Int8, Int16};
use crate::arithmetic::weights::Weights;
use crate::checksum::fnv1a;
use crate::steps;
use crate::steps::activation;
use crate::steps::attention;
use crate::steps::channel_mlp;
use crate::steps::depthwise_embedding;
use crate::steps::depthwise_mixer;
use crate::steps::head;
use crate::steps::identity;
use crate::steps::normed_mlp;
use crate::steps::patch_embedding;
use crate::steps::pointwise::{self, Pointwise};
use crate::steps::pooling;
use crate::steps::position_embedding;
use crate::steps::progress::Progress;
use crate::steps::random_mixing;
use crate::steps::scaled_pooling;
use crate::steps::sep_conv;
use crate::steps::wide_head;
use crate::steps::wide_pooling;

impl Ready<'_> {
    /// Runs the step.
    ///
    /// # Errors
    /// The step's own [`Fault`].
    pub fn run<K: Kernel>(&mut self) -> Result<Stats, Fault> {
        let Self {
            step,
            wide,
            stats,
            arena,
            ..
        } = self;
        match step {
            Step::Pointwise(step) => pointwise::run::<K>(step, arena).map(|()| Stats::default()),
            Step::ChannelMlp(step) => match step.fc1.weights {
                Weights::Int8(_) => channel_mlp::run::<K>(step, stats, arena),
                Weights::Int4(_) => channel_mlp::run_int4::<K>(step, stats, arena),
            },
            Step::NormedMlp(step) => normed_mlp::run::<K, Int8>(step, stats, arena),
            Step::PatchEmbedding(step) => patch_embedding::run::<K>(step, arena),
            Step::DepthwiseEmbedding(step) if *wide => {
                depthwise_embedding::run::<Int16, Int16>(step, arena)
            }
            Step::DepthwiseEmbedding(step) => depthwise_embedding::run::<Int8, Int8>(step, arena),
            Step::Activation(step) if *wide => activation::run::<Int16>(step, arena),
            Step::Activation(step) => activation::run::<Int8>(step, arena),
            Step::PositionEmbedding(step) if *wide => position_embedding::run::<Int16>(step, arena),
            Step::PositionEmbedding(step) => position_embedding::run::<Int8>(step, arena),
            Step::WidePooling(step) if *wide => wide_pooling::run::<Int16>(step, stats, arena),
            Step::WidePooling(step) => wide_pooling::run::<Int8>(step, stats, arena),
            Step::Pooling(step) if K::LAYOUT.pools(step.shape[2]) => {
                pooling::run::<K>(step, stats, arena)
            }
            Step::Pooling(step) => pooling::run::<Rows>(step, stats, arena),
            Step::ScaledPooling(step) => scaled_pooling::run::<Int8>(step, stats, arena),
            Step::Identity(step) => identity::run::<Int8>(step, stats, arena),
            Step::RandomMixing(step) if *wide => random_mixing::run::<K, Int16>(step, stats, arena),
            Step::RandomMixing(step) => random_mixing::run::<K, Int8>(step, stats, arena),
            Step::SepConv(step) if *wide => sep_conv::run::<K, Int16>(step, stats, arena),
            Step::SepConv(step) => sep_conv::run::<K, Int8>(step, stats, arena),
            Step::DepthwiseMixer(step) if *wide => {
                depthwise_mixer::run::<Int16>(step, stats, arena)
            }
            Step::DepthwiseMixer(step) => depthwise_mixer::run::<Int8>(step, stats, arena),
            Step::Attention(step) => attention::run::<K, Int8>(step, stats, arena),
            Step::Head(step) => head::run(step, stats, arena).map(|()| Stats::default()),
            Step::WideHead(step) => {
                wide_head::run::<Int8>(step, stats, arena).map(|()| Stats::default())
            }
        }
    }

    /// Whether the step's parts fit one another, by its own check.
    ///
    /// # Errors
    /// The step's own [`Fault`].
    pub fn check<K: Kernel>(&self) -> Result<(), Fault> {
        fn check<K: Kernel>(step: &impl steps::Step, wide: bool) -> Result<(), Fault> {
            if wide {
                step.check::<K, Int16, Int16>()
            } else {
                step.check::<K, Int8, Int8>()
            }
        }
        match &self.step {
            // Not a step of a network.
            Step::Pointwise(_) => Ok(()),
            Step::ChannelMlp(step) => check::<K>(step, self.wide),
            Step::NormedMlp(step) => check::<K>(step, self.wide),
            Step::PatchEmbedding(step) => check::<K>(step, self.wide),
            Step::DepthwiseEmbedding(step) => check::<K>(step, self.wide),
            Step::Activation(step) => check::<K>(step, self.wide),
            Step::PositionEmbedding(step) => check::<K>(step, self.wide),
            Step::WidePooling(step) => check::<K>(step, self.wide),
            Step::Pooling(step) => check::<K>(step, self.wide),
            Step::ScaledPooling(step) => check::<K>(step, self.wide),
            Step::Identity(step) => check::<K>(step, self.wide),
            Step::RandomMixing(step) => check::<K>(step, self.wide),
            Step::SepConv(step) => check::<K>(step, self.wide),
            Step::DepthwiseMixer(step) => check::<K>(step, self.wide),
            Step::Attention(step) => check::<K>(step, self.wide),
            Step::Head(step) => check::<K>(step, self.wide),
            Step::WideHead(step) => check::<K>(step, self.wide),
        }
    }

    /// The same in pieces of `most` tokens or rows, if the step can be divided.
    ///
    /// # Errors
    /// The step's own [`Fault`].
    pub fn run_in_pieces<K: Kernel>(&mut self, most: usize) -> Result<Stats, Fault> {
        fn run<K: Kernel>(
            step: &impl steps::Step,
            wide: bool,
            stats: &Stats,
            most: usize,
            arena: &mut [u8],
        ) -> Result<Stats, Fault> {
            let mut progress = Progress::new();
            loop {
                let complete = if wide {
                    step.advance::<K, Int16, Int16>(stats, &mut progress, most, arena)
                } else {
                    step.advance::<K, Int8, Int8>(stats, &mut progress, most, arena)
                };
                if complete? {
                    return Ok(*progress.written());
                }
            }
        }
        let (wide, stats, arena) = (self.wide, &self.stats, &mut *self.arena);
        match &self.step {
            // Neither is divided, nor writes a map whose sums count.
            Step::Pointwise(_) | Step::Head(_) | Step::WideHead(_) => self.run::<K>(),
            Step::ChannelMlp(step) => run::<K>(step, wide, stats, most, arena),
            Step::NormedMlp(step) => run::<K>(step, wide, stats, most, arena),
            Step::PatchEmbedding(step) => run::<K>(step, wide, stats, most, arena),
            Step::DepthwiseEmbedding(step) => run::<K>(step, wide, stats, most, arena),
            Step::Activation(step) => run::<K>(step, wide, stats, most, arena),
            Step::PositionEmbedding(step) => run::<K>(step, wide, stats, most, arena),
            Step::WidePooling(step) => run::<K>(step, wide, stats, most, arena),
            Step::Pooling(step) if K::LAYOUT.pools(step.shape[2]) => {
                run::<K>(step, wide, stats, most, arena)
            }
            Step::Pooling(step) => run::<Rows>(step, wide, stats, most, arena),
            Step::ScaledPooling(step) => run::<K>(step, wide, stats, most, arena),
            Step::Identity(step) => run::<K>(step, wide, stats, most, arena),
            Step::RandomMixing(step) => run::<K>(step, wide, stats, most, arena),
            Step::SepConv(step) => run::<K>(step, wide, stats, most, arena),
            Step::DepthwiseMixer(step) => run::<K>(step, wide, stats, most, arena),
            Step::Attention(step) => run::<K>(step, wide, stats, most, arena),
        }
    }

    /// Runs a matrix product in rows by the loop that one writes first, to have
    /// something to compare with; nothing for other cases.
    pub fn run_plain(&mut self) -> Option<Stats> {
        match &self.step {
            Step::Pointwise(step) => plain_product(step, self.arena).map(|()| Stats::default()),
            _ => None,
        }
    }

    /// A checksum of what was written and of the sums that were returned.
    pub fn checksum(&self, written: &Stats) -> u32 {
        let output = self.output.of(self.arena).unwrap_or(&[]);
        fnv1a(output)
            .wrapping_mul(31)
            .wrapping_add(written.sum as u32)
            .wrapping_mul(31)
            .wrapping_add(written.sum_of_squares as u32)
    }
}

/// One output after the other, one product after the other.
#[inline(never)]
fn plain_product(step: &Pointwise<'_>, arena: &mut [u8]) -> Option<()> {
    let (input, output) = arena::disjoint(arena, step.input, step.output).ok()?;
    let weights = cast::i8s(step.weights);
    let tokens = cast::i8s(input).chunks_exact(step.inputs.max(1));
    let results = cast::i8s_mut(output).chunks_exact_mut(step.outputs.max(1));
    for (token, results) in tokens.zip(results) {
        let constants = step.bias.iter().zip(step.multiplier);
        let rows = weights.chunks_exact(step.inputs.max(1)).zip(constants);
        for (q, (row, (&bias, &multiplier))) in results.iter_mut().zip(rows) {
            let mut acc = bias;
            for (&weight, &value) in row.iter().zip(token) {
                acc = acc.wrapping_add(i32::from(weight) * i32::from(value));
            }
            *q = saturate_i8(requantize(acc, multiplier).saturating_add(step.zero_point));
        }
    }
    Some(())
}
