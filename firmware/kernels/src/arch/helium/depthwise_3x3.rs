//! The depthwise convolution with windows of 3x3: the loops of `depthwise_3x3.s`.

#![allow(unsafe_code)]

use super::depthwise::Windows;
use crate::arch::cast;
use crate::arithmetic::depthwise::{AT_ONCE, Depthwise, Ring, Starts, padded_rows};
use crate::present::missing;

assembly!("depthwise_3x3.s");

/// Rows and columns of the window.
const SIDE: usize = 3;

/// Rows of a column.
const ROWS: usize = padded_rows(SIDE);

/// Bytes of a window's weights.
const WEIGHTS: usize = SIDE * ROWS;

// SAFETY: signatures and contract as in `depthwise_3x3.s`.
unsafe extern "C" {
    fn tadpool_helium_gather_3x3(
        channel: *const i8,
        rows: *const [usize; ROWS],
        stride: usize,
        count: usize,
        columns: *mut i8,
    );
    fn tadpool_helium_convolve_3x3(windows: *const Windows);
}

/// Whether [`row`] takes windows of this size.
pub(super) fn takes(window: [usize; 2]) -> bool {
    window == [SIDE; 2]
}

/// See [`Depthwise::row`]: columns lie in the scratch as `portable` leaves them.
pub(super) fn row<S: Starts>(
    step: &Depthwise<'_>,
    starts: &S,
    ring: &mut Ring<'_>,
    scratch: &mut [i32],
) {
    let (width, channels) = (ring.width, ring.channels);
    let row_size = width * channels;
    let gathered = cast::words_as_i8s_mut(scratch);
    // Windows are taken a few at a time, from any of them on, and a vector has four columns.
    let read = ROWS * (width + AT_ONCE - 1 + 4);
    if width == 0 || gathered.len() < read || ring.slots.len() < SIDE * row_size {
        return missing();
    }
    // A row that the window does not have meets weights of zero.
    let place = |row: usize| (ring.oldest + row.min(SIDE - 1)) % SIDE * row_size;
    let places: [usize; ROWS] = core::array::from_fn(place);
    let slots = ring.slots.as_mut_ptr();
    let all = step.windows().zip(starts.channels()).enumerate();
    for (channel, (weights, (start, multiplier))) in all.take(channels) {
        let Some(weights) = weights.first_chunk::<WEIGHTS>() else {
            return missing();
        };
        let out = slots.wrapping_add(place(0) + channel);
        let channel = slots.wrapping_add(channel).cast_const();
        starts.each_run(start, width, |first, count, bias| {
            debug_assert!(count > 0 && first + count <= width);
            let windows = Windows {
                columns: gathered.as_ptr().wrapping_add(ROWS * first),
                weights: weights.as_ptr(),
                out: out.wrapping_add(first * channels),
                stride: channels,
                windows: count,
                bias,
                multiplier,
                zero: step.zero,
            };
            // SAFETY: every slot holds `width` tokens of `channels` values, of which one is
            // read or written; the runs of `Starts` lie within them and are not empty. The
            // scratch begins at a word and holds the columns that are written, from the
            // second on, and those that are read.
            unsafe {
                if first == 0 {
                    let inside = gathered.as_mut_ptr().add(ROWS * (SIDE / 2));
                    tadpool_helium_gather_3x3(channel, &places, channels, width, inside);
                }
                tadpool_helium_convolve_3x3(&windows);
            }
        });
    }
}
