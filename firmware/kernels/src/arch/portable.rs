//! Portable Rust, for cores without loops of their own and for the host.

#[cfg(not(tadpool_core = "helium"))]
pub(crate) mod branch;
pub(crate) mod depthwise;
#[cfg(any(tadpool_core = "portable", tadpool_core = "host"))]
pub(crate) mod dots;
#[cfg(not(tadpool_core = "helium"))]
pub(crate) mod identity;
#[cfg(tadpool_core = "host")]
mod packed;
pub(crate) mod pooling;
#[cfg(not(tadpool_x86))]
pub(crate) mod products;
pub(crate) mod rows;
