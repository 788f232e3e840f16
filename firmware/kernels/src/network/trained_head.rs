//! The trained head as whoever learns another one in its place needs it.

use crate::arch::cast;
use crate::arena::{Fault, ensure};
use crate::arithmetic::fixed::{narrow, round_shift, saturate_i32};
use crate::arithmetic::norm::{Norm, NormScale, Stats};
use crate::arithmetic::stream::{Int8, Int16, Stream};
use crate::arithmetic::weights::Weights;
use crate::steps::head::Head;
use crate::steps::wide_head::WideHead;

/// The linear layer that ends a network, and the vector that it reads.
///
/// The vector's values are **features**: 16 bits, 1024 steps a unit ([`FRACTION`]). A logit is
/// `bias + sum of weight * feature`, which is what the network's own logit is but for what
/// 16 bits round away. How large a unit is differs from head to head:
///
/// * the mean over tokens of a norm of the whole map: a deviation of that norm;
/// * the mean over tokens of the map itself: 32 of the map's quantization steps;
/// * of all other heads the steps in which the head computes, of at most 16 bits.
///
/// [`FRACTION`]: Self::FRACTION
#[derive(Debug, Clone, Copy)]
pub struct TrainedHead<'a>(Kind<'a>);

#[derive(Debug, Clone, Copy)]
enum Kind<'a> {
    Mean(&'a Head<'a>),
    Wide(&'a WideHead<'a>),
}

/// Bits by which the mean of a map without a norm is made smaller.
const UNNORMED: u32 = 5;

impl<'a> TrainedHead<'a> {
    /// Fractional bits of features.
    pub const FRACTION: u32 = 10;
    /// Fractional bits of weights: they lie between -8 and 8.
    pub const WEIGHT_FRACTION: u32 = 28;

    /// Of the mean of a map.
    #[doc(hidden)]
    pub const fn of_head(head: &'a Head<'a>) -> Self {
        Self(Kind::Mean(head))
    }

    /// Of a vector in wide integers.
    #[doc(hidden)]
    pub const fn of_wide_head(head: &'a WideHead<'a>) -> Self {
        Self(Kind::Wide(head))
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        match self.0 {
            Kind::Mean(head) => head.channels,
            Kind::Wide(head) => vector(head).1,
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        match self.0 {
            Kind::Mean(head) => head.bias.len(),
            Kind::Wide(head) => head.linear.bias.len(),
        }
    }

    /// A weight in steps of [`Self::WEIGHT_FRACTION`] bits, the nearest that 32 bits hold; none
    /// if there is no such class or feature.
    pub fn weight(&self, class: usize, feature: usize) -> Option<i32> {
        if feature >= self.features() {
            return None;
        }
        let (weights, multiplier) = match self.0 {
            Kind::Mean(head) => (head.weights, head.multiplier),
            Kind::Wide(head) => (head.linear.weights, head.linear.multiplier),
        };
        let weight = i64::from(weights.row_major(class, feature, self.features())?);
        let scaled = weight.wrapping_mul((*multiplier.get(class)?).into());
        let q28 = match self.0 {
            // The multiplier is Q36 and for a sum over tokens.
            Kind::Mean(head) => {
                let scaled = scaled.wrapping_mul(head.tokens as i64);
                round_shift(scaled, if is_normed(head) { 8 } else { 8 - UNNORMED })
            }
            // It is Q24, for logits in Q16.
            Kind::Wide(_) => round_shift(scaled, 2),
        };
        Some(saturate_i32(q28))
    }

    /// A bias in 65536ths of a logit's unit, if there is such a class.
    pub fn bias(&self, class: usize) -> Option<i32> {
        let biases = match self.0 {
            Kind::Mean(head) => head.bias,
            Kind::Wide(head) => head.linear.bias,
        };
        biases.get(class).copied()
    }

    /// Writes the features of the inference that has left `arena`.
    ///
    /// # Errors
    /// [`Fault::Geometry`] if `features` has another length than [`Self::features`].
    #[doc(hidden)]
    pub fn read(&self, arena: &[u8], features: &mut [i16]) -> Result<(), Fault> {
        ensure(features.len() == self.features())?;
        match self.0 {
            Kind::Mean(head) if head.map.size == head.tokens.saturating_mul(head.channels) => {
                read_mean::<Int8>(head, arena, features)
            }
            Kind::Mean(head) => read_mean::<Int16>(head, arena, features),
            Kind::Wide(head) => {
                let (start, length) = vector(head);
                let words = cast::i32s(head.scratch.of(arena)?)?;
                let words = words.get(start..).and_then(|words| words.get(..length));
                for (feature, &value) in features.iter_mut().zip(words.ok_or(Fault::Geometry)?) {
                    *feature = saturated(value);
                }
                Ok(())
            }
        }
    }
}

/// Where in the words of its scratch a head leaves the vector that its last layer reads, and
/// how long that is.
fn vector(head: &WideHead<'_>) -> (usize, usize) {
    match &head.hidden {
        None => (0, head.channels),
        Some(hidden) => (head.channels, hidden.fc1.bias.len()),
    }
}

fn is_normed(head: &Head<'_>) -> bool {
    !head.norm.as_ref().is_none_or(Norm::is_fixed)
}

/// `(sum / tokens - mean) / sigma` of each channel, whose sum the head has left in its scratch.
fn read_mean<S: Stream>(head: &Head<'_>, arena: &[u8], features: &mut [i16]) -> Result<(), Fault> {
    let scale = match &head.norm {
        Some(norm) if norm.is_fixed() => S::norm(&Stats::default(), norm),
        Some(norm) => S::norm(&S::sums(S::values(head.map.of(arena)?)?), norm),
        None => NormScale::identity(head.zero_point),
    };
    // One over the tokens, Q31.
    let tokens = head.tokens.max(1) as u64;
    let part = (((1 << 31) + tokens / 2) / tokens) as i64;
    let shift = if is_normed(head) { 30 } else { 30 + UNNORMED };
    let sums = cast::i32s(head.scratch.of(arena)?)?;
    ensure(sums.len() >= features.len())?;
    for (feature, &sum) in features.iter_mut().zip(sums) {
        let mean = round_shift(i64::from(sum).wrapping_mul(part), 15 + S::FRACTION);
        let distance = mean.wrapping_sub(scale.mean.into());
        let scaled = distance.wrapping_mul(scale.inv_sigma.into());
        *feature = saturated(narrow(round_shift(scaled, shift), 0));
    }
    Ok(())
}

fn saturated(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

impl Weights<'_> {
    /// A weight of a matrix with `inputs` columns in
    /// [`Layout::Rows`](crate::layout::Layout::Rows).
    fn row_major(self, output: usize, input: usize, inputs: usize) -> Option<i8> {
        use crate::layout::Layout::Rows;
        match self {
            Self::Int8(bytes) => {
                let row = bytes.get(output.checked_mul(inputs)?..)?;
                Some(*row.get(input)? as i8)
            }
            // Of every four bytes first the low halves, then the high ones.
            Self::Int4(bytes) => {
                let start = output.checked_mul(Rows.packed_size_int4(1, inputs))?;
                let byte = *bytes.get(start..)?.get(input / 8 * 4 + input % 4)?;
                Some(match input % 8 < 4 {
                    true => (byte << 4) as i8,
                    false => (byte & 0xf0) as i8,
                })
            }
        }
    }
}
