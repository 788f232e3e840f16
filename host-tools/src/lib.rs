//! The host-side compiler of tadpool: from a trained ONNX file to a `no_std`
//! crate with static buffers.
//!
//! One module a stage, in the order of the data flow.

pub mod graph;

pub mod onnx;

pub mod fold;

pub mod recognise;

pub mod import;

pub mod ir;

pub mod float;

pub mod reference;

pub mod model_toml;

pub mod images;
