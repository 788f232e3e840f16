//! A file a step, with one skeleton: the struct of its constants, the scratch that it
//! needs, what it checks, `run` as a whole and `advance` in pieces ([`progress`]), and
//! private helpers.

pub mod activation;
pub mod attention;
pub mod channel_mlp;
pub mod depthwise_embedding;
pub mod depthwise_mixer;
pub mod head;
pub mod identity;
pub mod normed_mlp;
pub mod normed_pooling;
pub mod patch_embedding;
pub mod pointwise;
pub mod pooling;
pub mod position_embedding;
pub mod progress;
pub mod pushed_rows;
pub mod random_mixing;
mod row_mlp;
pub mod scaled_pooling;
pub mod sep_conv;
pub mod wide_head;
pub mod wide_pooling;

use crate::arena::{Buffer, Fault};
use crate::arithmetic::layout::Kernel;
use crate::arithmetic::norm::Stats;
use crate::arithmetic::stream::Stream;
use crate::steps::progress::Progress;

/// One kernel call: constants, and where in the arena it reads, computes and writes.
pub trait Step {
    /// The buffer that is read: raw pixels or a feature map.
    fn input(&self) -> Buffer;

    /// The buffer that is written; for a step in place, the same.
    fn output(&self) -> Buffer;

    /// Bytes of scratch that a run from a stream `I` to a stream `O` needs, in any
    /// layout.
    fn scratch_size<I: Stream, O: Stream>(&self) -> usize;

    /// Whether buffers, dimensions, constants and matrices fit one another.
    ///
    /// # Errors
    /// The [`Fault`] that a run would end with, if it does not depend on the values of
    /// matrices.
    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault>;

    /// Runs the step with weights of any number of bits; `stats` are those of the map as
    /// it is read. Returns the sums of what was written, or `stats` as they are if that
    /// is no map.
    ///
    /// # Errors
    /// A [`Fault`] if buffers and dimensions do not match.
    fn run<K: Kernel, I: Stream, O: Stream>(
        &self,
        stats: &Stats,
        arena: &mut [u8],
    ) -> Result<Stats, Fault> {
        Progress::whole(|progress, most| self.advance::<K, I, O>(stats, progress, most, arena))
    }

    /// Runs a piece of the step, of at most `most` of its tokens or rows if it can be
    /// divided; returns whether it is complete. The sums are those of `progress`.
    ///
    /// # Errors
    /// As [`Step::run`].
    fn advance<K: Kernel, I: Stream, O: Stream>(
        &self,
        stats: &Stats,
        progress: &mut Progress,
        most: usize,
        arena: &mut [u8],
    ) -> Result<bool, Fault>;
}
