//! Portable Rust, for cores without loops of their own and for the host.

pub(crate) mod depthwise;
#[cfg(not(tadpool_core = "armv6m"))]
pub(crate) mod dots;
#[cfg(not(tadpool_core = "helium"))]
pub(crate) mod identity;
#[cfg(tadpool_core = "host")]
mod packed;
pub(crate) mod pooling;
#[cfg(not(tadpool_x86))]
pub(crate) mod products;
pub(crate) mod rows;
