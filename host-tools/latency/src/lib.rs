#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod architecture;
pub mod bound;
pub mod cost;
pub mod execute;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod plugin;
pub mod predict;
pub mod program;
pub mod steps;
pub mod twin;

mod refusal;
