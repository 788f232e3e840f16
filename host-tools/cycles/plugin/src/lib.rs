#![doc = include_str!("../README.md")]
#![cfg(unix)]

mod arguments;
mod recorder;
mod window;

// The functions that it calls are QEMU's, which no test is linked with.
#[cfg(not(test))]
mod qemu;
