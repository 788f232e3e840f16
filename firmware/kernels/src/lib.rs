//! Runtime of the networks that tadpool generates: their API, and the integer kernels
//! behind it.
//!
//! A generated crate is constants and weights; everything that an application calls is
//! here, and re-exported there: the [`Arena`] that holds the image and all maps, the
//! [`Prediction`] that an inference returns, the [`Inference`] that runs a piece at a time,
//! an [`Observer`] of its steps, and [`Network`] for code that takes any network.
//!
//! One copy of the arithmetic serves the host's simulator and every microcontroller: same
//! input, same bytes, on all of them. No floating point, no heap, no dependency and no
//! panic path.
//!
//! # Stability
//!
//! Documented items follow semantic versioning. The steps and what they
//! compute with are for generated code, hidden here and not stable; a generated crate names
//! the version of that interface ([`interface!`]), and another one does not compile and
//! says why.
//!
//! # Features
//!
//! * `dsp`, `dsp-m7`, `helium`: kernels in the assembly of one family of cores. A generated
//!   crate turns on those that its weights are packed for. On the host they change nothing.
//! * `defmt`: everything public can be logged by `defmt`.
//! * `visit`, `cases`: for tadpool's own tools.
//!
//! # Steps
//!
//! A **step** is one kernel call: a struct of constants, and `run(&step, ..., arena)`.
//! Its buffers are places in one **arena**, a block of bytes, since most steps work in
//! place. A step that does not fit its buffers is a [`Fault`], never a panic. All steps
//! implement [`Step`].
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

use core::ops::ControlFlow;

// First, since its macros are for those that follow.
#[macro_use]
mod fields;

mod arch;
#[doc(hidden)]
pub mod arena;
mod arithmetic;
#[cfg(feature = "cases")]
pub mod cases;
pub mod checksum;
#[doc(hidden)]
pub mod int16;
pub mod network;
pub mod output;
mod present;
pub mod slots;
mod steps;
#[cfg(feature = "visit")]
pub mod visit;

pub use arena::{Buffer, Fault};
pub use network::{
    Arena, Class, Golden, Inference, Logit, Memory, Network, Prediction, Probability, RowByRow,
    Status, TrainedHead, WholeImage,
};

#[doc(hidden)]
pub use arithmetic::{depthwise, fixed, layout, linear, norm, normed, softmax, stream, weights};
#[doc(hidden)]
pub use steps::{
    Step, activation, attention, channel_mlp, depthwise_embedding, depthwise_mixer, head, identity,
    normed_mlp, normed_pooling, patch_embedding, pointwise, pooling, position_embedding, progress,
    pushed_rows, random_mixing, scaled_pooling, sep_conv, wide_head, wide_pooling,
};

/// Sees every step's output while a network runs, and may end it.
pub trait Observer {
    /// Called after step number `step` with the bytes that it wrote.
    fn step(&mut self, step: usize, output: &[u8]);

    /// Asked before step number `step`, or before each piece of it: `Break` ends the
    /// inference with [`Fault::Stopped`]. Goes on unless an observer says otherwise.
    fn goes_on(&mut self, step: usize) -> ControlFlow<()> {
        let _ = step;
        ControlFlow::Continue(())
    }
}

/// Observes nothing.
impl Observer for () {
    fn step(&mut self, _step: usize, _output: &[u8]) {}
}

/// The larger of two sizes, for a [`Memory`] that networks take turns with.
pub const fn larger(first: usize, second: usize) -> usize {
    if first > second { first } else { second }
}

/// Says which version of the hidden interface a generated crate was written for; the
/// compiler says what to do if it is another one than this crate's.
///
/// ```
/// tadpool_kernels::interface!(3);
/// ```
///
/// ```compile_fail
/// tadpool_kernels::interface!(0);
/// ```
#[macro_export]
macro_rules! interface {
    (3) => {};
    ($other:tt) => {
        compile_error!(concat!(
            "this model was generated for version ",
            stringify!($other),
            " of the interface to `tadpool-kernels`, and this `tadpool-kernels` has version 3: ",
            "generate the model again with the `tadpool` of this version, or depend on the ",
            "version of `tadpool-kernels` that the model's Cargo.toml names"
        ));
    };
}
