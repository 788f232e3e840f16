#![doc = include_str!("../README.md")]

// Operations, and what they report.
pub mod compile;

pub mod check;

pub mod run;

pub mod predict;

pub mod compare;

// What they share.
pub mod board_image;

pub mod estimate;

pub mod notes;

pub mod record;

pub mod table;

mod error;

pub use error::OperationError;
