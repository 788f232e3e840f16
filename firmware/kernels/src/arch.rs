//! The only unsafe code and assembly: views of arena bytes as wider or signed
//! integers, constants that lie in slots, and the inner loops of the layouts that one family
//! of cores reads.
//!
//! A folder a core. Each has the same five modules, and takes those of [`portable`]
//! that it has no loops of its own for:
//!
//! * `dots`: the products of [`Rows`](crate::arithmetic::layout::Rows),
//! * `pooling`: the rows of the pooling mixer,
//! * `identity`: an affine of each channel,
//! * `depthwise`: a window of each channel,
//! * `branch`: a branch that is added to the stream.
//!
//! Where steps are packed as `Rows`, `products` has loops over all outputs of a tile that do
//! more than `dots`, and `pooling_of_rows` the pooling mixer: both for some hosts only, whose
//! processor is asked at run time (`x86`).
//!
//! A core that reads a layout of its own implements
//! [`Product`](crate::arithmetic::matmul::Product) for it in `product`. On the host, a
//! model in plain Rust (`portable/packed.rs`) stands in for the assembly of every such
//! core, reads the same packed weights and writes the same tiles.
//!
//! The build script tells by `tadpool_core` what is being built for; no other file of
//! the crate asks.

/// Assembles a file that lies beside the caller's, behind the prelude of its core.
#[cfg(any(tadpool_core = "dsp", tadpool_core = "helium"))]
macro_rules! assembly {
    ($file:literal) => {
        core::arch::global_asm!(prelude!(), include_str!($file), options(raw));
    };
}

/// Asserts where the fields of a struct lie, for the assembly has these offsets in
/// numbers; all of them, from the first byte on.
#[cfg(any(tadpool_core = "dsp", tadpool_core = "helium"))]
macro_rules! offsets {
    ($name:ident: $($field:ident $offset:literal),+; $size:literal) => {
        const _: () = {
            $(assert!(core::mem::offset_of!($name, $field) == $offset);)+
            assert!(size_of::<$name>() == $size);
        };
    };
}

pub(crate) mod cast;
pub(crate) mod placed;

#[cfg(tadpool_core = "armv6m")]
mod armv6m;
#[cfg(any(tadpool_core = "armv7m", tadpool_core = "helium"))]
mod armv7m;
#[cfg(any(tadpool_core = "armv7m", tadpool_core = "dsp", tadpool_core = "helium"))]
mod calls;
#[cfg(tadpool_core = "dsp")]
mod dsp;
#[cfg(tadpool_core = "helium")]
mod helium;
pub(crate) mod portable;
#[cfg(tadpool_x86)]
mod x86;

#[cfg(tadpool_core = "armv6m")]
use armv6m as chosen;
#[cfg(tadpool_core = "armv7m")]
use armv7m as chosen;
#[cfg(tadpool_core = "dsp")]
use dsp as chosen;
#[cfg(tadpool_core = "helium")]
use helium as chosen;
#[cfg(any(tadpool_core = "portable", tadpool_core = "host"))]
use portable as chosen;

pub(crate) use chosen::{branch, depthwise, dots, identity, pooling};

#[cfg(not(tadpool_x86))]
pub(crate) use portable::{pooling as pooling_of_rows, products};
#[cfg(tadpool_x86)]
pub(crate) use x86::{pooling as pooling_of_rows, products};
