//! A window of each channel, gathered column by column.

use crate::arch::cast;
use crate::arithmetic::depthwise::{AT_ONCE, Depthwise, Ring, Starts, padded_rows};
use crate::arithmetic::fixed::{requantize, saturate_i8};
use crate::present::{Present, missing};

/// See [`Depthwise::prepare`].
#[inline(always)]
pub(crate) fn prepare(step: &Depthwise<'_>, _ring: &Ring<'_>, scratch: &mut [i32]) {
    cast::words_as_i8s_mut(scratch).fill(step.padding);
}

/// See [`Depthwise::row`].
#[inline(always)]
pub(crate) fn row<S: Starts>(
    step: &Depthwise<'_>,
    starts: &S,
    ring: &mut Ring<'_>,
    scratch: &mut [i32],
) {
    let [rows, columns] = step.window;
    let (column_size, channels) = (padded_rows(rows), ring.channels.max(1));
    let gathered = cast::words_as_i8s_mut(scratch);
    let weights = step.windows().zip(starts.channels());
    for (channel, (weights, (start, multiplier))) in weights.enumerate() {
        for row in 0..rows {
            let inside = gathered
                .chunks_exact_mut(column_size.max(1))
                .skip(columns / 2);
            let values = ring.row_mut((ring.oldest + row) % rows.max(1));
            let values = values.iter().skip(channel).step_by(channels);
            for (column, &value) in inside.zip(values) {
                match column.get_mut(row) {
                    Some(place) => *place = value,
                    None => missing(),
                }
            }
        }
        let width = ring.width;
        let row = ring.row_mut(ring.oldest);
        starts.each_run(start, width, |first, count, start| {
            // The last few may have columns that nobody asks for: there is room.
            let run = row
                .get_mut(first * channels..(first + count) * channels)
                .present();
            let tokens = run.chunks_mut((AT_ONCE * channels).max(1));
            for (turn, tokens) in tokens.enumerate() {
                let windows = gathered.get((first + turn * AT_ONCE) * column_size..);
                let sums = dots(weights, windows.present(), column_size);
                let values = tokens.iter_mut().skip(channel).step_by(channels);
                for (q, sum) in values.zip(sums) {
                    let acc = requantize(sum.wrapping_add(start), multiplier);
                    *q = saturate_i8(acc.saturating_add(step.zero));
                }
            }
        });
    }
}

/// The products of a window's weights with [`AT_ONCE`] windows of `values`, each a
/// column behind the one before. A function of its own, so that it has all registers.
#[inline(never)]
fn dots(weights: &[i8], values: &[i8], column_size: usize) -> [i32; AT_ONCE] {
    let mut sums = [0i32; AT_ONCE];
    let windows = |at: usize| values.get(at * column_size..).present().iter();
    let windows = windows(0).zip(windows(1)).zip(windows(2)).zip(windows(3));
    for (&w, (((&a, &b), &c), &d)) in weights.iter().zip(windows) {
        for (sum, x) in sums.iter_mut().zip([a, b, c, d]) {
            *sum = sum.wrapping_add(i32::from(w) * i32::from(x));
        }
    }
    sums
}
