//! The only unsafe code and assembly: views of arena bytes as wider or signed
//! integers, and the inner loops of the layouts that one family of cores reads.
//!
//! The one place that asks what is being built for. On the host a model in
//! plain Rust stands in for the assembly, reads the same packed weights and
//! writes the same tiles.

// First, since its macro is for those that follow.
#[cfg(all(any(feature = "dsp", feature = "helium"), target_arch = "arm"))]
#[macro_use]
mod assembly;

pub(crate) mod cast;

#[cfg(tadpool_armv6m)]
mod armv6m;
#[cfg(all(feature = "dsp", target_arch = "arm"))]
mod dsp;
#[cfg(all(feature = "dsp", target_arch = "arm"))]
mod dsp_depthwise;
#[cfg(all(feature = "dsp", target_arch = "arm"))]
mod dsp_pooling;
#[cfg(all(feature = "helium", target_arch = "arm"))]
mod helium;
#[cfg(all(feature = "helium", target_arch = "arm"))]
mod helium_depthwise;
#[cfg(all(feature = "helium", target_arch = "arm"))]
mod helium_identity;
#[cfg(all(feature = "helium", target_arch = "arm"))]
mod helium_pooling;
#[cfg(not(target_arch = "arm"))]
mod model;

#[cfg(tadpool_armv6m)]
pub(crate) use armv6m::dots;
#[cfg(not(tadpool_armv6m))]
pub(crate) use portable::dots;

#[cfg(all(feature = "dsp", target_arch = "arm"))]
pub(crate) use dsp_pooling::pool;
#[cfg(all(feature = "helium", target_arch = "arm"))]
pub(crate) use helium_pooling::pool;
#[cfg(not(all(any(feature = "dsp", feature = "helium"), target_arch = "arm")))]
pub(crate) use no_pooling::pool;

/// Whether [`pool`] runs the pooling mixer in the layouts that are not `Rows`.
pub(crate) const POOLS: bool = cfg!(all(
    any(feature = "dsp", feature = "helium"),
    target_arch = "arm"
));

#[cfg(all(feature = "helium", target_arch = "arm"))]
pub(crate) use helium_identity::affine_map;
#[cfg(not(all(feature = "helium", target_arch = "arm")))]
pub(crate) use portable_identity::affine_map;

#[cfg(all(feature = "dsp", target_arch = "arm"))]
pub(crate) use dsp_depthwise::{IN_PAIRS, convolve, convolves};
#[cfg(all(feature = "helium", target_arch = "arm"))]
pub(crate) use helium_depthwise::{IN_PAIRS, convolve, convolves};
#[cfg(not(all(any(feature = "dsp", feature = "helium"), target_arch = "arm")))]
pub(crate) use no_depthwise::{IN_PAIRS, convolve, convolves};

#[cfg(not(tadpool_armv6m))]
mod portable {
    /// Two output channels times two tokens: `[w0 x0, w0 x1, w1 x0, w1 x1]`. A
    /// function of its own, so that it has all registers wherever it is used.
    #[inline(never)]
    pub(crate) fn dots(w0: &[i8], w1: &[i8], x0: &[i16], x1: &[i16]) -> [i32; 4] {
        let mut sums = [0i32; 4];
        for (((&w0, &w1), &x0), &x1) in w0.iter().zip(w1).zip(x0).zip(x1) {
            let [w0, w1, x0, x1] = [i32::from(w0), i32::from(w1), x0.into(), x1.into()];
            let products = [w0 * x0, w0 * x1, w1 * x0, w1 * x1];
            for (sum, product) in sums.iter_mut().zip(products) {
                *sum = sum.wrapping_add(product);
            }
        }
        sums
    }
}

#[cfg(not(all(any(feature = "dsp", feature = "helium"), target_arch = "arm")))]
mod no_pooling {
    use crate::Fault;
    use crate::norm::{NormScale, Stats};
    use crate::pooling::Pooling;

    pub(crate) fn pool(
        _step: &Pooling<'_>,
        _norm: &NormScale,
        _map: &mut [i8],
        _scratch: &mut [i32],
    ) -> Result<Stats, Fault> {
        Err(Fault::Geometry)
    }
}

#[cfg(not(all(feature = "helium", target_arch = "arm")))]
mod portable_identity {
    use crate::norm::Stats;
    use crate::stream::{self, Int8};

    pub(crate) fn affine_map(
        map: &mut [i8],
        channels: usize,
        affines: impl Iterator<Item = (i32, i32)>,
    ) -> Stats {
        stream::affine_map::<Int8>(map, channels, affines)
    }
}

#[cfg(not(all(any(feature = "dsp", feature = "helium"), target_arch = "arm")))]
mod no_depthwise {
    use crate::depthwise::{Depthwise, Ring};

    pub(crate) const IN_PAIRS: bool = false;

    pub(crate) fn convolves(_kernel: [usize; 2], _ring_size: usize) -> bool {
        false
    }

    pub(crate) fn convolve(_step: &Depthwise<'_>, _ring: &mut Ring<'_>, _scratch: &mut [i32]) {}
}
