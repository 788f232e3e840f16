//! A head whose vector is kept in wide integers: the mean over tokens goes through
//! a norm of its own, a hidden layer, or both, before it is classified.
//!
//! ```text
//! v       = mean over tokens of x or of norm(x), or norm(mean over tokens of x)
//! v       = norm(activation(fc1(v)))            if there is a hidden layer
//! logits  = linear(v)
//! ```
//!
//! It is one vector, so precision costs little here: its values have 16 bits, and
//! 24 where a norm reads them. What a norm has written is at most the root of the
//! number of its values, so a step of that is known beforehand. Weights and biases of
//! norms are folded into the layer that follows.

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::fixed::{half, narrow, round_shift};
use crate::arithmetic::layout::{Kernel, Layout};
use crate::arithmetic::norm::{Norm, NormScale, Stats};
use crate::arithmetic::stream::Stream;
use crate::arithmetic::weights::Weights;
#[cfg(feature = "visit")]
use crate::network::TrainedHead;
use crate::present::missing;
use crate::steps::Step;
use crate::steps::head::{product, product_int4};
use crate::steps::progress::Progress;
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// Constants of one head.
#[derive(Debug, Clone, Copy)]
pub struct WideHead<'a> {
    /// The last feature map, `tokens x channels`.
    pub map: Buffer,
    /// Four bytes a class, little-endian.
    pub output: Buffer,
    /// At least [`WideHead::scratch_size`] bytes, 4-byte aligned.
    pub scratch: Buffer,
    /// Positions of the map, below `2^16`.
    pub tokens: usize,
    /// Values per token.
    pub channels: usize,
    /// The norm around the mean, if there is one. Without it the vector is the mean
    /// of the map in units of `q`, Q8.
    pub norm: Option<MeanNorm>,
    /// The hidden layer, if there is one.
    pub hidden: Option<HeadHidden<'a>>,
    /// To the logits, Q16.
    pub linear: WideLinear<'a>,
}

/// A norm before or behind the mean over tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeanNorm {
    /// Where it stands.
    pub place: NormPlace,
    /// How it is computed: of map and tokens in units of `q`, of the mean in units of
    /// `q / 256`.
    pub norm: VectorNorm,
}

/// Where a norm stands, and so which values share a mean and a deviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlace {
    /// Before the mean, of the whole map.
    Map,
    /// Before the mean, of each token.
    Token,
    /// Behind the mean, of its channels.
    Mean,
}

/// A norm whose results have 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorNorm {
    /// Of the values.
    pub norm: Norm,
    /// Steps of the normed values for a deviation of one, Q12.
    pub multiplier: i32,
}

/// The hidden layer of a head.
#[derive(Debug, Clone, Copy)]
pub struct HeadHidden<'a> {
    /// To the activation's input, in `0..=65535`.
    pub fc1: WideLinear<'a>,
    /// The activation at every 256th of its inputs; between two of them it is taken
    /// as a line.
    pub activation: &'a [i32; 257],
    /// The norm over the hidden values, in units of 256 of their steps.
    pub norm: Option<VectorNorm>,
}

/// A linear layer of a vector: `bias + multiplier * (weights . v)`.
#[derive(Debug, Clone, Copy)]
pub struct WideLinear<'a> {
    /// `outputs x inputs`, in [`Layout::Rows`]; those of four bits 4-byte aligned.
    pub weights: Weights<'a>,
    /// Per output.
    pub bias: &'a [i32],
    /// Per output, Q24; times the largest sum of products below `2^62`.
    pub multiplier: &'a [i32],
}

fields!(step wide_head::WideHead<'_>:
    map, output, scratch, tokens, channels, norm, hidden, linear);
fields!(part wide_head::MeanNorm: place, norm);
variants!(wide_head::NormPlace: Map, Token, Mean);
fields!(part wide_head::VectorNorm: norm, multiplier);
fields!(part wide_head::HeadHidden<'_>: fc1, activation, norm);
fields!(layer wide_head::WideLinear<'_>:
    weights [|linear| linear.bias.len(), Rows], bias, multiplier);

impl WideHead<'_> {
    /// Scratch bytes that a run needs; `hidden` is zero if there is no such layer.
    pub const fn scratch_size(channels: usize, hidden: usize) -> usize {
        4 * (channels + hidden)
    }

    fn check<S: Stream>(&self, map_size: usize) -> Result<(), Fault> {
        ensure(map_size > 0 && map_size == volume(&[self.tokens, self.channels, S::BYTES]))?;
        ensure(self.tokens < 1 << 16)
    }
}

impl Step for WideHead<'_> {
    fn input(&self) -> Buffer {
        self.map
    }

    fn output(&self) -> Buffer {
        self.output
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        let hidden = self
            .hidden
            .as_ref()
            .map_or(0, |hidden| hidden.fc1.bias.len());
        Self::scratch_size(self.channels, hidden)
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        self.check::<I>(self.map.size)?;
        let mut inputs = self.channels;
        if let Some(hidden) = &self.hidden {
            hidden.fc1.check(inputs, hidden.fc1.bias.len())?;
            inputs = hidden.fc1.bias.len();
        }
        ensure(self.output.size.is_multiple_of(4))?;
        self.linear.check(inputs, self.output.size / 4)?;
        self.scratch.holds(Step::scratch_size::<I, O>(self))
    }

    fn advance<K: Kernel, I: Stream, O: Stream>(
        &self,
        stats: &Stats,
        progress: &mut Progress,
        _most: usize,
        arena: &mut [u8],
    ) -> Result<bool, Fault> {
        run::<I>(self, stats, arena)?;
        Ok(progress.pass(stats))
    }
}

#[cfg(feature = "visit")]
impl Described for WideHead<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        false
    }

    fn function(&self, _call: &Call) -> Function {
        Function {
            path: "wide_head::run",
            parameters: &[Parameter::Input],
        }
    }

    fn output_field(&self) -> &'static str {
        "output"
    }

    fn trained_head(&self) -> Option<TrainedHead<'_>> {
        Some(TrainedHead::of_wide_head(self))
    }
}

/// Runs the step; `stats` are those of the map.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<S: Stream>(step: &WideHead<'_>, stats: &Stats, arena: &mut [u8]) -> Result<(), Fault> {
    let (map, mut scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    step.check::<S>(map.len())?;
    let vector = arena::cut(&mut scratch, step.channels)?;
    mean::<S>(step, stats, S::values(map)?, vector);

    let (output, mut scratch) = arena::map_and_scratch(arena, &step.output, &step.scratch)?;
    let mut vector = arena::cut(&mut scratch, step.channels)?;
    if let Some(hidden) = &step.hidden {
        let next = arena::cut(&mut scratch, hidden.fc1.bias.len())?;
        hidden.run(vector, next)?;
        vector = next;
    }
    step.linear.run(vector, cast::i32s_mut(output)?)
}

/// The mean over tokens, normed as the head says.
fn mean<S: Stream>(step: &WideHead<'_>, stats: &Stats, map: &[S::Value], vector: &mut [i32]) {
    arena::clear(vector, 0);
    let place = step.norm.as_ref().map(|norm| (norm.place, &norm.norm));
    let affine = |norm: &VectorNorm, stats: &Stats| {
        let scale = S::norm(stats, &norm.norm);
        [scale.mean, scale.multiplier(norm.multiplier)]
    };
    for token in map.chunks_exact(step.channels.max(1)) {
        let affine = match place {
            Some((NormPlace::Token, norm)) => Some(affine(norm, &S::sums(token))),
            _ => None,
        };
        for (sum, &value) in vector.iter_mut().zip(token) {
            let value: i32 = value.into();
            let value = match affine {
                Some(affine) => normalised(value << (16 - S::FRACTION), affine),
                None => value,
            };
            *sum = sum.wrapping_add(value);
        }
    }
    // Values of the map get 16 bits behind the point for a norm, 8 without one.
    let fraction = match place {
        Some((NormPlace::Token, _)) => 0,
        Some((NormPlace::Map | NormPlace::Mean, _)) => 16 - S::FRACTION,
        None => 8 - S::FRACTION,
    };
    // Not zero, as was checked.
    let tokens = step.tokens.max(1) as u64;
    let part = (((1 << 31) + tokens / 2) / tokens) as i64;
    for sum in vector.iter_mut() {
        let mean = round_shift(i64::from(*sum).wrapping_mul(part), 31 - fraction);
        *sum = narrow(mean, 0);
    }
    match place {
        // A norm of the whole map commutes with the mean.
        Some((NormPlace::Map, norm)) => {
            let affine = affine(norm, stats);
            for value in vector {
                *value = normalised(*value, affine);
            }
        }
        Some((NormPlace::Mean, norm)) => norm.run(vector),
        Some((NormPlace::Token, _)) | None => {}
    }
}

impl VectorNorm {
    /// Normalises values of up to 25 bits in units of their 256th.
    fn run(&self, values: &mut [i32]) {
        let mut stats = Stats::default();
        for &value in values.iter() {
            let value = i64::from(value);
            stats.sum = stats.sum.wrapping_add(value);
            let square = value.wrapping_mul(value) as u64;
            stats.sum_of_squares = stats.sum_of_squares.wrapping_add(square);
        }
        let scale = NormScale::of_int16(&stats, &self.norm);
        let factor = scale.multiplier(self.multiplier);
        for value in values {
            *value = centred((i64::from(*value) << 8) - i64::from(scale.mean), factor);
        }
    }
}

/// `(value - mean) * factor / 2^32`, all Q16, in 16 bits.
fn normalised(value: i32, [mean, factor]: [i32; 2]) -> i32 {
    centred(i64::from(value) - i64::from(mean), factor)
}

/// The same for a value less its mean.
fn centred(value: i64, factor: i32) -> i32 {
    let value = narrow(round_shift(value.wrapping_mul(factor.into()), 32), 0);
    value.clamp(i16::MIN.into(), i16::MAX.into())
}

impl HeadHidden<'_> {
    fn run(&self, vector: &[i32], hidden: &mut [i32]) -> Result<(), Fault> {
        self.fc1.run(vector, hidden)?;
        for value in hidden.iter_mut() {
            let index = (*value).clamp(0, u16::MAX.into());
            let entries = self.activation.get((index >> 8) as usize..);
            let Some(&[low, high, ..]) = entries else {
                missing();
                continue;
            };
            let slope = i64::from(high) - i64::from(low);
            let rise = round_shift(slope * i64::from(index & 0xff), 8);
            *value = low.wrapping_add(rise as i32);
        }
        if let Some(norm) = &self.norm {
            norm.run(hidden);
        }
        Ok(())
    }
}

impl WideLinear<'_> {
    fn check(&self, inputs: usize, outputs: usize) -> Result<(), Fault> {
        ensure([self.bias, self.multiplier].map(<[_]>::len) == [outputs; 2])?;
        self.weights.check(Layout::Rows, outputs, inputs)
    }

    fn run(&self, vector: &[i32], outputs: &mut [i32]) -> Result<(), Fault> {
        self.check(vector.len(), outputs.len())?;
        let row_size = match self.weights {
            Weights::Int8(_) => vector.len(),
            Weights::Int4(_) => Layout::Rows.packed_size_int4(1, vector.len()),
        };
        let weights = self.weights.bytes();
        let constants = self.bias.iter().zip(self.multiplier);
        let rows = weights.chunks_exact(row_size.max(1)).zip(constants);
        for (output, (row, (&bias, &multiplier))) in outputs.iter_mut().zip(rows) {
            let sum = match self.weights {
                Weights::Int8(_) => product(cast::i8s(row), vector),
                Weights::Int4(_) => product_int4(row, vector),
            };
            let scaled = sum.wrapping_mul(multiplier.into());
            let start = (i64::from(bias) << 24) + half(24);
            *output = narrow(scaled.wrapping_add(start), 24);
        }
        Ok(())
    }
}
