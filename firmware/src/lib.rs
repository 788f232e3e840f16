//! Boots a board, runs the model on the images that a host sends, and measures
//! what it costs.
//!
//! [`run`] is the request loop. It knows the board through traits only, so that
//! it can be tested on the host: [`embedded_io`] for the link,
//! [`embedded_hal`] for the pin, [`measure::Clock`] and [`run::StackGauge`].
//! The other modules are the board's side of these traits.
#![cfg_attr(target_os = "none", no_std)]

pub mod mlperf;

pub use tadpool_link::{measure, run};

#[cfg(test)]
mod run_tests;

#[cfg(target_os = "none")]
pub mod boards;
#[cfg(target_os = "none")]
mod crc;
#[cfg(target_os = "none")]
mod fault;
#[cfg(target_os = "none")]
mod last_fault;
#[cfg(target_os = "none")]
use tadpool_link::rtt as link;
#[cfg(target_os = "none")]
mod log;
#[cfg(target_os = "none")]
mod mmio;
#[cfg(target_os = "none")]
mod model_hash;
#[cfg(all(
    target_os = "none",
    any(
        feature = "qemu-mps2",
        feature = "qemu-systick",
        feature = "rpi-pico",
        feature = "rpi-pico2"
    )
))]
mod pins;
#[cfg(target_os = "none")]
mod rings;
#[cfg(all(target_os = "none", feature = "self-test"))]
mod self_test;
#[cfg(target_os = "none")]
mod stack;
#[cfg(target_os = "none")]
mod timers;
#[cfg(all(
    target_os = "none",
    feature = "mlperf-uart",
    any(feature = "qemu-mps2", feature = "qemu-systick")
))]
mod uart;
#[cfg(all(target_os = "none", feature = "watchdog"))]
mod watchdog;
#[cfg(target_os = "none")]
mod weights;
