//! A norm that is written out: normalised tokens as int8 values.
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

use crate::arch::cast;
use crate::arena::Fault;
use crate::fixed::{requantize, saturate_i8};
use crate::layout::Kernel;
use crate::matmul::row_size;
use crate::norm::{Norm, NormScale, Stats};
use crate::stream::Stream;

/// Constants of a norm that is written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normed {
    /// Which values share a mean and a deviation.
    pub scope: NormScope,
    /// Of the whole map or of one token.
    pub norm: Norm,
    /// Steps of the normalised values for a deviation of one, Q12.
    pub multiplier: i32,
}

/// Which values share a mean and a deviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormScope {
    /// The whole map: GroupNorm with one group.
    Map,
    /// The channels of each token: LayerNorm.
    Token,
}

/// A norm of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Normaliser<'a> {
    normed: &'a Normed,
    /// Mean and factor of a whole map.
    map: [i32; 2],
}

/// Rows that are normalised before they become part of a tile.
const ROWS: usize = 2;

/// Scratch bytes of the rows that [`Normaliser::expand`] needs.
pub(crate) const fn rows_size(channels: usize) -> usize {
    ROWS * row_size(channels)
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
    /// Normalises one token.
    pub(crate) fn token<S: Stream>(&self, token: &[S::Value], normed: &mut [i8]) {
        let [mean, factor] = match self.normed.scope {
            NormScope::Map => self.map,
            NormScope::Token => {
                let norm = &self.normed.norm;
                self.normed.affine(&S::norm(&S::sums(token), norm))
            }
        };
        for (n, &value) in normed.iter_mut().zip(token) {
            let value: i32 = value.into();
            let centred = (value << (16 - S::FRACTION)) - mean;
            *n = saturate_i8(requantize(centred, factor));
        }
    }

    /// Normalises the tokens of a tile and puts them into it; `rows` holds
    /// [`rows_size`] bytes.
    pub(crate) fn expand<K: Kernel, S: Stream>(
        &self,
        tokens: &[u8],
        channels: usize,
        rows: &mut [i8],
        tile: &mut [i32],
    ) -> Result<(), Fault> {
        let row_size = row_size(channels).max(1);
        let pairs = S::values(tokens)?.chunks((ROWS * channels).max(1));
        for (pair, first) in pairs.zip((0..).step_by(ROWS)) {
            let mut size = 0;
            let pair = pair.chunks(channels.max(1));
            for (token, row) in pair.zip(rows.chunks_mut(row_size)) {
                self.token::<S>(token, row);
                size += row_size;
            }
            let rows = rows.get(..size).ok_or(Fault::Buffer)?;
            K::expand(rows, row_size, channels, first, tile);
        }
        Ok(())
    }
}

/// The rows that [`Normaliser::expand`] needs, cut off the head of a scratch buffer.
pub(crate) fn rows<'a>(
    scratch: &mut &'a mut [i32],
    channels: usize,
) -> Result<&'a mut [i8], Fault> {
    let rows = crate::arena::cut(scratch, rows_size(channels) / 4)?;
    Ok(cast::words_as_i8s_mut(rows))
}
