//! The depthwise convolution with the vector extension: the inner loops of
//! `depthwise.s`.

#![allow(unsafe_code)]

use super::depthwise_3x3;
use crate::arch::{cast, portable};
use crate::present::missing;

pub(crate) use crate::arch::portable::depthwise::prepare;
use crate::arithmetic::depthwise::{Depthwise, LARGEST, Ring, Starts, WHOLE, whole_window};

assembly!("depthwise.s");

/// The arguments of the loops over one channel's windows, of 3x3 too; the assembly has the
/// same order.
#[repr(C)]
pub(super) struct Windows {
    pub(super) columns: *const i8,
    pub(super) weights: *const i8,
    pub(super) out: *mut i8,
    pub(super) stride: usize,
    pub(super) windows: usize,
    pub(super) bias: i32,
    pub(super) multiplier: i32,
    pub(super) zero: i32,
}

offsets!(Windows: columns 0, weights 4, out 8, stride 12, windows 16, bias 20,
    multiplier 24, zero 28; 32);

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
pub(crate) fn row<S: Starts>(
    step: &Depthwise<'_>,
    starts: &S,
    ring: &mut Ring<'_>,
    scratch: &mut [i32],
) {
    if depthwise_3x3::takes(step.window) {
        depthwise_3x3::row(step, starts, ring, scratch);
    } else if convolves(step.window, ring.slots.len()) {
        convolve(step, starts, ring, scratch);
    } else {
        portable::depthwise::row(step, starts, ring, scratch);
    }
}

fn convolve<S: Starts>(step: &Depthwise<'_>, starts: &S, ring: &mut Ring<'_>, scratch: &mut [i32]) {
    let [rows, columns] = step.window;
    // Not zero, as was checked; said again where the compiler sees it.
    let rows = rows.max(1);
    let (width, channels) = (ring.width, ring.channels);
    let row_size = width * channels;
    let gathered = cast::words_as_i8s_mut(scratch);
    let left = ROWS * (columns / 2);
    // The last vector of the last window reads a column more.
    let read = ROWS * (width + LARGEST);
    let fits = convolves(step.window, ring.slots.len()) && ring.slots.len() >= rows * row_size;
    if width == 0 || gathered.len() < read || !fits {
        return missing();
    }
    // Rows that the window does not have meet weights of zero.
    let place = |row: usize| ((ring.oldest + row.min(rows - 1)) % rows) * row_size;
    let places: [u16; ROWS] = core::array::from_fn(|row| place(row) as u16);
    let slots = ring.slots.as_mut_ptr();
    let mut padded = [0; WHOLE];
    let all = step.windows().zip(starts.channels()).enumerate();
    for (channel, (window, (start, multiplier))) in all.take(channels) {
        let weights = whole_window(window, step.window, &mut padded);
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
            // scratch begins at a word and holds the columns that are written, from `left`
            // on, and those that are read.
            unsafe {
                if first == 0 {
                    let inside = gathered.as_mut_ptr().add(left);
                    tadpool_helium_gather(channel, &places, channels, width, inside);
                }
                tadpool_helium_convolve(&windows);
            }
        });
    }
}
