//! Running a step with the kernels of the host.

use tadpool_kernels::Fault;
use tadpool_kernels::attention;
use tadpool_kernels::channel_mlp;
use tadpool_kernels::head;
use tadpool_kernels::identity;
use tadpool_kernels::int16;
use tadpool_kernels::layout::Rows;
use tadpool_kernels::norm::Stats;
use tadpool_kernels::normed_mlp;
use tadpool_kernels::normed_pooling;
use tadpool_kernels::patch_embedding::{self, PatchEmbedding};
use tadpool_kernels::pooling;
use tadpool_kernels::random_mixing;
use tadpool_kernels::scaled_pooling;
use tadpool_kernels::sep_conv;
use tadpool_kernels::stream::{Int8, Int16};
use tadpool_kernels::wide_head;

use super::{Kernel, ProgramStep};
use crate::quantize::quant_model::Stream;

impl ProgramStep<'_> {
    /// Runs the step on `arena`; the sums of the map go in and come out.
    ///
    /// # Errors
    /// A [`Fault`] if buffers and dimensions do not match.
    pub fn run(&self, stats: &Stats, arena: &mut [u8]) -> Result<Stats, Fault> {
        match (&self.kernel, self.input) {
            (Kernel::PatchEmbedding(step), input) => {
                let run = embed(input, self.output);
                run(step, arena)
            }
            (Kernel::Pooling(step), Stream::Int8) => pooling::run::<Rows>(step, stats, arena),
            (Kernel::Pooling(step), Stream::Int16) => int16::pooling::run(step, stats, arena),
            (Kernel::ScaledPooling(step), Stream::Int8) => {
                scaled_pooling::run::<Int8>(step, stats, arena)
            }
            (Kernel::ScaledPooling(step), Stream::Int16) => {
                scaled_pooling::run::<Int16>(step, stats, arena)
            }
            (Kernel::NormedPooling(step), Stream::Int8) => {
                normed_pooling::run::<Int8>(step, stats, arena)
            }
            (Kernel::NormedPooling(step), Stream::Int16) => {
                normed_pooling::run::<Int16>(step, stats, arena)
            }
            (Kernel::Identity(step), Stream::Int8) => identity::run::<Int8>(step, stats, arena),
            (Kernel::Identity(step), Stream::Int16) => identity::run::<Int16>(step, stats, arena),
            (Kernel::RandomMixing(step), Stream::Int8) => {
                random_mixing::run::<Rows, Int8>(step, stats, arena)
            }
            (Kernel::RandomMixing(step), Stream::Int16) => {
                random_mixing::run::<Rows, Int16>(step, stats, arena)
            }
            (Kernel::SepConv(step), Stream::Int8) => {
                sep_conv::run::<Rows, Int8>(step, stats, arena)
            }
            (Kernel::SepConv(step), Stream::Int16) => {
                sep_conv::run::<Rows, Int16>(step, stats, arena)
            }
            (Kernel::Attention(step), Stream::Int8) => {
                attention::run::<Rows, Int8>(step, stats, arena)
            }
            (Kernel::Attention(step), Stream::Int16) => {
                attention::run::<Rows, Int16>(step, stats, arena)
            }
            (Kernel::ChannelMlp(step), Stream::Int8) => {
                channel_mlp::run::<Rows>(step, stats, arena)
            }
            (Kernel::ChannelMlp(step), Stream::Int16) => {
                int16::channel_mlp::run::<Rows>(step, stats, arena)
            }
            (Kernel::NormedMlp(step), Stream::Int8) => {
                normed_mlp::run::<Rows, Int8>(step, stats, arena)
            }
            (Kernel::NormedMlp(step), Stream::Int16) => {
                normed_mlp::run::<Rows, Int16>(step, stats, arena)
            }
            (Kernel::Head(step), Stream::Int8) => head::run(step, stats, arena).map(|()| *stats),
            (Kernel::Head(step), Stream::Int16) => {
                int16::head::run(step, stats, arena).map(|()| *stats)
            }
            (Kernel::WideHead(step), Stream::Int8) => {
                wide_head::run::<Int8>(step, stats, arena).map(|()| *stats)
            }
            (Kernel::WideHead(step), Stream::Int16) => {
                wide_head::run::<Int16>(step, stats, arena).map(|()| *stats)
            }
        }
    }
}

/// The kernel of a patch embedding.
pub(super) fn embed(
    input: Stream,
    output: Stream,
) -> fn(&PatchEmbedding<'_>, &mut [u8]) -> Result<Stats, Fault> {
    match (input, output) {
        (Stream::Int8, Stream::Int8) => patch_embedding::run::<Rows>,
        (Stream::Int8, Stream::Int16) => patch_embedding::run_mixed::<Rows, Int8, Int16>,
        (Stream::Int16, Stream::Int8) => patch_embedding::run_mixed::<Rows, Int16, Int8>,
        (Stream::Int16, Stream::Int16) => patch_embedding::run_mixed::<Rows, Int16, Int16>,
    }
}
