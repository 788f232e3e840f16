//! The only unsafe code and assembly: views of arena bytes as wider or signed
//! integers, and the inner loops of the layouts that one family of cores reads.
//!
//! The one place that asks what is being built for. On the host a model in
//! plain Rust stands in for the assembly, reads the same packed weights and
//! writes the same tiles.

pub(crate) mod cast;

#[cfg(all(feature = "dsp", target_arch = "arm"))]
mod dsp;
#[cfg(all(any(feature = "dsp", feature = "helium"), target_arch = "arm"))]
mod dsp_pooling;
#[cfg(all(feature = "helium", target_arch = "arm"))]
mod helium;
#[cfg(not(target_arch = "arm"))]
mod model;

// Cores with the vector extension have the DSP extension too.
#[cfg(all(any(feature = "dsp", feature = "helium"), target_arch = "arm"))]
pub(crate) use dsp_pooling::pool;
#[cfg(not(all(any(feature = "dsp", feature = "helium"), target_arch = "arm")))]
pub(crate) use portable::pool;

/// Whether [`pool`] runs the pooling mixer in the layouts that are not `Rows`.
pub(crate) const POOLS: bool = cfg!(all(
    any(feature = "dsp", feature = "helium"),
    target_arch = "arm"
));

#[cfg(not(all(any(feature = "dsp", feature = "helium"), target_arch = "arm")))]
mod portable {
    use crate::Fault;
    use crate::norm::{NormScale, Stats};
    use crate::pooling::Pooling;

    pub(crate) fn pool(
        _step: &Pooling<'_>,
        _norm: &NormScale,
        _map: &mut [i8],
        _scratch: &mut [u8],
    ) -> Result<Stats, Fault> {
        Err(Fault::Geometry)
    }
}
