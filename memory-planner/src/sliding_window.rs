//! How far an output may lie over the input that it is computed from.

/// One direction of a sliding window.
///
/// Output `o` reads the inputs `o * stride - padding .. o * stride - padding + window`,
/// as far as they exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    /// The number of inputs.
    pub inputs: u32,
    /// The number of outputs.
    pub outputs: u32,
    /// How many inputs a window spans.
    pub window: u32,
    /// How many inputs a window advances from one output to the next.
    pub stride: u32,
    /// How many inputs the first window begins before the first input.
    pub padding: u32,
}

impl Axis {
    /// One input that gives one output: what the other direction is if whole rows are
    /// read and written.
    pub const SINGLE: Self = Self {
        inputs: 1,
        outputs: 1,
        window: 1,
        stride: 1,
        padding: 0,
    };

    /// The first input that some output from `output` on reads, and the last output that
    /// reads it.
    fn first_read_from(&self, output: u64) -> Option<(u64, u64)> {
        let last = u64::from(self.outputs).checked_sub(1)?;
        let (padding, stride) = (u64::from(self.padding), u64::from(self.stride.max(1)));
        if output > last || self.window == 0 {
            return None;
        }
        // Places count from the start of the padding. The window of `output` begins at
        // its place, so that is the first one unless it lies in the padding.
        let mut place = (output * stride).max(padding);
        let mut reader = (place / stride).min(last);
        if place - reader * stride >= u64::from(self.window) {
            // Between two windows, or after the last one.
            reader += 1;
            place = reader * stride;
        }
        let input = place - padding;
        (reader <= last && input < u64::from(self.inputs)).then_some((input, reader))
    }
}

/// An operation that reads windows of an input and writes an output, both in raster
/// order.
///
/// Input and output are grids of tokens without gaps, rows first. Output token by output
/// token, the operation reads the tokens under the window and then writes the output
/// token. With `tile_tokens` above 1 it reads the windows of so many output tokens before
/// it writes all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlidingWindow {
    /// From one row to the next.
    pub rows: Axis,
    /// Along a row. [`Axis::SINGLE`] if a token is a whole row.
    pub columns: Axis,
    /// The size of one input token.
    pub in_token_bytes: u64,
    /// The size of one output token.
    pub out_token_bytes: u64,
    /// How many output tokens are computed before they are written; at least 1.
    pub tile_tokens: u32,
}

impl SlidingWindow {
    /// An operation that reads whole rows and writes whole rows.
    pub const fn of_rows(rows: Axis, in_row_bytes: u64, out_row_bytes: u64) -> Self {
        Self {
            rows,
            columns: Axis::SINGLE,
            in_token_bytes: in_row_bytes,
            out_token_bytes: out_row_bytes,
            tile_tokens: 1,
        }
    }

    /// The size of the input in bytes, saturating.
    pub const fn in_bytes(&self) -> u64 {
        bytes(
            &[self.rows.inputs, self.columns.inputs],
            self.in_token_bytes,
        )
    }

    /// The size of the output in bytes, saturating.
    pub const fn out_bytes(&self) -> u64 {
        bytes(
            &[self.rows.outputs, self.columns.outputs],
            self.out_token_bytes,
        )
    }
}

const fn bytes(counts: &[u32; 2], token_bytes: u64) -> u64 {
    (counts[0] as u64)
        .saturating_mul(counts[1] as u64)
        .saturating_mul(token_bytes)
}

/// The most output tokens for which the distance is computed.
const MOST_TOKENS: u64 = 1 << 26;

/// The number of bytes for
/// [`Relation::MayOverlap`](crate::Relation::MayOverlap) with the output as `lower` and
/// the input as `upper`.
///
/// Wherever `out.offset + out.size <= in.offset + bytes`, no byte of the input is
/// overwritten before its last reader has read it; at one byte more, one is. After each
/// tile, the output that is written so far has to end at or below the first input token
/// that is still to be read; the result is the smallest room that any tile leaves.
///
/// An operation that writes earlier or reads later than [`SlidingWindow`] says needs
/// that much slack subtracted. More than 2^26 output tokens, or sizes above
/// [`MAX_BYTES`](crate::MAX_BYTES), give 0, which is always safe.
pub fn sliding_window_overlap(window: &SlidingWindow) -> u64 {
    let (in_bytes, out_bytes) = (window.in_bytes(), window.out_bytes());
    let columns = u64::from(window.columns.outputs);
    let tokens = columns * u64::from(window.rows.outputs);
    if tokens > MOST_TOKENS || in_bytes.max(out_bytes) > crate::MAX_BYTES {
        return 0;
    }
    if in_bytes == 0 || out_bytes == 0 {
        return in_bytes + out_bytes;
    }
    let tile = u64::from(window.tile_tokens.max(1));
    let row_tokens = u64::from(window.columns.inputs);
    let first_column = window.columns.first_read_from(0);
    // Where no tile has anything left to read, the output may even begin at the input's
    // end.
    let mut room = in_bytes + out_bytes;
    let mut written = tile;
    while written < tokens {
        let (row, column) = ((written - 1) / columns, (written - 1) % columns);
        // Unread tokens in the rows that this output row is the last to read come first.
        let unread = match window.rows.first_read_from(row) {
            Some((i, reader)) if reader == row => window
                .columns
                .first_read_from(column + 1)
                .map(|(j, _)| (i, j)),
            _ => None,
        };
        let below = || Some((window.rows.first_read_from(row + 1)?.0, first_column?.0));
        if let Some((i, j)) = unread.or_else(below) {
            let unread = (i * row_tokens + j) * window.in_token_bytes;
            let still_to_write = (tokens - written) * window.out_token_bytes;
            room = room.min(unread + still_to_write);
        }
        written += tile;
    }
    room
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// Runs the operation on a memory that holds, for every byte, the input byte that is
    /// still there, with the output's end `overlap` bytes above the input's start.
    /// Returns whether every read found the input intact.
    fn survives(window: &SlidingWindow, overlap: u64) -> bool {
        let (in_bytes, out_bytes) = (window.in_bytes() as i64, window.out_bytes() as i64);
        let out_start = overlap as i64 - out_bytes;
        let mut intact: Vec<bool> = (0..in_bytes).map(|_| true).collect();
        let outputs: Vec<(i64, i64)> = (0..i64::from(window.rows.outputs))
            .flat_map(|r| (0..i64::from(window.columns.outputs)).map(move |c| (r, c)))
            .collect();
        let inputs_of = |axis: &Axis, output: i64| {
            let start = output * i64::from(axis.stride) - i64::from(axis.padding);
            start.max(0)..(start + i64::from(axis.window)).min(i64::from(axis.inputs))
        };
        let mut written = 0;
        for tile in outputs.chunks(window.tile_tokens as usize) {
            for &(r, c) in tile {
                for i in inputs_of(&window.rows, r) {
                    for j in inputs_of(&window.columns, c) {
                        let token = i * i64::from(window.columns.inputs) + j;
                        let start = token as usize * window.in_token_bytes as usize;
                        let end = start + window.in_token_bytes as usize;
                        if intact[start..end].contains(&false) {
                            return false;
                        }
                    }
                }
            }
            for _ in 0..tile.len() as u64 * window.out_token_bytes {
                if let Ok(address) = usize::try_from(out_start + written)
                    && address < intact.len()
                {
                    intact[address] = false;
                }
                written += 1;
            }
        }
        true
    }

    /// Safe at the distance and at everything below it, unsafe at one byte more.
    fn check(window: &SlidingWindow) {
        let overlap = sliding_window_overlap(window);
        let most = window.in_bytes() + window.out_bytes();
        for smaller in [overlap, overlap.saturating_sub(1), overlap / 2, 0] {
            assert!(
                survives(window, smaller),
                "{window:?} breaks at {smaller} of {overlap}"
            );
        }
        assert!(
            overlap == most || !survives(window, overlap + 1),
            "{window:?} at {overlap}"
        );
    }

    /// The axes of all kernels 1 to 7, strides 1 to 4 and paddings up to the kernel.
    fn axes(inputs: u32) -> impl Iterator<Item = Axis> {
        (1..=7_u32).flat_map(move |window| {
            (1..=4_u32).flat_map(move |stride| {
                (0..window).filter_map(move |padding| {
                    let room = (inputs + 2 * padding).checked_sub(window)?;
                    Some(Axis {
                        inputs,
                        outputs: room / stride + 1,
                        window,
                        stride,
                        padding,
                    })
                })
            })
        })
    }

    #[test]
    fn rows_are_safe_and_tight() {
        for inputs in [1, 2, 5, 8, 13] {
            for rows in axes(inputs) {
                for (in_row_bytes, out_row_bytes) in [(1, 1), (6, 6), (6, 4), (5, 7), (3, 12)] {
                    check(&SlidingWindow::of_rows(rows, in_row_bytes, out_row_bytes));
                }
            }
        }
    }

    #[test]
    fn tokens_and_tiles_are_safe_and_tight() {
        for (height, width) in [(5, 7), (6, 3)] {
            for rows in axes(height) {
                for columns in axes(width).filter(|c| c.window == rows.window) {
                    if columns.stride != rows.stride && columns.window > 2 {
                        continue;
                    }
                    for tile_tokens in [1, 3, 100] {
                        for (in_token_bytes, out_token_bytes) in [(2, 2), (1, 3)] {
                            check(&SlidingWindow {
                                rows,
                                columns,
                                in_token_bytes,
                                out_token_bytes,
                                tile_tokens,
                            });
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn an_elementwise_operation_may_run_in_place() {
        let axis = Axis {
            inputs: 10,
            outputs: 10,
            window: 1,
            stride: 1,
            padding: 0,
        };
        assert_eq!(
            sliding_window_overlap(&SlidingWindow::of_rows(axis, 8, 8)),
            80
        );
    }

    #[test]
    fn geometries_without_sense_are_harmless() {
        let axis = Axis {
            inputs: 4,
            outputs: 9,
            window: 0,
            stride: 0,
            padding: 3,
        };
        for (rows, columns) in [(axis, Axis::SINGLE), (Axis::SINGLE, axis), (axis, axis)] {
            for bytes in [0, 1, u64::MAX] {
                sliding_window_overlap(&SlidingWindow {
                    rows,
                    columns,
                    in_token_bytes: bytes,
                    out_token_bytes: 1,
                    tile_tokens: 0,
                });
            }
        }
    }
}
