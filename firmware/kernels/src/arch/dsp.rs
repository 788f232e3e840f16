//! Cores with the DSP extension: Cortex-M4, M7, M33.

/// The beginning of every file of assembly: the core that the assembler is told to
/// write for, since the target's own may lack what the files use, and whether it issues
/// two instructions at once.
#[cfg(feature = "dsp-m7")]
macro_rules! prelude {
    () => {
        ".cpu cortex-m7\n.equ DUAL_ISSUE, 1"
    };
}
#[cfg(all(not(feature = "dsp-m7"), tadpool_armv8m))]
macro_rules! prelude {
    () => {
        ".cpu cortex-m33\n.equ DUAL_ISSUE, 0"
    };
}
#[cfg(all(not(feature = "dsp-m7"), not(tadpool_armv8m)))]
macro_rules! prelude {
    () => {
        ".cpu cortex-m4\n.equ DUAL_ISSUE, 0"
    };
}

pub(crate) mod depthwise;
mod depthwise_3x3;
pub(crate) mod dots;
pub(crate) mod pooling;
mod product;

pub(crate) use super::portable::{branch, identity};
