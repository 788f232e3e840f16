#![doc = include_str!("../README.md")]

pub mod doors;

pub mod mutate;

pub use doors::{Door, doors};
