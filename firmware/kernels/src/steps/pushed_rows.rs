//! An image that is pushed in row by row, as a camera without a frame buffer gives it.
//!
//! The first patch embedding runs as rows arrive: the arena holds as many rows of the
//! image as the window is high, and every row of tokens is computed as soon as its
//! last row of pixels is there. The bytes written are those of the whole image's run.

use crate::Fault;
use crate::arena::{Buffer, ensure, volume};
use crate::arithmetic::norm::Stats;
use crate::steps::patch_embedding::PatchEmbedding;

/// How much of an image was pushed, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pushed {
    /// Bytes of the image so far.
    bytes: usize,
    /// Rows of tokens that are written.
    rows: usize,
    /// Sums of these.
    stats: Stats,
}

/// Bytes of the rows that are held.
pub const fn window_size(window_rows: usize, width: usize, channels: usize) -> usize {
    window_rows * width * channels
}

impl Pushed {
    /// Nothing of an image.
    pub const fn new() -> Self {
        Self {
            bytes: 0,
            rows: 0,
            stats: Stats {
                sum: 0,
                sum_of_squares: 0,
            },
        }
    }

    /// Bytes of the image that were pushed.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The sums of the whole map, once all of the image was pushed; the next image
    /// begins with this.
    ///
    /// # Errors
    /// [`Fault::NoImage`] if some of the image is missing.
    pub fn take(&mut self, step: &PatchEmbedding<'_>) -> Result<Stats, Fault> {
        if self.bytes != volume(&step.input_shape) {
            return Err(Fault::NoImage);
        }
        Ok(core::mem::take(self).stats)
    }
}

/// As [`push`], for bytes that lie `start` behind the image's first; `0` begins a new
/// image.
///
/// # Errors
/// [`Fault::Geometry`] if they do not follow those before them; else as [`push`].
pub fn put(
    step: &PatchEmbedding<'_>,
    pushed: &mut Pushed,
    start: usize,
    bytes: &[u8],
    arena: &mut [u8],
    run: impl Fn(&PatchEmbedding<'_>, &mut [u8]) -> Result<Stats, Fault>,
) -> Result<(), Fault> {
    if start == 0 {
        *pushed = Pushed::new();
    }
    ensure(start == pushed.bytes)?;
    push(step, pushed, bytes, arena, run)
}

/// Takes the next bytes of the image, of whole rows or of parts.
///
/// `step` is that of the whole image, but its `input` has [`window_size`] bytes, and
/// `run` is the kernel that would run it.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match, or if these are more bytes than
/// the image has.
pub fn push(
    step: &PatchEmbedding<'_>,
    pushed: &mut Pushed,
    mut bytes: &[u8],
    arena: &mut [u8],
    run: impl Fn(&PatchEmbedding<'_>, &mut [u8]) -> Result<Stats, Fault>,
) -> Result<(), Fault> {
    let [height, width, channels] = step.input_shape;
    let row_size = volume(&[width, channels]);
    ensure(row_size > 0 && step.input.size == volume(&[step.window[0], row_size]))?;
    ensure(bytes.len() <= volume(&[height, row_size]).saturating_sub(pushed.bytes))?;
    while !bytes.is_empty() {
        let (row, at) = (
            pushed.bytes / row_size.max(1),
            pushed.bytes % row_size.max(1),
        );
        let (now, rest) = bytes.split_at(bytes.len().min(row_size - at));
        // A row between two windows is not held at all.
        if let Some(place) = row.checked_sub(first_row(step, pushed.rows)) {
            let start = place * row_size + at;
            // The length as a length, so that the copy is seen to fit.
            let window = step.input.of_mut(arena)?.get_mut(start..);
            let place = window.and_then(|window| window.get_mut(..now.len()));
            place.ok_or(Fault::Geometry)?.copy_from_slice(now);
        }
        pushed.bytes += now.len();
        bytes = rest;
        if at + now.len() == row_size {
            write_rows(step, pushed, row + 1, arena, &run)?;
        }
    }
    Ok(())
}

/// The first row of the image that the window of a row of tokens holds.
fn first_row(step: &PatchEmbedding<'_>, row: usize) -> usize {
    // No network has a stride for which this wraps, and every access is checked.
    row.wrapping_mul(step.stride[0])
        .saturating_sub(step.padding[0])
}

/// Writes the rows of tokens that `received` rows of the image suffice for.
fn write_rows(
    step: &PatchEmbedding<'_>,
    pushed: &mut Pushed,
    received: usize,
    arena: &mut [u8],
    run: &impl Fn(&PatchEmbedding<'_>, &mut [u8]) -> Result<Stats, Fault>,
) -> Result<(), Fault> {
    let [height, width, channels] = step.input_shape;
    let [output_rows, output_width, outputs] = step.output_shape;
    let row_size = width * channels;
    let output_size = step.output.size / output_rows.max(1);
    while pushed.rows < output_rows {
        let (first, down) = (
            first_row(step, pushed.rows),
            pushed.rows.wrapping_mul(step.stride[0]),
        );
        let end = down
            .wrapping_add(step.window[0])
            .saturating_sub(step.padding[0])
            .min(height);
        if end > received {
            break;
        }
        let rows = end.saturating_sub(first);
        let row = PatchEmbedding {
            input: Buffer {
                size: rows * row_size,
                ..step.input
            },
            output: Buffer {
                offset: step.output.offset + pushed.rows * output_size,
                size: output_size,
            },
            input_shape: [rows, width, channels],
            output_shape: [1, output_width, outputs],
            padding: [step.padding[0].saturating_sub(down), step.padding[1]],
            ..*step
        };
        pushed.stats.add_all(run(&row, arena)?);
        pushed.rows += 1;
        // What the next window does not hold makes room.
        let passed = first_row(step, pushed.rows)
            .wrapping_sub(first)
            .wrapping_mul(row_size);
        let held = received.saturating_sub(first) * row_size;
        if passed < held {
            let window = step.input.of_mut(arena)?.get_mut(..held);
            window.ok_or(Fault::Geometry)?.copy_within(passed.., 0);
        }
    }
    Ok(())
}
