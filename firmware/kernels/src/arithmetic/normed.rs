//! A norm that is written out: normed tokens as int8 values.
//!
//! Where a norm cannot be folded into the layer that follows (each token has its own
//! mean and deviation, or what follows is no linear layer), a step normalises a few
//! tokens at a time into its scratch:
//!
//! ```text
//! n = saturate((q - mean) / sigma * multiplier)
//! ```
//!
//! with the norm's weight and bias folded into what reads it. The zero point is zero.

use crate::arena::Fault;
use crate::arithmetic::fixed::{requantize, saturate_i8};
use crate::arithmetic::layout::Kernel;
use crate::arithmetic::matmul::expand_rows;
use crate::arithmetic::norm::{Norm, NormScale, Stats};
use crate::arithmetic::stream::Stream;

/// Constants of a norm that is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normed {
    /// Which values share a mean and a deviation.
    pub scope: NormScope,
    /// Of the whole map or of one token; with [`Norm::FIXED`], of the whole map, values are
    /// taken as they are.
    pub norm: Norm,
    /// Steps of the normed values for a deviation of one, Q12.
    pub multiplier: i32,
}

fields!(part normed::Normed: scope, norm, multiplier);

/// Which values share a mean and a deviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormScope {
    /// The whole map: GroupNorm with one group.
    Map,
    /// The channels of each token: LayerNorm.
    Token,
}

variants!(normed::NormScope: Map, Token);

/// A norm of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Normaliser<'a> {
    normed: &'a Normed,
    /// Mean and factor of a whole map.
    map: [i32; 2],
}

impl Normed {
    /// The norm of a map with these sums.
    pub(crate) fn of<S: Stream>(&self, stats: &Stats) -> Normaliser<'_> {
        let map = match self.scope {
            NormScope::Map => self.affine(&S::norm(stats, &self.norm)),
            NormScope::Token => [0; 2],
        };
        Normaliser { normed: self, map }
    }

    /// Mean and factor, Q16.
    fn affine(&self, scale: &NormScale) -> [i32; 2] {
        [scale.mean, scale.multiplier(self.multiplier)]
    }
}

impl Normaliser<'_> {
    /// Mean and factor of one token, Q16.
    pub(crate) fn affine<S: Stream>(&self, token: &[S::Value]) -> [i32; 2] {
        match self.normed.scope {
            NormScope::Map => self.map,
            NormScope::Token => {
                let norm = &self.normed.norm;
                self.normed.affine(&S::norm(&S::sums(token), norm))
            }
        }
    }

    /// Normalises one token.
    pub(crate) fn token<S: Stream>(&self, token: &[S::Value], normed: &mut [i8]) {
        let affine = self.affine::<S>(token);
        for (n, &value) in normed.iter_mut().zip(token) {
            *n = normalise::<S>(value, affine);
        }
    }

    /// Normalises the tokens of a tile and puts them into it; `rows` holds
    /// [`rows_size`](crate::arithmetic::matmul::rows_size) bytes.
    pub(crate) fn expand<K: Kernel, S: Stream>(
        &self,
        tokens: &[u8],
        channels: usize,
        rows: &mut [i8],
        tile: &mut [i32],
    ) -> Result<(), Fault> {
        let tokens = S::values(tokens)?;
        expand_rows::<K, _>(tokens, channels, rows, tile, |token, row| {
            self.token::<S>(token, row);
        });
        Ok(())
    }
}

/// Normalises one value.
#[inline(always)]
pub(crate) fn normalise<S: Stream>(value: S::Value, [mean, factor]: [i32; 2]) -> i8 {
    let value: i32 = value.into();
    let centred = (value << (16 - S::FRACTION)).wrapping_sub(mean);
    saturate_i8(requantize(centred, factor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arithmetic::stream::{Int8, Int16};
    use proptest::prelude::*;
    use std::vec::Vec;

    const CHANNELS: usize = 7;

    /// Within half a step, and a little for the deviation's own rounding.
    fn check<S: Stream>(values: &[S::Value], normed: &Normed, stats: &Stats, found: &[i8]) {
        let real = |value: &S::Value| {
            let value: i32 = (*value).into();
            f64::from(value) / f64::from(1 << S::FRACTION)
        };
        let group = match normed.scope {
            NormScope::Map => values.len(),
            NormScope::Token => CHANNELS,
        };
        let norm = normed.of::<S>(stats);
        for (values, found) in values.chunks(group).zip(found.chunks(group)) {
            let count = values.len() as f64;
            let mean = values.iter().map(real).sum::<f64>() / count;
            let variance = values.iter().map(|value| (real(value) - mean).powi(2));
            let variance = variance.sum::<f64>() / count;
            let epsilon = normed.norm.epsilon as f64 / count.powi(2);
            let factor = f64::from(normed.multiplier) / 4096.0 / (variance + epsilon).sqrt();
            let tokens = values.chunks(CHANNELS).zip(found.chunks(CHANNELS));
            for (token, found) in tokens {
                let mut again = [0; CHANNELS];
                norm.token::<S>(token, &mut again);
                assert_eq!(again, found);
                for (value, &n) in token.iter().zip(found) {
                    let exact = ((real(value) - mean) * factor).clamp(-128.0, 127.0);
                    assert!((exact - f64::from(n)).abs() < 0.51, "{exact} {n}");
                }
            }
        }
    }

    fn normed(scope: NormScope, values: usize, multiplier: i32) -> Normed {
        let elements = match scope {
            NormScope::Map => values,
            NormScope::Token => CHANNELS,
        };
        Normed {
            scope,
            norm: Norm {
                elements: elements as u32,
                epsilon: 1000,
                about: None,
            },
            multiplier,
        }
    }

    fn written<S: Stream>(values: &[S::Value], normed: &Normed, stats: &Stats) -> Vec<i8> {
        let norm = normed.of::<S>(stats);
        let mut found = std::vec![0; values.len()];
        for (token, found) in values.chunks(CHANNELS).zip(found.chunks_mut(CHANNELS)) {
            norm.token::<S>(token, found);
        }
        found
    }

    proptest! {
        #[test]
        fn agrees_with_real_arithmetic(
            bytes in prop::collection::vec(any::<i8>(), 8 * CHANNELS),
            words in prop::collection::vec(any::<i16>(), 8 * CHANNELS),
            multiplier in 1_000..400_000i32,
        ) {
            for scope in [NormScope::Map, NormScope::Token] {
                let normed = normed(scope, bytes.len(), multiplier);
                let stats = Stats::of(&bytes);
                check::<Int8>(&bytes, &normed, &stats, &written::<Int8>(&bytes, &normed, &stats));
                let stats = Stats::of_int16(words.iter().copied());
                check::<Int16>(&words, &normed, &stats, &written::<Int16>(&words, &normed, &stats));
            }
        }
    }

    #[test]
    fn tokens_without_deviation_are_zeros() {
        for scope in [NormScope::Map, NormScope::Token] {
            let normed = normed(scope, 2 * CHANNELS, 400_000);
            let values = [i8::MIN; 2 * CHANNELS];
            let found = written::<Int8>(&values, &normed, &Stats::of(&values));
            assert!(found.iter().all(|&n| n == 0), "{found:?}");
        }
    }
}
