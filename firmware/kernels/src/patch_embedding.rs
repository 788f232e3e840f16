//! Patch embedding and downsampling: a convolution whose output may overwrite
//! its input.
//!
//! Windows are gathered for one tile of tokens at a time, so no im2col of the
//! whole map exists. Output tokens are written in order, each tile after its
//! windows were read; the memory planner places the output below the input,
//! far enough that no input byte is overwritten before its last reader.

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::fixed::{requantize, saturate_i8};
use crate::matmul::dot;
use crate::norm::{Partial, Stats};

/// Constants of one patch embedding.
#[derive(Debug, Clone, Copy)]
pub struct PatchEmbedding<'a> {
    /// The map or image that is read.
    pub input: Buffer,
    /// The map that is written.
    pub output: Buffer,
    /// At least [`PatchEmbedding::scratch_size`] bytes, 2-byte aligned.
    pub scratch: Buffer,
    /// Rows, columns and channels of the input.
    pub input_shape: [usize; 3],
    /// Rows, columns and channels of the output.
    pub output_shape: [usize; 3],
    /// Rows and columns of a window.
    pub kernel: [usize; 2],
    /// Step between windows, down and across.
    pub stride: [usize; 2],
    /// Rows of padding at the top and columns at the left.
    pub padding: [usize; 2],
    /// Tokens gathered at a time.
    pub tile_tokens: usize,
    /// `0x80` if the input is `u8` pixels, which are read as `pixel - 128`; else 0.
    pub flip: u8,
    /// Value per input channel that stands for zero.
    pub pad: &'a [i8],
    /// `outputs x (kernel rows * kernel columns * channels)`, two's complement.
    pub weights: &'a [u8],
    /// Accumulator start per output, zero points folded in.
    pub bias: &'a [i32],
    /// Multiplier per output, Q32.
    pub multiplier: &'a [i32],
    /// Zero point of the output.
    pub zero_point: i32,
}

impl PatchEmbedding<'_> {
    /// Scratch bytes that a run needs, for windows of `inputs` values.
    pub const fn scratch_size(inputs: usize, tile_tokens: usize) -> usize {
        2 * tile_tokens * inputs
    }
}

/// Runs the step and returns the sums of what was written.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run(step: &PatchEmbedding<'_>, arena: &mut [u8]) -> Result<Stats, Fault> {
    let [rows, columns, channels] = step.output_shape;
    let [.., input_channels] = step.input_shape;
    let inputs = volume(&[step.kernel[0], step.kernel[1], input_channels]);
    let output_size = step.output.of(arena)?.len();
    ensure(output_size > 0 && output_size == volume(&step.output_shape))?;
    ensure(inputs > 0 && step.weights.len() == volume(&[inputs, channels]))?;
    ensure(step.bias.len() == channels && step.multiplier.len() == channels)?;
    ensure(step.input.size == volume(&step.input_shape) && step.pad.len() == input_channels)?;
    let tokens = rows * columns;

    let mut written = Stats::default();
    let (mut row, mut column, mut done) = (0, 0, 0);
    while done < tokens {
        let count = step.tile_tokens.clamp(1, tokens - done);
        let (input, mut scratch) = arena::disjoint(arena, step.input, step.scratch)?;
        let tile = arena::take_i16s(&mut scratch, volume(&[count, inputs]))?;
        for window in tile.chunks_exact_mut(inputs.max(1)) {
            gather(step, input, row, column, window)?;
            column += 1;
            if column == columns {
                (row, column) = (row + 1, 0);
            }
        }

        let output = Buffer {
            offset: step.output.offset + done * channels,
            size: count * channels,
        };
        let (output, mut scratch) = arena::disjoint(arena, output, step.scratch)?;
        let tile = arena::take_i16s(&mut scratch, count * inputs)?;
        written.merge(embed(step, tile, inputs, cast::i8s_mut(output)));
        done += count;
    }
    Ok(written)
}

/// Copies the window of one output token, padding included.
fn gather(
    step: &PatchEmbedding<'_>,
    input: &[u8],
    row: usize,
    column: usize,
    window: &mut [i16],
) -> Result<(), Fault> {
    let [height, width, channels] = step.input_shape;
    let [_, kernel_columns] = step.kernel;
    let [stride_down, stride_across] = step.stride;
    let [top, left] = step.padding;

    // In window columns: `skipped` lie left of the map, `inside` on it.
    let first = column.saturating_mul(stride_across);
    let skipped = left.saturating_sub(first).min(kernel_columns);
    let start = first.saturating_sub(left).min(width);
    let inside = (width - start).min(kernel_columns - skipped);

    for (y, line) in window
        .chunks_exact_mut((kernel_columns * channels).max(1))
        .enumerate()
    {
        let Some(y) = row
            .saturating_mul(stride_down)
            .saturating_add(y)
            .checked_sub(top)
            .filter(|&y| y < height)
        else {
            fill(line, step.pad);
            continue;
        };
        let (before, rest) = split(line, skipped * channels)?;
        let (middle, after) = split(rest, inside * channels)?;
        let offset = (y * width + start) * channels;
        let values = input
            .get(offset..offset + middle.len())
            .ok_or(Fault::Geometry)?;
        fill(before, step.pad);
        for (wide, &value) in middle.iter_mut().zip(values) {
            *wide = i16::from((value ^ step.flip) as i8);
        }
        fill(after, step.pad);
    }
    Ok(())
}

fn split(line: &mut [i16], at: usize) -> Result<(&mut [i16], &mut [i16]), Fault> {
    line.split_at_mut_checked(at).ok_or(Fault::Geometry)
}

fn fill(line: &mut [i16], pad: &[i8]) {
    for token in line.chunks_exact_mut(pad.len().max(1)) {
        for (wide, &value) in token.iter_mut().zip(pad) {
            *wide = i16::from(value);
        }
    }
}

/// The product of every window with every output channel's weights.
fn embed(step: &PatchEmbedding<'_>, tile: &[i16], inputs: usize, output: &mut [i8]) -> Partial {
    let [.., channels] = step.output_shape;
    let rows = cast::i8s(step.weights).chunks_exact(inputs.max(1));
    let tokens = output.chunks_exact_mut(channels.max(1));
    let mut written = Partial::default();
    for (token, window) in tokens.zip(tile.chunks_exact(inputs.max(1))) {
        let constants = step.bias.iter().zip(step.multiplier);
        for ((q, row), (&bias, &multiplier)) in token.iter_mut().zip(rows.clone()).zip(constants) {
            let acc = bias.wrapping_add(dot(row, window));
            *q = saturate_i8(requantize(acc, multiplier).saturating_add(step.zero_point));
            written.add(*q);
        }
    }
    written
}
