//! The head: `linear(mean over tokens of norm(x))`.
//!
//! The mean over tokens commutes with the norm, so the head needs only the sum
//! of each channel:
//!
//! ```text
//! logit = multiplier / sigma * (weights . sums - row_sum * tokens * mean) + bias
//! ```
//!
//! Logits are Q16.16 numbers in the network's own units.

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::fixed::{half, narrow, round_shift};
use crate::arithmetic::layout::{Kernel, Layout};
use crate::arithmetic::norm::{Norm, NormScale, Stats};
use crate::arithmetic::stream::{Int8, Int16, Stream};
use crate::arithmetic::weights::Weights;
#[cfg(feature = "visit")]
use crate::network::TrainedHead;
use crate::present::missing;
use crate::steps::Step;
use crate::steps::progress::Progress;
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Values};

/// Constants of the head.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The last feature map, `tokens x channels`.
    pub map: Buffer,
    /// Four bytes a class, little-endian.
    pub output: Buffer,
    /// At least [`Head::scratch_size`] bytes, 4-byte aligned.
    pub scratch: Buffer,
    /// Positions of the map.
    pub tokens: usize,
    /// Values per token.
    pub channels: usize,
    /// The norm before the mean, if there is one.
    pub norm: Option<Norm>,
    /// Zero point of the map.
    pub zero_point: i8,
    /// `classes x channels`, in [`Layout::Rows`]; those of four bits 4-byte
    /// aligned.
    pub weights: Weights<'a>,
    /// Sum of each row of `weights`.
    pub row_sums: &'a [i32],
    /// `weight scale / tokens` per class for a deviation of one, Q36.
    pub multiplier: &'a [i32],
    /// Bias per class, Q16.
    pub bias: &'a [i32],
}

fields!(step head::Head<'_>:
    map, output, scratch, tokens, channels, norm, zero_point,
    weights [|step| step.bias.len(), Rows], row_sums, multiplier, bias);

impl Head<'_> {
    /// Scratch bytes that a run needs.
    pub const fn scratch_size(channels: usize) -> usize {
        4 * channels
    }

    fn check<S: Stream>(&self, map_size: usize) -> Result<(), Fault> {
        ensure(map_size > 0 && map_size == volume(&[self.tokens, self.channels, S::BYTES]))
    }
}

impl Step for Head<'_> {
    fn input(&self) -> Buffer {
        self.map
    }

    fn output(&self) -> Buffer {
        self.output
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        Self::scratch_size(self.channels)
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        self.check::<I>(self.map.size)?;
        let classes = self.bias.len();
        ensure(self.output.size == volume(&[4, classes]))?;
        ensure(self.row_sums.len() == classes && self.multiplier.len() == classes)?;
        self.weights.check(Layout::Rows, classes, self.channels)?;
        self.scratch.holds(Step::scratch_size::<I, O>(self))
    }

    fn advance<K: Kernel, I: Stream, O: Stream>(
        &self,
        stats: &Stats,
        progress: &mut Progress,
        _most: usize,
        arena: &mut [u8],
    ) -> Result<bool, Fault> {
        match I::FRACTION {
            0 => run_int4(self, stats, arena)?,
            _ => run_int16(self, stats, arena)?,
        }
        Ok(progress.pass(stats))
    }
}

#[cfg(feature = "visit")]
impl Described for Head<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        false
    }

    fn function(&self, call: &Call) -> Function {
        Function {
            path: match call.input {
                Values::Int8 if call.int4 => "head::run_int4",
                Values::Int8 => "head::run",
                Values::Int16 => "int16::head::run",
            },
            parameters: &[],
        }
    }

    fn output_field(&self) -> &'static str {
        "output"
    }

    fn trained_head(&self) -> Option<TrainedHead<'_>> {
        Some(TrainedHead::of_head(self))
    }
}

/// Runs the step; `stats` are those of the map.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match, or weights have four bits.
pub fn run(step: &Head<'_>, stats: &Stats, arena: &mut [u8]) -> Result<(), Fault> {
    run_with::<Int8, false>(step, stats, arena)
}

/// The same for weights of four bits.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run_int4(step: &Head<'_>, stats: &Stats, arena: &mut [u8]) -> Result<(), Fault> {
    run_with::<Int8, true>(step, stats, arena)
}

/// The same for a stream of 16 bits and weights of any number of bits.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run_int16(step: &Head<'_>, stats: &Stats, arena: &mut [u8]) -> Result<(), Fault> {
    run_with::<Int16, true>(step, stats, arena)
}

fn run_with<S: Stream, const INT4: bool>(
    step: &Head<'_>,
    stats: &Stats,
    arena: &mut [u8],
) -> Result<(), Fault> {
    let norm = match &step.norm {
        Some(norm) => S::norm(stats, norm),
        None => NormScale::identity(step.zero_point),
    };
    let (map, mut scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    step.check::<S>(map.len())?;
    let sums = arena::cut(&mut scratch, step.channels)?;
    arena::clear(sums, 0);
    for token in S::values(map)?.chunks_exact(step.channels.max(1)) {
        for (sum, &q) in sums.iter_mut().zip(token) {
            *sum = sum.wrapping_add(q.into());
        }
    }

    let (output, mut scratch) = arena::map_and_scratch(arena, &step.output, &step.scratch)?;
    let sums = arena::cut(&mut scratch, step.channels)?;
    let classes = step.bias.len();
    ensure(output.len() == volume(&[4, classes]))?;
    let (weights, row_size) = match step.weights {
        Weights::Int8(weights) => (weights, step.channels),
        Weights::Int4(weights) if INT4 => {
            (weights, Layout::Rows.packed_size_int4(1, step.channels))
        }
        Weights::Int4(_) => return Err(Fault::Geometry),
    };
    ensure(weights.len() == volume(&[classes, row_size]))?;
    ensure(step.row_sums.len() == classes && step.multiplier.len() == classes)?;
    let (logits, _) = output.as_chunks_mut::<4>();
    let mut rows = weights.chunks_exact(row_size.max(1));
    for (class, logit) in logits.iter_mut().enumerate() {
        let constants = (step.row_sums.get(class), step.multiplier.get(class));
        let constants = (constants, step.bias.get(class), rows.next());
        let ((Some(&row_sum), Some(&base)), Some(&bias), Some(row)) = constants else {
            missing();
            break;
        };
        let product = match step.weights {
            Weights::Int4(_) if INT4 => product_int4(row, sums),
            _ => product(cast::i8s(row), sums),
        };
        let mean = i64::from(norm.mean).wrapping_mul(step.tokens as i64);
        let mean = round_shift(mean.wrapping_mul(i64::from(row_sum)), 16 - S::FRACTION);
        let acc = S::whole(product.wrapping_sub(mean));
        // From Q36 to Q40, so that the shift by 24 leaves Q16.
        let scaled = i64::from(acc) * i64::from(norm.multiplier(base));
        let value = narrow(scaled + (i64::from(bias) << 24) + half(24), 24);
        *logit = value.to_le_bytes();
    }
    Ok(())
}

#[inline(always)]
pub(crate) fn product(row: &[i8], sums: &[i32]) -> i64 {
    row.iter().zip(sums).fold(0i64, |acc, (&weight, &sum)| {
        acc + i64::from(weight) * i64::from(sum)
    })
}

/// The product with weights of four bits: of every four bytes first the low
/// halves, then the high ones.
pub(crate) fn product_int4(row: &[u8], sums: &[i32]) -> i64 {
    let mut acc = 0;
    for (word, sums) in row.as_chunks::<4>().0.iter().zip(sums.chunks(8)) {
        let (low, high) = sums.split_at(sums.len().min(4));
        acc += product(&word.map(|byte| (byte << 4) as i8), low);
        acc += product(&word.map(|byte| (byte & 0xf0) as i8), high);
    }
    acc
}

/// The logits that [`run`] wrote, where they lie.
///
/// # Errors
/// A [`Fault`] if `output` does not hold `CLASSES` logits on a 4-byte boundary.
pub fn logits<const CLASSES: usize>(
    output: Buffer,
    arena: &[u8],
) -> Result<&[i32; CLASSES], Fault> {
    // The kernels are for little-endian machines.
    const { assert!(cfg!(target_endian = "little")) };
    let logits = cast::i32s(output.of(arena)?)?;
    logits.try_into().map_err(|_| Fault::Geometry)
}
