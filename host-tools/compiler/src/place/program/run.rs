//! Running a step with the kernels of the host.

use tadpool_kernels::Fault;
use tadpool_kernels::layout::Rows;
use tadpool_kernels::norm::Stats;
use tadpool_kernels::patch_embedding::{self, PatchEmbedding};
use tadpool_kernels::stream::{Int8, Int16};
use tadpool_kernels::visit::Values;

use super::ProgramStep;
use crate::quantize::quant_model::Stream;

impl From<Stream> for Values {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Int8 => Self::Int8,
            Stream::Int16 => Self::Int16,
        }
    }
}

impl ProgramStep<'_> {
    /// Runs the step on `arena`; the sums of the map go in and come out.
    ///
    /// # Errors
    /// A [`Fault`] if buffers and dimensions do not match.
    pub fn run(&self, stats: &Stats, arena: &mut [u8]) -> Result<Stats, Fault> {
        self.kernel
            .run(self.input.into(), self.output.into(), stats, arena)
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
