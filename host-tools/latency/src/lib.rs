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

/// Milliseconds of so many cycles of a core with a clock of `core_hz`.
pub fn ms(cycles: f64, core_hz: u32) -> f64 {
    1e3 * cycles / f64::from(core_hz)
}
