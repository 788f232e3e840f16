//! The host-side compiler of tadpool: from a trained ONNX file to a `no_std`
//! crate with static buffers.
//!
//! One module a stage, in the order of the data flow.

// What the user gives.
pub mod images;
pub mod model_toml;

// From the ONNX file to the float network.
pub mod graph;

pub mod onnx;

pub mod fold;

pub mod recognise;

pub mod grids;

pub mod import;

pub mod ir;

pub mod float;

pub mod reference;

pub mod as_written;

// From the float network to integers.
pub mod calibrate;

pub mod ranges;

pub mod equalise;

pub mod precision;

pub mod quantize;

pub mod quant_model;

// Steps, buffers and their places.
pub mod schedule;

pub mod memory;

pub mod program;

// The whole way, and what becomes of it.
pub mod compile;

pub mod widen;

pub mod budget;

pub mod codegen;

pub mod build_script;

pub mod evaluate;

pub mod check;

// Boards, the images that are built for them, and what becomes of an image
// there.
pub mod boards;

pub mod firmware;
pub mod fit;

pub mod runner;

// Shared by the stages.
pub mod output;
pub mod progress;
