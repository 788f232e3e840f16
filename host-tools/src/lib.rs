//! The host-side compiler of tadpool: from a trained ONNX file to a `no_std`
//! crate with static buffers.
//!
//! One module a stage, in the order of the data flow.

// The float network.
pub mod ir;

// The integer network.
pub mod quantize;
pub mod ranges;

pub mod quant_model;

// Steps, buffers and their places.
pub mod schedule;

pub mod memory;

pub mod program;

// What becomes of it.
pub mod codegen;
pub mod evaluate;

// Shared by the stages.
pub mod output;
pub mod progress;
