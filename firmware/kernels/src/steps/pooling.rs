//! The pooling token mixer: `x + layer_scale * (pool(n) - n)`, `n = norm(x)`,
//! in place.
//!
//! Padding is not counted, so the norm's mean and beta cancel in
//! `pool(n) - n`, and what is left is one factor per channel:
//!
//! ```text
//! q' = (residual * q + factor_c / sigma * e + offset) / 2^16
//! e  = 36 / n * (sum of the n neighbours) - 36 * q
//! ```
//!
//! 36 is a common multiple of every window size `n` of a 3x3 window that
//! reaches over an edge (1, 2, 3, 4, 6 and 9), so `e` is an exact integer.

pub mod int16;

use crate::arch::{self, cast};
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::fixed::requantize;
use crate::arithmetic::layout::{Kernel, Layout};
use crate::arithmetic::norm::{Norm, NormScale, Stats};
use crate::arithmetic::stream::Stream;
use crate::steps::Step;
use crate::steps::progress::Progress;
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// Factors lie in `-FACTOR_MAX..FACTOR_MAX`: `36 * 255 * FACTOR_MAX` stays below
/// `2^31`, and cores saturate to so many bits in one instruction.
pub const FACTOR_MAX: i32 = 1 << 17;

/// The values that a pooling mixer takes off its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subtracted {
    /// Those that are pooled: `pool(n) - n`.
    Pooled,
    /// None: `pool(n)`.
    Nothing,
}

variants!(pooling::Subtracted: Pooled, Nothing);

/// Constants of one pooling mixer; the window is 3x3, the stride 1.
#[derive(Debug, Clone, Copy)]
pub struct Pooling<'a> {
    /// The residual stream, read and written.
    pub map: Buffer,
    /// At least [`Pooling::scratch_size`] bytes, 4-byte aligned.
    pub scratch: Buffer,
    /// Rows, columns and channels.
    pub shape: [usize; 3],
    /// The norm before the mixer; [`Norm::FIXED`] if there is none, or one that is folded
    /// into the factors.
    pub norm: Norm,
    /// `layer_scale * gamma / (36 * output scale)` per channel, Q24.
    pub factor: &'a [i32],
    /// Input scale over output scale, Q16.
    pub residual: i32,
    /// Zero points and half a step, Q16.
    pub offset: i32,
}

fields!(step pooling::Pooling<'_>:
    map, scratch, shape, norm, factor, residual, offset);

impl Pooling<'_> {
    /// Scratch bytes that a run needs.
    pub const fn scratch_size(width: usize, channels: usize) -> usize {
        16 * channels + 2 * width * channels
    }

    #[inline(always)]
    pub(crate) fn check(&self, layout: Layout, map_size: usize) -> Result<(), Fault> {
        let [.., channels] = self.shape;
        ensure(map_size > 0 && map_size == volume(&self.shape))?;
        ensure(self.factor.len() == channels && layout.pools(channels))
    }
}

impl Step for Pooling<'_> {
    fn input(&self) -> Buffer {
        self.map
    }

    fn output(&self) -> Buffer {
        self.map
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        let [_, width, channels] = self.shape;
        match I::FRACTION {
            0 => Self::scratch_size(width, channels),
            _ => int16::scratch_size(width, channels),
        }
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        match I::FRACTION {
            0 => self.check(K::LAYOUT, self.map.size)?,
            _ => int16::check(self, self.map.size)?,
        }
        self.scratch.holds(Step::scratch_size::<I, O>(self))
    }

    fn advance<K: Kernel, I: Stream, O: Stream>(
        &self,
        stats: &Stats,
        progress: &mut Progress,
        most: usize,
        arena: &mut [u8],
    ) -> Result<bool, Fault> {
        match I::FRACTION {
            0 => advance::<K>(self, stats, progress, most, arena),
            _ => int16::advance(self, stats, progress, most, arena),
        }
    }
}

#[cfg(feature = "visit")]
impl Described for Pooling<'_> {
    fn takes(&self, layout: Layout, _input: Values) -> bool {
        let [.., channels] = self.shape;
        layout.pools(channels)
    }

    fn is_fixed(&self) -> bool {
        self.norm.is_fixed()
    }

    fn function(&self, call: &Call) -> Function {
        match call.input {
            Values::Int8 => Function {
                path: "pooling::run",
                parameters: &[Parameter::Layout],
            },
            Values::Int16 => Function {
                path: "int16::pooling::run",
                parameters: &[],
            },
        }
    }

    fn units(&self, _input: Values) -> Option<usize> {
        Some(self.shape[0])
    }
}

/// The factor of a channel for this deviation, Q16.
pub(crate) fn factor(base: i32, norm: &NormScale) -> i32 {
    requantize(base, norm.inv_sigma).clamp(-FACTOR_MAX, FACTOR_MAX - 1)
}

/// `36 / n` for a window of `n` values.
pub(crate) const fn weight(n: i32) -> i32 {
    // Unsigned and not by zero, so that the processor's own division does it.
    let n = if n > 1 { n as u32 } else { 1 };
    (36 / n) as i32
}

/// Rows of the map that the windows around row `y` of `height` hold.
#[inline(always)]
pub(crate) const fn window_rows(y: usize, height: usize) -> usize {
    let (above, below) = (y > 0, y + 1 < height);
    1 + above as usize + below as usize
}

/// Runs the step; `stats` are those of the map as it is read, and the sums of
/// what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match, or if the kernel of `K`
/// does not take as many channels, as [`Layout::pools`] tells.
pub fn run<K: Kernel>(step: &Pooling<'_>, stats: &Stats, arena: &mut [u8]) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance::<K>(step, stats, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` rows or what takes as long; returns
/// whether it is complete.
///
/// # Errors
/// As [`run`].
pub fn advance<K: Kernel>(
    step: &Pooling<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    let (map, scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    let norm = NormScale::new(stats, &step.norm);
    let map = cast::i8s_mut(map);
    if K::LAYOUT == Layout::Rows {
        arch::pooling_of_rows::pool::<K>(step, &norm, progress, most, map, scratch)
    } else {
        arch::pooling::pool::<K>(step, &norm, progress, most, map, scratch)
    }
}
