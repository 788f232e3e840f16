#![doc = include_str!("../README.md")]

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
