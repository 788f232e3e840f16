//! Integer kernels for MetaFormer networks.
//!
//! One copy of the arithmetic serves the host's simulator and every
//! microcontroller: same input, same bytes, on all of them. No floating point,
//! no heap, no dependency and no panic path.
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
//!   Those of a matrix may be multiples of 16, which take four bits in flash
//!   ([`weights::Weights::Int4`]).
//! * **Requantization** is [`fixed::requantize`]: one multiplication by a Q32
//!   fraction, rounded to nearest with ties towards plus infinity.
//! * **Norms** of the whole map (GroupNorm with one group) are folded where what
//!   follows allows it. Each step returns the exact sum and sum of squares of what
//!   it wrote ([`norm::Stats`]); the next one turns them into a mean and a
//!   reciprocal standard deviation ([`norm::NormScale`]) that it folds into its
//!   own requantization.
//! * **Norms that are written out** ([`normed`]): where each token has a norm of its
//!   own, or what follows cannot take the norm in, a step writes the norm of a few
//!   tokens or channels at a time into its scratch, never that of a whole map.
//! * **Softmax** is `2^-d` of the distance to the largest score, in steps of one
//!   32512th, and divides by the sum of these weights at the end ([`softmax`]).
//!
//! # Shape of a kernel
//!
//! A module a step: a struct of constants that the host's code generator
//! writes, and `run(&step, ..., arena)`. Buffers are named by their place in
//! the one arena, since most steps work in place. Wrong geometry is a
//! [`Fault`], never a panic.
//!
//! The source has three rooms: `steps` with a file a step, `arithmetic` with what
//! steps compute with, and `arch` with a folder a core, the only one with unsafe code
//! and assembly.
//!
//! # Input and outputs
//!
//! An image lies in the arena as a whole, or is pushed row by row through the first
//! patch embedding, so that only the rows of its window are held ([`pushed_rows`]).
//! Beside the logits, maps that the application asks for stay in the arena until the
//! next inference ([`output::Output`]).

#![no_std]
#![deny(missing_docs)]
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[cfg(test)]
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
