//! The compiler of tadpool: from a trained ONNX file to a `no_std` crate with static
//! buffers.
//!
//! One module a stage, in the order of the data flow. Each stage is a function from one
//! plain type to the next; none of them prints, and only [`mod@compile`] puts them
//! together.

// From files to the float network.
pub mod given;

pub mod import;

pub mod network;

pub mod layers;

// From the float network to integers.
pub mod calibrate;

pub mod quantize;

// Steps, buffers and their places.
pub mod place;

pub mod generate;

// The whole way, and what becomes of it.
pub mod compile;

pub mod budget;

pub mod check;

pub mod evaluate;

pub mod build_script;

// Shared by the stages.
pub mod output;

pub mod progress;

pub use tadpool_boards::KernelVariant;
