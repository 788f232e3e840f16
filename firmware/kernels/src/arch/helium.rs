//! Cores with the M-profile vector extension: Cortex-M52, M55, M85.

/// The beginning of every file of assembly: the core that the assembler is told to
/// write for, since the target's own lacks what the files use.
macro_rules! prelude {
    () => {
        ".cpu cortex-m55"
    };
}

pub(crate) mod branch;
pub(crate) mod depthwise;
mod depthwise_3x3;
pub(crate) mod identity;
pub(crate) mod pooling;
mod product;

pub(crate) use super::armv7m::dots;
