//! Patch embedding and downsampling: a convolution whose output may overwrite
//! its input.
//!
//! Windows are gathered for a few tokens at a time, so no im2col of the whole
//! map exists. Output tokens are written in order, `tile_tokens` or a multiple
//! of it at a time after their windows were read; the memory planner places the
//! output below the input, far enough that no input byte is overwritten before
//! its last reader.

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::layout::Kernel;
#[cfg(feature = "visit")]
use crate::arithmetic::layout::Layout;
use crate::arithmetic::matmul::{Layer, row_size, tile_words};
use crate::arithmetic::norm::Stats;
use crate::arithmetic::stream::{Int8, Stream, Width, sums_size};
use crate::arithmetic::weights::{Weights, part_outputs};
use crate::present::{Present, missing};
use crate::steps::Step;
use crate::steps::progress::{Piece, Progress};
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// Constants of one patch embedding.
#[derive(Debug, Clone, Copy)]
pub struct PatchEmbedding<'a> {
    /// The map or image that is read.
    pub input: Buffer,
    /// The map that is written.
    pub output: Buffer,
    /// At least [`PatchEmbedding::scratch_size`] bytes, 4-byte aligned, as well
    /// as [`crate::int16::sums_size`] if the output is 16 bits wide, and
    /// [`crate::weights::unpacked_size`] if the weights are four bits wide.
    pub scratch: Buffer,
    /// Rows, columns and channels of the input.
    pub input_shape: [usize; 3],
    /// Rows, columns and channels of the output.
    pub output_shape: [usize; 3],
    /// Rows and columns of a window.
    pub window: [usize; 2],
    /// Step between windows, down and across.
    pub stride: [usize; 2],
    /// Rows of padding at the top and columns at the left.
    pub padding: [usize; 2],
    /// Tokens that are gathered before the first of them is written, at least.
    pub tile_tokens: usize,
    /// `0x80` if the input is `u8` pixels, which are read as `pixel - 128`; else 0.
    pub flip: u8,
    /// Bits per input channel that are rounded away from 16-bit values, at most
    /// eight; empty if the input has eight bits.
    pub shift: &'a [u8],
    /// Value per input channel that stands for zero.
    pub pad: &'a [i8],
    /// `outputs x (window rows * window columns * channels)` in the step's
    /// layout, 4-byte aligned.
    pub weights: Weights<'a>,
    /// Accumulator start per output, zero points folded in.
    pub bias: &'a [i32],
    /// Multiplier per output, Q32.
    pub multiplier: &'a [i32],
    /// Zero point of the output.
    pub zero_point: i32,
}

fields!(step patch_embedding::PatchEmbedding<'_>:
    input, output, scratch, input_shape, output_shape, window, stride, padding,
    tile_tokens, flip, shift, pad, weights [|step| step.bias.len(), Step], bias, multiplier,
    zero_point);

impl PatchEmbedding<'_> {
    /// Scratch bytes that a run needs, for windows of `inputs` values and
    /// `outputs` channels, in any layout.
    pub const fn scratch_size(inputs: usize, outputs: usize, tile_tokens: usize) -> usize {
        8 * outputs + tiles(tile_tokens) * 4 * tile_words(inputs) + ROWS * row_size(inputs)
    }

    /// Values of a window.
    fn inputs(&self) -> usize {
        let [.., channels] = self.input_shape;
        volume(&[self.window[0], self.window[1], channels])
    }

    fn check<I: Width, O: Width>(&self) -> Result<usize, Fault> {
        let output_size = self.output.size;
        let [.., input_channels] = self.input_shape;
        let [.., channels] = self.output_shape;
        let inputs = volume(&[self.window[0], self.window[1], input_channels]);
        let (input_size, size) = (volume(&self.input_shape), volume(&self.output_shape));
        ensure(output_size > 0 && output_size == size.saturating_mul(O::BYTES))?;
        ensure(inputs > 0)?;
        ensure(self.bias.len() == channels && self.multiplier.len() == channels)?;
        ensure(self.input.size == input_size.saturating_mul(I::BYTES))?;
        ensure(self.pad.len() == input_channels)?;
        ensure(I::FRACTION == 0 || self.shift.len() == input_channels)?;
        Ok(inputs)
    }
}

impl Step for PatchEmbedding<'_> {
    fn input(&self) -> Buffer {
        self.input
    }

    fn output(&self) -> Buffer {
        self.output
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        let [.., channels] = self.output_shape;
        let inputs = self.inputs();
        let own = Self::scratch_size(inputs, channels, self.tile_tokens);
        own + sums_size::<O>(channels, inputs) + self.weights.unpacked_size(channels, inputs)
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        let [.., channels] = self.output_shape;
        self.check::<I, O>()?;
        self.weights.check(K::LAYOUT, channels, self.inputs())?;
        self.scratch.holds(Step::scratch_size::<I, O>(self))
    }

    fn advance<K: Kernel, I: Stream, O: Stream>(
        &self,
        _stats: &Stats,
        progress: &mut Progress,
        most: usize,
        arena: &mut [u8],
    ) -> Result<bool, Fault> {
        advance_mixed::<K, I, O>(self, progress, most, arena)
    }
}

#[cfg(feature = "visit")]
impl Described for PatchEmbedding<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        true
    }

    fn function(&self, call: &Call) -> Function {
        if call.int4 || [call.input, call.output].contains(&Values::Int16) {
            Function {
                path: "patch_embedding::run_mixed",
                parameters: &[Parameter::Layout, Parameter::Input, Parameter::Output],
            }
        } else {
            Function {
                path: "patch_embedding::run",
                parameters: &[Parameter::Layout],
            }
        }
    }

    fn output_field(&self) -> &'static str {
        "output"
    }

    fn reads_sums(&self) -> bool {
        false
    }

    fn units(&self, _input: Values) -> Option<usize> {
        let [height, width, _] = self.output_shape;
        Some(height * width)
    }
}

/// Rows that are gathered before they become part of a tile.
const ROWS: usize = 2;

/// Tiles that hold `tile_tokens` tokens.
const fn tiles(tile_tokens: usize) -> usize {
    if tile_tokens > 2 {
        tile_tokens.div_ceil(2)
    } else {
        1
    }
}

/// Runs the step and returns the sums of what was written.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match, or weights have four bits.
pub fn run<K: Kernel>(step: &PatchEmbedding<'_>, arena: &mut [u8]) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance::<K>(step, progress, most, arena))
}

/// The same for weights of any number of bits, from a map of values `I` to one
/// of values `O`.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run_mixed<K: Kernel, I: Stream, O: Stream>(
    step: &PatchEmbedding<'_>,
    arena: &mut [u8],
) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance_mixed::<K, I, O>(step, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` tokens that are written or one tile;
/// returns whether it is complete.
///
/// # Errors
/// As [`run`].
pub fn advance<K: Kernel>(
    step: &PatchEmbedding<'_>,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    advance_with::<K, Int8, Int8, false>(step, progress, most, arena)
}

/// The same as [`run_mixed`] runs it.
///
/// # Errors
/// As [`run_mixed`].
pub fn advance_mixed<K: Kernel, I: Stream, O: Stream>(
    step: &PatchEmbedding<'_>,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    advance_with::<K, I, O, true>(step, progress, most, arena)
}

fn advance_with<K: Kernel, I: Stream, O: Stream, const INT4: bool>(
    step: &PatchEmbedding<'_>,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    let inputs = step.check::<I, O>()?;
    let [.., channels] = step.output_shape;
    // Neither this nor what follows is zero, as was checked; said again where
    // the compiler sees it.
    let channels = channels.max(1);
    let tile_size = tile_words(inputs);
    let row_size = row_size(inputs).max(1);
    let count = tiles(step.tile_tokens);
    let sums_size = sums_size::<O>(channels, inputs) / 4;

    // The constants are written once and stay in the scratch.
    let sizes = [2 * channels, volume(&[count, tile_size])];
    if progress.begins() {
        let parts = Parts::of(arena, &step.output, &step.scratch, &sizes)?;
        K::constants(step.bias, step.multiplier, parts.constants);
    }

    let mut written = progress.written;
    let total = step.output.size / (channels * O::BYTES).max(1);
    // A multiple of `tile_tokens`, so that nothing is written earlier than the
    // planner allows.
    let at_once = K::TOKENS * count / step.tile_tokens.max(1) * step.tile_tokens.max(1);
    let piece = Piece::next(progress, total, most, at_once);
    let mut done = piece.first;
    while done < piece.end {
        let now = at_once.min(piece.end - done);
        let parts = Parts::of(arena, &step.input, &step.scratch, &sizes)?;
        let (input, tiles) = (parts.map, parts.tiles);
        let rows = cast::words_as_i8s_mut(parts.rows);
        let mut gathered = 0;
        for tile in tiles.chunks_mut(tile_size.max(1)) {
            for first in (0..K::TOKENS).step_by(ROWS) {
                let windows = rows.chunks_mut(row_size).take(ROWS.min(now - gathered));
                let mut size = 0;
                for window in windows {
                    let window = window.get_mut(..inputs).ok_or(Fault::Geometry)?;
                    gather::<I>(step, input, done + gathered, window)?;
                    (size, gathered) = (size + row_size, gathered + 1);
                }
                K::expand(rows.get(..size).present(), row_size, inputs, first, tile);
            }
        }

        let output = Buffer {
            offset: step.output.offset + done * channels * O::BYTES,
            size: now * channels * O::BYTES,
        };
        let Parts {
            map: output,
            constants,
            tiles,
            // The windows have become tiles, so their rows may be overwritten.
            rows: mut unpacked,
        } = Parts::of(arena, &output, &step.scratch, &sizes)?;
        let shape = [inputs, channels];
        let layer = Layer::new::<K, INT4>(step.weights, shape, constants, step.zero_point)?;
        let sums = arena::cut(&mut unpacked, sums_size)?;
        let outputs = if O::FRACTION > 0 {
            part_outputs(inputs)
        } else {
            layer.at_once()
        };
        let mut result = Ok(());
        layer.each_part::<K, INT4>(outputs, unpacked, |part| {
            let mut tiles = tiles.chunks(tile_size.max(1));
            for tokens in output.chunks_mut((K::TOKENS * channels * O::BYTES).max(1)) {
                if let Some(tile) = tiles.next() {
                    match O::write::<K>(part, step.multiplier, tile, sums, tokens) {
                        Ok(stats) => written.add_all(stats),
                        Err(fault) => result = Err(fault),
                    }
                } else {
                    missing();
                }
            }
        })?;
        result?;
        done += now;
    }
    Ok(progress.reach(done, total, written))
}

/// A map, and what lies in the scratch.
struct Parts<'a> {
    map: &'a mut [u8],
    constants: &'a mut [i32],
    tiles: &'a mut [i32],
    /// Rows that windows are gathered in; at least [`ROWS`].
    rows: &'a mut [i32],
}

impl<'a> Parts<'a> {
    #[inline(never)]
    fn of(
        arena: &'a mut [u8],
        map: &Buffer,
        scratch: &Buffer,
        &[constants, tiles]: &[usize; 2],
    ) -> Result<Self, Fault> {
        let (map, mut rows) = arena::map_and_scratch(arena, map, scratch)?;
        Ok(Self {
            map,
            constants: arena::cut(&mut rows, constants)?,
            tiles: arena::cut(&mut rows, tiles)?,
            rows,
        })
    }
}

/// Copies the window of one output token, padding included.
#[inline(never)]
fn gather<I: Stream>(
    step: &PatchEmbedding<'_>,
    input: &[u8],
    token: usize,
    window: &mut [i8],
) -> Result<(), Fault> {
    let [height, width, channels] = step.input_shape;
    let [_, columns, _] = step.output_shape;
    let (row, column) = (token / columns.max(1), token % columns.max(1));
    let [_, window_columns] = step.window;
    let [stride_down, stride_across] = step.stride;
    let [top, left] = step.padding;

    // No network has a stride for which these wrap. They would lead to other places of the
    // map, and every access is checked.
    let column = column.wrapping_mul(stride_across);
    let across = Span::new(column, left, window_columns, width);
    let (before, inside) = (across.skipped * channels, across.inside * channels);
    let pitch = width * channels;
    let mut y = row.wrapping_mul(stride_down).wrapping_sub(top);
    let mut first = y.wrapping_mul(pitch).wrapping_add(across.start * channels);
    for line in window.chunks_exact_mut((window_columns * channels).max(1)) {
        // Of a line above or below the map, all is after the map.
        let (before, inside) = if y < height { (before, inside) } else { (0, 0) };
        let (start, rest) = split(line, before)?;
        let (middle, end) = split(rest, inside)?;
        if !start.is_empty() {
            fill(start, step.pad);
        }
        if !middle.is_empty() {
            let values = input.get(first * I::BYTES..).ok_or(Fault::Geometry)?;
            I::read(middle, values, step.flip, step.shift)?;
        }
        if !end.is_empty() {
            fill(end, step.pad);
        }
        (y, first) = (y.wrapping_add(1), first.wrapping_add(pitch));
    }
    Ok(())
}

/// Where a window lies on one axis of the map.
struct Span {
    /// Places of the window before the map.
    skipped: usize,
    /// First place on the map, and how many.
    start: usize,
    inside: usize,
}

impl Span {
    #[inline(always)]
    fn new(first: usize, padding: usize, window: usize, size: usize) -> Self {
        let skipped = padding.saturating_sub(first).min(window);
        let start = first.saturating_sub(padding).min(size);
        Self {
            skipped,
            start,
            inside: (size - start).min(window - skipped),
        }
    }
}

#[inline(always)]
fn split(line: &mut [i8], at: usize) -> Result<(&mut [i8], &mut [i8]), Fault> {
    line.split_at_mut_checked(at).ok_or(Fault::Geometry)
}

/// Fills a line of tokens with the value of zero.
#[inline(never)]
fn fill(line: &mut [i8], pad: &[i8]) {
    for (q, &pad) in line.iter_mut().zip(pad.iter().cycle()) {
        *q = pad;
    }
}

/// Copies the head of `values`, a word at a time.
#[inline(never)]
pub(crate) fn copy(line: &mut [i8], values: &[u8], flip: u8) -> Result<(), Fault> {
    let values = values.get(..line.len()).ok_or(Fault::Geometry)?;
    let (words, tail) = cast::bytes_mut(line).as_chunks_mut::<4>();
    let (word_values, tail_values) = values.as_chunks::<4>();
    let flips = u32::from_ne_bytes([flip; 4]);
    for (word, &value) in words.iter_mut().zip(word_values) {
        *word = (u32::from_ne_bytes(value) ^ flips).to_ne_bytes();
    }
    for (q, &value) in tail.iter_mut().zip(tail_values) {
        *q = value ^ flip;
    }
    Ok(())
}
