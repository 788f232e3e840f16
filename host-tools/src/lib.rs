//! The host-side compiler of tadpool: from a trained ONNX file to a `no_std`
//! crate with static buffers.
//!
//! One module a stage, in the order of the data flow.

pub mod ir;
pub mod quant_model;
pub mod quantize;
pub mod ranges;
