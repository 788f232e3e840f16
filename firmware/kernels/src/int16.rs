//! Steps on a residual stream of 16-bit values.
//!
//! A value is `256 * q`, where `q` is what an 8-bit stream would hold, so the
//! constants of a step are those of its 8-bit sibling. What a step adds to the
//! stream is rounded once, to a 256th of the 8-bit step. Matrix products read an
//! 8-bit rounding of the stream,
//!
//! ```text
//! x = saturate((value + 2^(shift - 1)) / 2^shift)
//! ```
//!
//! which is made tile by tile, so their kernels are the same as ever. A channel
//! with a small range has a small `shift` and so a fine rounding; the host
//! multiplies its weights with `2^(shift - 8)`.
//!
//! Steps that are generic over [`Stream`](crate::stream::Stream) take
//! [`Int16`](crate::stream::Int16); those below have functions of their own.

pub use crate::arithmetic::int16::sums_size;
pub use crate::steps::channel_mlp::int16 as channel_mlp;
pub use crate::steps::pooling::int16 as pooling;

/// The head; see [`crate::head`].
pub mod head {
    pub use crate::steps::head::run_int16 as run;
}
