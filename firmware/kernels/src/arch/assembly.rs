//! How the files of assembly become part of the crate.

/// What every file begins with: the core that the assembler is told to write for, since
/// the target's own lacks what the files use, and whether it issues two instructions at
/// once.
#[cfg(feature = "helium")]
macro_rules! prelude {
    () => {
        ".cpu cortex-m55"
    };
}
#[cfg(feature = "dsp-m7")]
macro_rules! prelude {
    () => {
        ".cpu cortex-m7\n.equ DUAL_ISSUE, 1"
    };
}
#[cfg(all(feature = "dsp", not(feature = "dsp-m7"), tadpool_armv8m))]
macro_rules! prelude {
    () => {
        ".cpu cortex-m33\n.equ DUAL_ISSUE, 0"
    };
}
#[cfg(all(feature = "dsp", not(feature = "dsp-m7"), not(tadpool_armv8m)))]
macro_rules! prelude {
    () => {
        ".cpu cortex-m4\n.equ DUAL_ISSUE, 0"
    };
}

/// Assembles a file that lies beside the caller's.
macro_rules! assembly {
    ($file:literal) => {
        core::arch::global_asm!(prelude!(), include_str!($file), options(raw));
    };
}
