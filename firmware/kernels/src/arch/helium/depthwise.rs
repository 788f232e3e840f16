//! The depthwise convolution with the vector extension: the inner loops of
//! `depthwise.s`.

#![allow(unsafe_code)]

use crate::arch::{cast, portable};

pub(crate) use crate::arch::portable::depthwise::prepare;
use crate::arithmetic::depthwise::{Depthwise, LARGEST, Ring, WHOLE, whole_window};

assembly!("depthwise.s");

/// What the windows of one channel work on; the assembly has the same order.
#[repr(C)]
struct Windows {
    columns: *const i8,
    weights: *const [i8; WHOLE],
    out: *mut i8,
    stride: usize,
    windows: usize,
    bias: i32,
    multiplier: i32,
    zero: i32,
}

/// Rows of a column.
const ROWS: usize = LARGEST + 1;

// SAFETY: signatures and contract as in `depthwise.s`.
unsafe extern "C" {
    fn tadpool_helium_gather(
        channel: *const i8,
        rows: *const [u16; ROWS],
        stride: usize,
        count: usize,
        columns: *mut i8,
    );
    fn tadpool_helium_convolve(windows: *const Windows);
}

/// Whether [`convolve`] takes windows of this size with a ring of this size, in which
/// a row's place is 16 bits.
fn convolves([rows, columns]: [usize; 2], ring_size: usize) -> bool {
    rows <= LARGEST && columns <= LARGEST && ring_size <= 1 << 16
}

/// See [`Depthwise::row`].
pub(crate) fn row(step: &Depthwise<'_>, ring: &mut Ring<'_>, scratch: &mut [i32]) {
    if convolves(step.kernel, ring.slots.len()) {
        convolve(step, ring, scratch);
    } else {
        portable::depthwise::row(step, ring, scratch);
    }
}

fn convolve(step: &Depthwise<'_>, ring: &mut Ring<'_>, scratch: &mut [i32]) {
    let [rows, columns] = step.kernel;
    // Not zero, as was checked; said again where the compiler sees it.
    let rows = rows.max(1);
    let (width, channels) = (ring.width, ring.channels);
    let row_size = width * channels;
    let gathered = cast::words_as_i8s_mut(scratch);
    let left = ROWS * (columns / 2);
    // The last vector of the last window reads a column more.
    let read = ROWS * (width + LARGEST);
    let fits = convolves(step.kernel, ring.slots.len()) && ring.slots.len() >= rows * row_size;
    if width == 0 || gathered.len() < read || !fits {
        return;
    }
    // Rows that the window does not have meet weights of zero.
    let place = |row: usize| ((ring.oldest + row.min(rows - 1)) % rows) * row_size;
    let places: [u16; ROWS] = core::array::from_fn(|row| place(row) as u16);
    let slots = ring.slots.as_mut_ptr();
    let mut padded = [0; WHOLE];
    let constants = step.bias.iter().zip(step.multiplier);
    let all = step.windows().zip(constants).enumerate();
    for (channel, (window, (&bias, &multiplier))) in all.take(channels) {
        let windows = Windows {
            columns: gathered.as_ptr(),
            weights: whole_window(window, step.kernel, &mut padded),
            out: slots.wrapping_add(place(0) + channel),
            stride: channels,
            windows: width,
            bias,
            multiplier,
            zero: step.zero,
        };
        let channel = slots.wrapping_add(channel).cast_const();
        // SAFETY: every slot holds `width` tokens of `channels` values, of which one is
        // read or written; the scratch begins at a word and holds the columns that are
        // written, from `left` on, and those that are read.
        unsafe {
            let inside = gathered.as_mut_ptr().add(left);
            tadpool_helium_gather(channel, &places, channels, width, inside);
            tadpool_helium_convolve(&windows);
        }
    }
}
