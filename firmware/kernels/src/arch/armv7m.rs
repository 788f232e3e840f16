//! Armv7-M and Armv8-M Mainline without their extensions: Cortex-M3, and any core that
//! runs the portable kernels.

pub(crate) mod dots;

#[cfg(tadpool_core = "armv7m")]
pub(crate) use super::portable::{branch, depthwise, identity, pooling};
