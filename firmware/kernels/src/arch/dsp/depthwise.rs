//! The depthwise convolution with the DSP extension: the inner loops of
//! `depthwise.s`.

#![allow(unsafe_code)]

use super::depthwise_3x3;
use crate::arch::portable;
use crate::arithmetic::depthwise::{
    AT_ONCE, Depthwise, LARGEST, Ring, Starts, WHOLE, whole_window,
};
use crate::present::missing;

assembly!("depthwise.s");

/// The arguments of the loop over one channel's windows; the assembly has the same
/// offsets.
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

offsets!(Windows: pairs 0, taps 4, bias 8, left 12, multiplier 16, zero 20, out 24,
    stride 28; 32);

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
    if depthwise_3x3::takes(step.window, ring.width) {
        // Its loop has no columns in the scratch.
    } else if convolves(step.window, ring.slots.len()) {
        let padding = i32::from(step.padding);
        scratch.fill(padding << 16 | padding & 0xffff);
    } else {
        portable::depthwise::prepare(step, ring, scratch);
    }
}

/// See [`Depthwise::row`].
pub(crate) fn row<S: Starts>(
    step: &Depthwise<'_>,
    starts: &S,
    ring: &mut Ring<'_>,
    scratch: &mut [i32],
) {
    if depthwise_3x3::takes(step.window, ring.width) {
        depthwise_3x3::row(step, starts, ring);
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
    let Some((taps, pairs)) = scratch.split_at_mut_checked(TAPS) else {
        return missing();
    };
    let pairs = pairs.as_chunks_mut::<PAIRS>().0;
    let left = columns / 2;
    // Windows are taken a few at a time, from any of them on, and each has seven columns.
    let read = width + AT_ONCE + LARGEST - 2;
    if width == 0 || pairs.len() < read || ring.slots.len() < rows * row_size {
        return missing();
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
    let all = all.zip(starts.channels()).enumerate();
    for (channel, (window, (start, multiplier))) in all.take(channels) {
        let weights = whole_window(window, step.window, &mut padded);
        starts.each_run(start, width, |first, count, bias| {
            debug_assert!(count > 0 && first + count <= width);
            let windows = Windows {
                pairs: pairs.as_ptr().wrapping_add(first),
                taps: taps.as_ptr(),
                bias,
                left: count,
                multiplier,
                zero: step.zero,
                out: oldest.wrapping_add(first * channels + channel),
                stride: channels,
            };
            // SAFETY: every slot holds `width` tokens of `channels` values, of which one is
            // read or written; the runs of `Starts` lie within them and are not empty.
            // `pairs` has the columns that are written, from `left` on, and those that are
            // read, and `taps` as many words as there are pairs of weights.
            unsafe {
                if first == 0 {
                    let inside = pairs.as_mut_ptr().add(left);
                    tadpool_dsp_gather(&rows, inside, channels, width, channel);
                    tadpool_dsp_taps(weights, taps.as_mut_ptr());
                }
                tadpool_dsp_convolve(&windows);
            }
        });
    }
}
