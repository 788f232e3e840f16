//! Integer kernels for MetaFormer networks.
//!
//! One copy of the arithmetic serves the host's simulator and every
//! microcontroller: same input, same bytes, on all of them. No floating point,
//! no heap, no dependency and no panic path.
//!
//! A **step** is one kernel call: a struct of constants, and `run(&step, ..., arena)`.
//! Its buffers are places in one **arena**, a block of bytes, since most steps work in
//! place. A step that does not fit its buffers is a [`Fault`], never a panic. All steps
//! implement [`Step`].
//!
//! ```
//! use tadpool_kernels::Buffer;
//! use tadpool_kernels::layout::Rows;
//! use tadpool_kernels::pointwise::{self, Pointwise};
//!
//! /// Kernels want wider integers on their boundaries.
//! #[repr(align(8))]
//! struct Arena([u8; 512]);
//!
//! // A linear layer from two channels to one, on two tokens.
//! let layer = Pointwise {
//!     input: Buffer { offset: 0, size: 4 },
//!     output: Buffer { offset: 4, size: 2 },
//!     scratch: Buffer { offset: 8, size: Pointwise::scratch_size(2, 1) },
//!     inputs: 2,
//!     outputs: 1,
//!     weights: &[1, 3],
//!     bias: &[0],
//!     // A quarter, Q32.
//!     multiplier: &[1 << 30],
//!     zero_point: 0,
//! };
//! let mut arena = Arena([0; 512]);
//! arena.0[..4].copy_from_slice(&[10, 20, 30, 40]);
//! pointwise::run::<Rows>(&layer, &mut arena.0)?;
//! // (10 + 3 * 20) / 4 is 17.5 and rounds up; (30 + 3 * 40) / 4 is 37.5.
//! assert_eq!(arena.0[4..6], [18, 38]);
//! # Ok::<(), tadpool_kernels::Fault>(())
//! ```
//!
//! # Numbers
//!
//! * A **feature map** holds `i8` values `q`, token after token, channels
//!   fastest; a real value is `scale * (q - zero_point)`, with one scale and
//!   one zero point for the whole map. Kernels never see scales: the host folds
//!   them into the integers of a step. Where eight bits are too few for a
//!   residual stream, it holds `i16` values `256 * q` ([`int16`]).
//! * **Weights** are `i8`, symmetric, one scale per output channel; an
//!   accumulator is `i32`, and the host has checked that it cannot overflow.
//!   The weights of a matrix may be multiples of 16, which take four bits in flash
//!   ([`weights::Weights::Int4`]).
//! * **Requantization** is [`fixed::requantize`]: one multiplication by a Q32
//!   fraction, rounded to nearest with ties towards plus infinity.
//! * **Norms of the whole map** (GroupNorm with one group) are folded into the step
//!   that follows. Each step returns the exact sum and sum of squares of what
//!   it wrote ([`norm::Stats`]); the next one turns them into a mean and a
//!   reciprocal standard deviation ([`norm::NormScale`]), which change its accumulator
//!   starts and multipliers.
//! * **Norms that cannot be folded** ([`normed`]), because each token has its own mean
//!   and deviation (LayerNorm) or because what follows is not linear, are computed for a
//!   few tokens or channels at a time in the scratch, never for a whole map.
//! * **Softmax** uses powers of two: the weight of a score is `2^-d` of its distance to
//!   the largest score, in steps of one 32512th, and the weighted sum is divided by the
//!   sum of the weights at the end ([`softmax`]).
//!
//! # Input and outputs
//!
//! An image lies in the arena as a whole, or is pushed row by row through the first
//! patch embedding, so that only the rows of its window are held ([`pushed_rows`]).
//! Beside the logits, maps that the application asks for stay in the arena until the
//! next inference ([`output::Output`]).
//!
//! # Source
//!
//! `steps` has a file a step, `arithmetic` what steps compute with, and `arch` a folder
//! a core; only `arch` has unsafe code and assembly.

#![no_std]
#![deny(missing_docs)]
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[cfg(any(test, feature = "std"))]
extern crate std;

// First, since its macros are for those that follow.
#[macro_use]
mod fields;

mod arch;
pub mod arena;
mod arithmetic;
#[cfg(feature = "cases")]
pub mod cases;
pub mod checksum;
pub mod int16;
pub mod output;
mod present;
mod steps;
#[cfg(feature = "visit")]
pub mod visit;

pub use arena::{Buffer, Fault};
pub use arithmetic::{depthwise, fixed, layout, linear, norm, normed, softmax, stream, weights};
pub use steps::{
    Step, attention, channel_mlp, depthwise_mixer, head, identity, normed_mlp, normed_pooling,
    patch_embedding, pointwise, pooling, pushed_rows, random_mixing, scaled_pooling, sep_conv,
    wide_head,
};

/// Sees every step's output while a network runs.
pub trait Observer {
    /// Called after step number `step` with the bytes that it wrote.
    fn step(&mut self, step: usize, output: &[u8]);
}

/// Observes nothing.
impl Observer for () {
    fn step(&mut self, _step: usize, _output: &[u8]) {}
}
