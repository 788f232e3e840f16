//! A depthwise embedding: each channel of a map is reduced by a window of its own, of any
//! stride, to a map whose place may overlap the one that is read.
//!
//! A strided depthwise convolution, an average pool and a max pool between stages. Only the
//! places of a window that lie inside the map are taken:
//!
//! ```text
//! sum      acc = sum of weight_c * 256 (q - zero_point)
//! mean     acc = sum of 256 (q - zero_point)
//! maximum  acc = largest 256 q
//!
//! q' = multiplier * acc + offset_c
//! ```
//!
//! Tokens are written one after the other, each after its window was read, so the memory
//! planner may place the output over what no later window reads.
//!
//! # Constants from real numbers
//!
//! With `w ~ weight_scale_c * weights` and `b` for a convolution's weights and bias, and the
//! scales and zero points of the maps that are read (`x`) and written:
//!
//! ```text
//! sum      multiplier = x_scale * weight_scale / written_scale        per channel     Q24
//!          offset     = b / written_scale + written_zero + half       per channel     Q16
//! mean     multiplier = x_scale / (written_scale * n)                 per count n     Q24
//!          offset     = written_zero + half                           one             Q16
//! maximum  multiplier = x_scale / written_scale                       one             Q24
//!          offset     = written_zero + half - multiplier * x_zero     one             Q16
//! ```
//!
//! where `n` counts the places inside the map, from one to all of the window, unless
//! padding counts. Half a step is `1 / 2`, or `1 / 512` of a stream of 16 bits.

use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::layout::Kernel;
#[cfg(feature = "visit")]
use crate::arithmetic::layout::Layout;
use crate::arithmetic::norm::Stats;
use crate::arithmetic::stream::Stream;
use crate::present::Present;
use crate::steps::Step;
use crate::steps::progress::{Piece, Progress};
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// Constants of one depthwise embedding.
#[derive(Debug, Clone, Copy)]
pub struct DepthwiseEmbedding<'a> {
    /// The map that is read.
    pub input: Buffer,
    /// The map that is written.
    pub output: Buffer,
    /// At least [`scratch_size`] bytes, 4-byte aligned.
    pub scratch: Buffer,
    /// Rows, columns and channels of the input.
    pub input_shape: [usize; 3],
    /// Rows, columns and channels of the output; as many channels.
    pub output_shape: [usize; 3],
    /// Rows and columns of a window, at most [`MOST_PLACES`] places.
    pub window: [usize; 2],
    /// Step between windows, down and across.
    pub stride: [usize; 2],
    /// Rows of padding at the top and columns at the left.
    pub padding: [usize; 2],
    /// The operation on the values of a window.
    pub reduction: Reduction,
    /// `window x channels`, channel fastest; empty unless the reduction is a sum.
    pub weights: &'a [i8],
    /// The input's value that stands for zero.
    pub zero_point: i32,
    /// Q24; one per channel of a sum, one for each number of places inside the map of a mean,
    /// else one.
    pub multiplier: &'a [i32],
    /// Zero points and half a step, Q16; one per channel of a sum, else one.
    pub offset: &'a [i32],
}

/// The operation on the values of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum, each with a weight: a convolution.
    Sum,
    /// Their mean.
    Mean,
    /// The largest one.
    Maximum,
}

fields!(step depthwise_embedding::DepthwiseEmbedding<'_>:
    input, output, scratch, input_shape, output_shape, window, stride, padding, reduction,
    weights, zero_point, multiplier, offset);
variants!(depthwise_embedding::Reduction: Sum, Mean, Maximum);

/// Most places of a window: so many products fit an accumulator.
pub const MOST_PLACES: usize = 256;

/// Scratch bytes that a run needs.
pub const fn scratch_size(channels: usize) -> usize {
    channels.saturating_mul(4)
}

impl DepthwiseEmbedding<'_> {
    fn check<I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        let [.., channels] = self.input_shape;
        let [.., outputs] = self.output_shape;
        ensure(channels > 0 && channels == outputs)?;
        let (input, output) = (volume(&self.input_shape), volume(&self.output_shape));
        ensure(output > 0 && self.output.size == output.saturating_mul(O::BYTES))?;
        ensure(self.input.size == input.saturating_mul(I::BYTES))?;
        let places = volume(&self.window);
        ensure((1..=MOST_PLACES).contains(&places))?;
        ensure(i8::try_from(self.zero_point).is_ok())?;
        let (weights, multipliers, offsets) = match self.reduction {
            Reduction::Sum => (places * channels, channels, channels),
            Reduction::Mean => (0, places, 1),
            Reduction::Maximum => (0, 1, 1),
        };
        ensure(self.weights.len() == weights)?;
        ensure(self.multiplier.len() == multipliers && self.offset.len() == offsets)
    }
}

impl Step for DepthwiseEmbedding<'_> {
    fn input(&self) -> Buffer {
        self.input
    }

    fn output(&self) -> Buffer {
        self.output
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        let [.., channels] = self.input_shape;
        scratch_size(channels)
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        self.check::<I, O>()?;
        self.scratch.holds(self.scratch_size::<I, O>())
    }

    fn advance<K: Kernel, I: Stream, O: Stream>(
        &self,
        _stats: &Stats,
        progress: &mut Progress,
        most: usize,
        arena: &mut [u8],
    ) -> Result<bool, Fault> {
        advance::<I, O>(self, progress, most, arena)
    }
}

#[cfg(feature = "visit")]
impl Described for DepthwiseEmbedding<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        false
    }

    fn function(&self, _call: &Call) -> Function {
        Function {
            path: "depthwise_embedding::run",
            parameters: &[Parameter::Input, Parameter::Output],
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

/// Runs the step from a map of values `I` to one of values `O`, and returns the sums of what
/// was written.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<I: Stream, O: Stream>(
    step: &DepthwiseEmbedding<'_>,
    arena: &mut [u8],
) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance::<I, O>(step, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` tokens that are written; returns whether it is
/// complete.
///
/// # Errors
/// As [`run`].
pub fn advance<I: Stream, O: Stream>(
    step: &DepthwiseEmbedding<'_>,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    step.check::<I, O>()?;
    let [rows, columns, channels] = step.output_shape;
    let total = rows * columns;
    let piece = Piece::next(progress, total, most, 1);
    let mut written = progress.written;
    for token in piece.first..piece.end {
        let (map, mut scratch) = arena::map_and_scratch(arena, &step.input, &step.scratch)?;
        let sums = arena::cut(&mut scratch, channels)?;
        // Not zero, as was checked; said again where the compiler sees it.
        let place = [token / columns.max(1), token % columns.max(1)];
        let count = reduce::<I>(step, place, I::values(map)?, sums);

        let output = Buffer {
            offset: step.output.offset + token * channels * O::BYTES,
            size: channels * O::BYTES,
        };
        let (output, mut scratch) = arena::map_and_scratch(arena, &output, &step.scratch)?;
        let sums = arena::cut(&mut scratch, channels)?;
        let multiplier = match step.reduction {
            // A window beside the map has no places, and a sum of zero.
            Reduction::Mean => step.multiplier.get(count.saturating_sub(1)..count.max(1)),
            Reduction::Sum | Reduction::Maximum => Some(step.multiplier),
        };
        let multiplier = multiplier.present().iter().cycle();
        let constants = multiplier.zip(step.offset.iter().cycle());
        let values = O::values_mut(output)?.iter_mut().zip(&*sums);
        for ((value, &sum), (&multiplier, &offset)) in values.zip(constants) {
            let total = i64::from(sum) * i64::from(multiplier);
            O::store(value, total + (i64::from(offset) << 16), &mut written);
        }
    }
    Ok(progress.reach(piece.end, total, written))
}

/// Reduces the window of the token at row and column `place`; the number of its places that
/// lie inside the map.
#[inline(never)]
fn reduce<I: Stream>(
    step: &DepthwiseEmbedding<'_>,
    [row, column]: [usize; 2],
    map: &[I::Value],
    sums: &mut [i32],
) -> usize {
    let [height, width, channels] = step.input_shape;
    let [window_rows, window_columns] = step.window;
    let zero = match step.reduction {
        Reduction::Sum | Reduction::Mean => step.zero_point << 8,
        Reduction::Maximum => 0,
    };
    let lowest = match step.reduction {
        Reduction::Sum | Reduction::Mean => 0,
        Reduction::Maximum => i32::from(i16::MIN),
    };
    arena::clear(sums, lowest);
    // No network has a stride for which these wrap, and every access is checked.
    let top = row
        .wrapping_mul(step.stride[0])
        .wrapping_sub(step.padding[0]);
    let left = column.wrapping_mul(step.stride[1]);
    let left = left.wrapping_sub(step.padding[1]);
    let mut count = 0;
    for down in 0..window_rows {
        let y = top.wrapping_add(down);
        if y >= height {
            continue;
        }
        for across in 0..window_columns {
            let x = left.wrapping_add(across);
            if x >= width {
                continue;
            }
            count += 1;
            let start = (y * width + x) * channels;
            let token = map.get(start..start + channels).present();
            let values = sums.iter_mut().zip(token);
            let values = values.map(|(sum, &value)| (sum, I::widened(value) - zero));
            match step.reduction {
                Reduction::Sum => {
                    let start = (down * window_columns + across) * channels;
                    let weights = step.weights.get(start..start + channels);
                    for ((sum, value), &weight) in values.zip(weights.present()) {
                        *sum = sum.wrapping_add(i32::from(weight) * value);
                    }
                }
                Reduction::Mean => {
                    for (sum, value) in values {
                        *sum = sum.wrapping_add(value);
                    }
                }
                Reduction::Maximum => {
                    for (sum, value) in values {
                        *sum = (*sum).max(value);
                    }
                }
            }
        }
    }
    count
}
