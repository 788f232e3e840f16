//! The only unsafe code and assembly: views of arena bytes as wider or signed
//! integers, and the inner loops of the layouts that one family of cores reads.
//!
//! The one place that asks what is being built for. On the host a model in
//! plain Rust stands in for the assembly, reads the same packed weights and
//! writes the same tiles.

pub(crate) mod cast;

#[cfg(all(feature = "dsp", target_arch = "arm"))]
mod dsp;
#[cfg(all(feature = "helium", target_arch = "arm"))]
mod helium;
#[cfg(not(target_arch = "arm"))]
mod model;
