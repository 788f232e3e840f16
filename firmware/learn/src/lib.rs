#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

mod error;
mod head;
mod learner;
mod random;
mod replay;
mod storage;

pub use error::{LearnError, LoadError, SaveError, SetupError, SlotsError};
pub use learner::{ClassState, Learner, Memory, Options};
pub use replay::entry_bytes;
pub use storage::{Slots, saved_bytes};
