#![doc = include_str!("../README.md")]
#![cfg_attr(target_os = "none", no_std)]

pub mod measure;
pub mod run;

#[cfg(any(feature = "rtt", test))]
pub mod rtt;

pub use tadpool_protocol::Setup;
