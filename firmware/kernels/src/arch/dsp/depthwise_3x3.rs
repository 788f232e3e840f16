//! The depthwise convolution with windows of 3x3: the loop of `depthwise_3x3.s`.

#![allow(unsafe_code)]

use crate::arithmetic::depthwise::{Depthwise, Ring, Starts, padded_rows};
use crate::present::missing;

assembly!("depthwise_3x3.s");

/// The arguments of the loop over one channel's windows; the assembly has the same
/// offsets.
#[repr(C)]
struct Windows {
    bias: i32,
    multiplier: i32,
    zero: i32,
    /// Two halfwords of it.
    padding: i32,
    /// Added to `bias` in the last window.
    last: i32,
    /// A column before the channel in the oldest row.
    place: *mut i8,
    /// From there to the first column of each row.
    rows: [usize; SIDE],
    weights: *const i8,
    columns: usize,
    first_bias: i32,
}

offsets!(Windows: bias 0, multiplier 4, zero 8, padding 12, last 16, place 20, rows 24,
    weights 36, columns 40, first_bias 44; 48);

/// Rows and columns of the window.
const SIDE: usize = 3;

/// Bytes of a window's weights.
const WEIGHTS: usize = SIDE * padded_rows(SIDE);

// SAFETY: signature and contract as in `depthwise_3x3.s`.
unsafe extern "C" {
    fn tadpool_dsp_depthwise_3x3(windows: *const Windows);
}

/// Whether [`row`] takes windows of this size and rows of this many tokens, which are
/// counted in 16 bits.
pub(super) fn takes(window: [usize; 2], width: usize) -> bool {
    window == [SIDE; 2] && width <= 1 << 16
}

/// See [`Depthwise::row`].
pub(super) fn row<S: Starts>(step: &Depthwise<'_>, starts: &S, ring: &mut Ring<'_>) {
    let (width, channels) = (ring.width, ring.channels);
    let row_size = width * channels;
    if width == 0 || ring.slots.len() < SIDE * row_size {
        return missing();
    }
    let slot = |row: usize| (ring.oldest + row) % SIDE * row_size;
    let oldest = slot(0);
    let padding = i32::from(step.padding);
    let before = ring.slots.as_mut_ptr().wrapping_add(oldest);
    let before = before.wrapping_sub(channels);
    let mut windows = Windows {
        bias: 0,
        multiplier: 0,
        zero: step.zero,
        padding: padding << 16 | padding & 0xffff,
        last: 0,
        place: before,
        rows: [0, 1, 2].map(|row| slot(row).wrapping_sub(oldest).wrapping_add(channels)),
        weights: core::ptr::null(),
        columns: width,
        first_bias: 0,
    };
    let all = step.windows().zip(starts.channels()).enumerate();
    for (channel, (weights, (start, multiplier))) in all.take(channels) {
        let Some(weights) = weights.first_chunk::<WEIGHTS>() else {
            return missing();
        };
        // Only the first window and the last one have fewer columns inside the map.
        let mut last = 0;
        starts.each_run(start, width, |first, _, bias| {
            if first == 0 {
                windows.first_bias = bias;
            }
            if first <= 1 {
                windows.bias = bias;
            }
            last = bias;
        });
        windows.last = last.wrapping_sub(windows.bias);
        windows.multiplier = multiplier;
        windows.place = before.wrapping_add(channel);
        windows.weights = weights.as_ptr();
        // SAFETY: every slot holds `width` tokens of `channels` values, of which one is
        // read, and written in the oldest slot; there is at least one token, and there are
        // `WEIGHTS` weights.
        unsafe { tadpool_dsp_depthwise_3x3(&windows) };
    }
}
