//! A generated network as an application sees it.
//!
//! ```text
//! image ──► Arena ──► infer ──► Prediction
//!             └─────► begin ──► Inference ──► a piece at a time ──► Prediction
//! ```
//!
//! Generated crates have all of this under their own names; [`Network`] is for code that
//! takes any of them.

mod arena;
mod inference;
mod logit;
mod prediction;
mod received;
mod trained_head;

pub use arena::{Arena, Memory};
pub use inference::{Inference, Status};
pub use logit::{Logit, Probability};
pub use prediction::{Class, Golden, Prediction};
pub use received::{Received, Whole};
pub use trained_head::TrainedHead;

use crate::arena::{Buffer, Fault};
use crate::arithmetic::norm::Stats;
use crate::output::Output;
use crate::steps::progress::Progress;
use crate::steps::pushed_rows::Pushed;

/// A generated network.
///
/// Only generated code implements this.
///
/// ```
/// use tadpool_kernels::{Arena, Fault, Network};
///
/// /// The label of an image, by whatever network.
/// fn label<N: Network>(arena: &mut Arena<N>, pixels: &[u8]) -> Result<&'static str, Fault> {
///     arena.put_pixels(0, pixels)?;
///     Ok(arena.infer()?.label().unwrap_or("no classes"))
/// }
/// ```
pub trait Network: Sized + 'static {
    /// Its name.
    const NAME: &'static str;
    /// Rows of the image.
    const INPUT_HEIGHT: usize;
    /// Columns of the image.
    const INPUT_WIDTH: usize;
    /// Bytes of a pixel.
    const INPUT_CHANNELS: usize;
    /// Bytes of the image.
    const INPUT_BYTES: usize = Self::INPUT_HEIGHT * Self::INPUT_WIDTH * Self::INPUT_CHANNELS;
    /// The class of each logit.
    const LABELS: &'static [&'static str];
    /// RAM of one inference but the stack, image and logits included.
    const ARENA_BYTES: usize;
    /// Place of each step in the network.
    const STEP_NAMES: &'static [&'static str];
    /// Maps that an inference leaves in the arena.
    const OUTPUTS: &'static [Output];
    /// Tells networks apart.
    const MODEL_HASH: u32;

    /// Hash of the network whose weights are in use: [`Self::MODEL_HASH`], unless those lie in
    /// [`slots`](crate::slots) of their own.
    #[doc(hidden)]
    fn model_hash() -> u32 {
        Self::MODEL_HASH
    }

    /// The bytes of the arena.
    #[doc(hidden)]
    type Bytes: arena::Bytes;
    /// The state of the image that comes.
    #[doc(hidden)]
    type Received: Received;
    /// An arena of zeros.
    #[doc(hidden)]
    const ZEROS: Self::Bytes;
    /// The logits, if there are any.
    #[doc(hidden)]
    const LOGITS: Option<Buffer>;

    /// Takes pixels, `start` bytes from the image's first.
    #[doc(hidden)]
    fn put(
        bytes: &mut [u8],
        received: &mut Self::Received,
        start: usize,
        pixels: &[u8],
    ) -> Result<(), Fault>;

    /// Takes the image: the sums that its first step has written as rows came, if it did.
    #[doc(hidden)]
    fn take(received: &mut Self::Received) -> Result<Stats, Fault>;

    /// Runs all steps.
    #[doc(hidden)]
    fn run(bytes: &mut [u8], stats: &Stats) -> Result<(), Fault>;

    /// Runs all steps, and shows `observer` what each writes.
    #[doc(hidden)]
    fn run_observed<O: crate::Observer>(
        bytes: &mut [u8],
        stats: &Stats,
        observer: &mut O,
    ) -> Result<(), Fault>;

    /// Runs a piece of step number `step`, and tells whether the step is complete.
    #[doc(hidden)]
    fn piece(
        step: usize,
        stats: &Stats,
        progress: &mut Progress,
        bytes: &mut [u8],
    ) -> Result<bool, Fault>;

    /// The map that step number `step` writes.
    #[doc(hidden)]
    fn written(step: usize) -> Buffer;

    /// The linear layer at its end, from which a new one can be learned; none of a network
    /// without classes.
    fn trained_head() -> Option<TrainedHead<'static>>;
}

/// A network whose image lies in the arena as a whole.
///
/// Only generated code implements this.
pub trait WholeImage: Network<Received = Whole> {
    /// The bytes of the image: rows of pixels, channels fastest.
    type Image;

    /// The image in the arena.
    #[doc(hidden)]
    fn image(bytes: &mut Self::Bytes) -> &mut Self::Image;
}

/// A network whose image is computed on row by row as it comes.
///
/// Only generated code implements this.
pub trait RowByRow: Network<Received = Pushed> {
    /// Takes the next pixels.
    #[doc(hidden)]
    fn push(bytes: &mut [u8], received: &mut Pushed, pixels: &[u8]) -> Result<(), Fault>;
}
