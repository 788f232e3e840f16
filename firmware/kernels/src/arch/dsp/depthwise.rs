//! The depthwise convolution with the DSP extension: the inner loops of
//! `depthwise.s`.

#![allow(unsafe_code)]

use crate::arch::portable;
use crate::arithmetic::depthwise::{AT_ONCE, Depthwise, LARGEST, Ring, WHOLE, whole_window};

assembly!("depthwise.s");

/// What the windows of one channel work on; the assembly has the same offsets.
#[repr(C)]
struct Windows {
    pairs: *const [i32; PAIRS],
    taps: *const i32,
    bias: i32,
    left: usize,
    multiplier: i32,
    zero: i32,
    out: *mut i8,
    stride: usize,
}

/// Pairs of values of a column.
const PAIRS: usize = 4;

/// Words of a channel's weights as pairs.
const TAPS: usize = PAIRS * LARGEST;

// SAFETY: signatures and contract as in `depthwise.s`.
unsafe extern "C" {
    fn tadpool_dsp_gather(
        rows: *const [*const i8; LARGEST],
        pairs: *mut [i32; PAIRS],
        stride: usize,
        columns: usize,
        channel: usize,
    );
    fn tadpool_dsp_taps(weights: *const [i8; WHOLE], taps: *mut i32);
    fn tadpool_dsp_convolve(windows: *const Windows);
}

/// Whether [`convolve`] takes windows of this size with a ring of any.
fn convolves([rows, columns]: [usize; 2], _ring_size: usize) -> bool {
    rows <= LARGEST && columns <= LARGEST
}

/// See [`Depthwise::prepare`]: columns lie in the scratch as pairs of halfwords.
pub(crate) fn prepare(step: &Depthwise<'_>, ring: &Ring<'_>, scratch: &mut [i32]) {
    if convolves(step.kernel, ring.slots.len()) {
        let padding = i32::from(step.padding);
        scratch.fill(padding << 16 | padding & 0xffff);
    } else {
        portable::depthwise::prepare(step, ring, scratch);
    }
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
    let Some((taps, pairs)) = scratch.split_at_mut_checked(TAPS) else {
        return;
    };
    let pairs = pairs.as_chunks_mut::<PAIRS>().0;
    let left = columns / 2;
    // Windows are taken a few at a time, and each has seven columns.
    let read = width.div_ceil(AT_ONCE) * AT_ONCE + LARGEST - 1;
    if width == 0 || pairs.len() < read || ring.slots.len() < rows * row_size {
        return;
    }
    let slots = ring.slots.as_mut_ptr();
    // Rows that the window does not have meet weights of zero.
    let row = |row: usize| {
        let slot = (ring.oldest + row.min(rows - 1)) % rows;
        slots.wrapping_add(slot * row_size)
    };
    let oldest = row(0);
    let rows: [*const i8; LARGEST] = core::array::from_fn(|at| row(at).cast_const());
    let mut padded = [0; WHOLE];
    let all = step.windows();
    let constants = step.bias.iter().zip(step.multiplier);
    for (channel, (window, (&bias, &multiplier))) in all.zip(constants).enumerate().take(channels) {
        let weights = whole_window(window, step.kernel, &mut padded);
        let windows = Windows {
            pairs: pairs.as_ptr(),
            taps: taps.as_ptr(),
            bias,
            left: width,
            multiplier,
            zero: step.zero,
            out: oldest.wrapping_add(channel),
            stride: channels,
        };
        // SAFETY: every slot holds `width` tokens of `channels` values, of which one is
        // read or written; `pairs` has the columns that are written, from `left` on, and
        // those that are read, and `taps` as many words as there are pairs of weights.
        unsafe {
            tadpool_dsp_gather(
                &rows,
                pairs.as_mut_ptr().add(left),
                channels,
                width,
                channel,
            );
            tadpool_dsp_taps(weights, taps.as_mut_ptr());
            tadpool_dsp_convolve(&windows);
        }
    }
}
