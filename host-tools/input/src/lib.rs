#![doc = include_str!("../README.md")]

mod file;

pub mod text;

pub use file::{InputError, Kind, RegularFile, open, read, read_text};
