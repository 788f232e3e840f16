//! Armv6-M: Cortex-M0, M0+, M1.

pub(crate) mod dots;

pub(crate) use super::portable::{branch, depthwise, identity, pooling};
