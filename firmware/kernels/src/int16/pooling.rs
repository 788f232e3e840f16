//! The pooling mixer on a 16-bit stream; see [`crate::pooling`].

use crate::arch::cast;
use crate::arena::{self, Fault, ensure, volume};
use crate::int16;
use crate::norm::{NormScale, Stats};
use crate::pooling::{Pooling, weight};

/// Scratch bytes that a run needs.
pub const fn scratch_size(width: usize, channels: usize) -> usize {
    (2 * width * channels).next_multiple_of(4)
}

/// Runs the step; `stats` are those of the map as it is read, and the sums of
/// what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run(step: &Pooling<'_>, stats: &Stats, arena: &mut [u8]) -> Result<Stats, Fault> {
    let [height, width, channels] = step.shape;
    let (map, scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    let map = cast::i16s_mut(map)?;
    ensure(!map.is_empty() && map.len() == volume(&step.shape))?;
    ensure(step.factor.len() == channels)?;
    let norm = NormScale::of_int16(stats, &step.norm);
    let row_size = width * channels;
    // Zeros above the first row.
    let above = cast::words_as_i16s_mut(scratch);
    let above = above.get_mut(..row_size).ok_or(Fault::Buffer)?;
    above.fill(0);

    let mut written = Stats::default();
    let mut rest = map;
    for y in 0..height {
        let row;
        (row, rest) = rest.split_at_mut_checked(row_size).ok_or(Fault::Geometry)?;
        let below = rest.get(..row_size).unwrap_or(&[]);
        let window_rows = 1 + i32::from(y > 0) + i32::from(!below.is_empty());
        for (channel, &base) in step.factor.iter().enumerate() {
            let mut column = Column {
                step,
                factor: step.factor(base, &norm),
                window_rows,
            };
            let row = row.get_mut(channel..).unwrap_or(&mut []);
            let above = above.get_mut(channel..).unwrap_or(&mut []);
            let below = below.get(channel..).unwrap_or(&[]);
            column.run(row, above, below, &mut written);
        }
    }
    Ok(written)
}

/// One channel along a row.
struct Column<'a> {
    step: &'a Pooling<'a>,
    factor: i32,
    window_rows: i32,
}

impl Column<'_> {
    /// `above` holds the row above as it was, and is left with this row as it
    /// was; `below` is empty at the bottom.
    fn run(&mut self, row: &mut [i16], above: &mut [i16], below: &[i16], written: &mut Stats) {
        let [_, width, channels] = self.step.shape;
        let (inner, edge) = (weight(3 * self.window_rows), weight(2 * self.window_rows));
        let offset = i64::from(self.step.offset) << 16;
        let (mut left, mut centre) = (0, vertical(row, above, below, 0));
        for x in 0..width {
            let at = x * channels;
            let last = x + 1 == width;
            let right = if last {
                0
            } else {
                vertical(row, above, below, at + channels)
            };
            let weight = match (x == 0, last) {
                (false, false) => inner,
                (true, true) => weight(self.window_rows),
                _ => edge,
            };
            if let Some(value) = row.get_mut(at) {
                let q = i32::from(*value);
                let e = (left + centre + right) * weight - 36 * q;
                let sum = i64::from(self.step.residual) * i64::from(q)
                    + i64::from(self.factor) * i64::from(e);
                written.add(int16::store(value, (sum << 8) + offset));
            }
            (left, centre) = (centre, right);
        }
    }
}

/// The sum of a column of the window, and `above` moved on by one row.
#[inline(always)]
fn vertical(row: &[i16], above: &mut [i16], below: &[i16], at: usize) -> i32 {
    let value = row.get(at).copied().unwrap_or(0);
    let below = below.get(at).copied().unwrap_or(0);
    let above = match above.get_mut(at) {
        Some(above) => core::mem::replace(above, value),
        None => 0,
    };
    i32::from(above) + i32::from(value) + i32::from(below)
}
