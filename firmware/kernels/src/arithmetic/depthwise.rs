//! A convolution of every channel with a window of its own, a row of tokens at a time.
//!
//! The rows under a row of windows lie in a **ring**, each in a slot of its own, the
//! oldest one first in turn. Rows and columns beyond the map hold the value that
//! stands for zero, so all windows are whole. A channel is gathered column by column
//! into the scratch; its window then moves along without a jump, and what it gives
//! goes to the slot of the oldest row, whose values of this channel nobody reads
//! again.

use crate::arch;
use crate::arena::{Fault, ensure, volume};
use crate::present::Present;

/// Constants of a depthwise convolution of stride 1 that keeps the map's shape.
///
/// `q' = zero + requantize(bias + weights . window, multiplier)`
#[derive(Debug, Clone, Copy)]
pub struct Depthwise<'a> {
    /// Window rows and columns, both odd.
    pub window: [usize; 2],
    /// For every channel the columns of its window from left to right, each padded
    /// with zeros to [`padded_rows`].
    pub weights: &'a [i8],
    /// Accumulator start per channel, zero points folded in.
    pub bias: &'a [i32],
    /// Multiplier per channel, Q32.
    pub multiplier: &'a [i32],
    /// The value beyond the map: the one that stands for zero.
    pub padding: i8,
    /// Zero point of what is written.
    pub zero: i32,
}

fields!(layer depthwise::Depthwise<'_>:
    window, weights, bias, multiplier, padding, zero);

/// Rows that a column of weights is padded to.
pub const fn padded_rows(rows: usize) -> usize {
    rows.saturating_add(3) / 4 * 4
}

/// Rows and columns of the largest window that the assembly takes.
pub(crate) const LARGEST: usize = 7;

/// Weights of such a window, padded.
#[cfg(any(tadpool_core = "dsp", tadpool_core = "helium"))]
pub(crate) const WHOLE: usize = LARGEST * padded_rows(LARGEST);

/// Windows that are taken at a time.
pub(crate) const AT_ONCE: usize = 4;

/// Words of scratch: the columns of one channel, as pairs of 16-bit values in the
/// form that takes most, and as many weights.
pub(crate) const fn scratch_words(width: usize, [rows, columns]: [usize; 2]) -> usize {
    let columns = if columns < LARGEST { LARGEST } else { columns };
    let rows = if rows < LARGEST { LARGEST } else { rows };
    let count = width.saturating_add(2 * columns + AT_ONCE);
    count.saturating_mul(padded_rows(rows) / 2)
}

/// Accumulator starts and multipliers of a row of windows.
pub(crate) trait Starts {
    /// Starts of a channel.
    type Channel: Copy;

    /// The starts of each channel and its multiplier.
    fn channels(&self) -> impl Iterator<Item = (Self::Channel, i32)>;

    /// Hands runs of a row's `width` windows to `each`: the first window, how many there
    /// are, and the start that they have in common.
    fn each_run(&self, channel: Self::Channel, width: usize, each: impl FnMut(usize, usize, i32));
}

/// All windows start alike.
impl Starts for Depthwise<'_> {
    type Channel = i32;

    #[inline(always)]
    fn channels(&self) -> impl Iterator<Item = (i32, i32)> {
        self.bias
            .iter()
            .copied()
            .zip(self.multiplier.iter().copied())
    }

    #[inline(always)]
    fn each_run(&self, start: i32, width: usize, mut each: impl FnMut(usize, usize, i32)) {
        each(0, width, start);
    }
}

/// The rows under a row of windows.
pub(crate) struct Ring<'a> {
    /// A slot for every row of the window.
    pub(crate) slots: &'a mut [i8],
    /// The slot of the oldest row.
    pub(crate) oldest: usize,
    /// Tokens of a row.
    pub(crate) width: usize,
    /// Values of a token.
    pub(crate) channels: usize,
}

impl Depthwise<'_> {
    /// Whether there are as many constants as the window and the channels say.
    pub(crate) fn check(&self, channels: usize) -> Result<(), Fault> {
        let [rows, columns] = self.window;
        ensure(rows % 2 == 1 && columns % 2 == 1)?;
        ensure(self.weights.len() == volume(&[channels, columns, padded_rows(rows)]))?;
        ensure([self.bias, self.multiplier].map(<[_]>::len) == [channels; 2])
    }

    /// The weights of each channel.
    pub(crate) fn windows(&self) -> impl Iterator<Item = &[i8]> {
        let [rows, columns] = self.window;
        let size = columns.saturating_mul(padded_rows(rows));
        self.weights.chunks_exact(size.max(1))
    }

    /// Fills the parts of the scratch that no row changes.
    pub(crate) fn prepare(&self, ring: &Ring<'_>, scratch: &mut [i32]) {
        arch::depthwise::prepare(self, ring, scratch);
    }

    /// Replaces the oldest row of the ring by the row of windows; `scratch` has
    /// [`scratch_words`] and is as [`Depthwise::prepare`] and this leave it.
    pub(crate) fn row(&self, ring: &mut Ring<'_>, scratch: &mut [i32]) {
        arch::depthwise::row(self, self, ring, scratch);
    }

    /// The same with other accumulator starts and multipliers than the convolution's.
    pub(crate) fn row_from(&self, starts: &impl Starts, ring: &mut Ring<'_>, scratch: &mut [i32]) {
        arch::depthwise::row(self, starts, ring, scratch);
    }
}

impl Ring<'_> {
    /// The row in a slot.
    pub(crate) fn row_mut(&mut self, slot: usize) -> &mut [i8] {
        let size = self.width * self.channels;
        let start = slot * size;
        self.slots.get_mut(start..start + size).present()
    }
}

/// The weights of a window as one of the largest, with zeros beyond its own, for which
/// `padded` is used if it is smaller.
#[cfg(any(tadpool_core = "dsp", tadpool_core = "helium"))]
#[inline(always)]
pub(crate) fn whole_window<'a>(
    window: &'a [i8],
    [rows, _]: [usize; 2],
    padded: &'a mut [i8; WHOLE],
) -> &'a [i8; WHOLE] {
    if let Ok(whole) = window.try_into() {
        return whole;
    }
    let columns = window.chunks_exact(padded_rows(rows).max(1));
    let places = padded.chunks_exact_mut(padded_rows(LARGEST)).zip(columns);
    for (place, &weight) in places.flat_map(|(place, column)| place.iter_mut().zip(column)) {
        *place = weight;
    }
    padded
}
