//! The scratch of a self-attention.

use crate::arch::cast;
use crate::arena::{self, Fault};
use crate::arithmetic::int16;
use crate::arithmetic::matmul::{row_size, rows_size, tile_words};
use crate::steps::channel_mlp::tiles;

/// Tokens of a tile in the layouts that have most.
const MOST_TOKENS: usize = 4;

/// Dimensions of a self-attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dims {
    pub(super) tokens: usize,
    pub(super) channels: usize,
    pub(super) heads: usize,
    pub(super) head_size: usize,
    pub(super) tile_tokens: usize,
}

/// The parts of the scratch, but for what weights of four bits are unpacked to.
pub(super) struct Memory<'a> {
    /// A matrix a head: an output a token, and outputs of zeros up to a whole group.
    pub(super) keys: &'a mut [u8],
    /// A matrix a head: an input a token.
    pub(super) values: &'a mut [u8],
    /// Of normalised tokens, then of attended ones.
    pub(super) tiles: &'a mut [i32],
    /// Of one head's queries, then of their weights.
    pub(super) tile: &'a mut [i32],
    /// Normalised tokens before they become part of a tile.
    pub(super) normed: &'a mut [i8],
    /// Weights of a row of scores: their high bytes, then their low ones.
    pub(super) weights: &'a mut [i8],
    /// Keys and values, or queries that become attended values, of a few tokens.
    pub(super) rows: &'a mut [i8],
    /// Scores of a tile.
    pub(super) scores: &'a mut [i32],
    /// Sums of a tile.
    pub(super) sums: &'a mut [i32],
    /// Starts of sums that start at zero.
    pub(super) zeros: &'a [i32],
    /// Starts and multipliers of queries, keys and values.
    pub(super) qkv: &'a mut [i32],
    /// Starts and multipliers of the projection.
    pub(super) projection: &'a mut [i32],
}

impl Dims {
    /// Values of all heads.
    pub(super) const fn inner(&self) -> usize {
        self.heads.saturating_mul(self.head_size)
    }

    /// Outputs of the keys' matrices: a multiple of every layout's group.
    pub(super) const fn outputs(&self) -> usize {
        self.tokens.saturating_add(3) / 4 * 4
    }

    /// Words of each of the tiles.
    pub(super) const fn tile_words(&self) -> usize {
        tile_words(larger(self.channels, self.inner()))
    }

    /// Words of every part.
    const fn sizes(&self) -> [usize; 12] {
        let (tokens, inner, outputs) = (self.tokens, self.inner(), self.outputs());
        let count = tiles(self.tile_tokens);
        let sums = self.head_size.saturating_mul(MOST_TOKENS);
        [
            matrices(self.heads, outputs, self.head_size),
            matrices(self.heads, self.head_size, tokens),
            self.tile_words().saturating_mul(count),
            tile_words(larger(tokens, self.head_size)),
            rows_size(self.channels) / 4,
            row_size(tokens).saturating_mul(2) / 4,
            inner
                .saturating_mul(2 * MOST_TOKENS)
                .saturating_mul(count)
                .div_ceil(4),
            outputs.saturating_mul(MOST_TOKENS),
            larger(sums, int16::sums_size(self.channels, inner) / 4),
            larger(outputs, self.head_size).saturating_mul(2),
            inner.saturating_mul(6),
            self.channels.saturating_mul(2),
        ]
    }

    /// Bytes of all parts.
    pub(super) const fn bytes(&self) -> usize {
        let sizes = self.sizes();
        let (mut words, mut left) = (0usize, &sizes as &[usize]);
        while let [size, rest @ ..] = left {
            (words, left) = (words.saturating_add(*size), rest);
        }
        words.saturating_mul(4)
    }
}

impl<'a> Memory<'a> {
    /// Cuts the parts off the head of `scratch`; what has to be zero is made so if a run
    /// `begins`.
    pub(super) fn new(
        dims: &Dims,
        scratch: &mut &'a mut [i32],
        begins: bool,
    ) -> Result<Self, Fault> {
        let [
            keys,
            values,
            tiles,
            tile,
            normed,
            weights,
            rows,
            scores,
            sums,
            zeros,
            qkv,
            projection,
        ] = dims.sizes();
        // Padding stays zero; the rest is put in later.
        let keys = cleared(scratch, keys, begins)?;
        let values = cleared(scratch, values, begins)?;
        let zeros = cleared(scratch, zeros, begins)?;
        Ok(Self {
            keys: cast::bytes_mut(cast::words_as_i8s_mut(keys)),
            values: cast::bytes_mut(cast::words_as_i8s_mut(values)),
            tiles: arena::cut(scratch, tiles)?,
            tile: arena::cut(scratch, tile)?,
            normed: cast::words_as_i8s_mut(arena::cut(scratch, normed)?),
            weights: cast::words_as_i8s_mut(arena::cut(scratch, weights)?),
            rows: cast::words_as_i8s_mut(arena::cut(scratch, rows)?),
            scores: arena::cut(scratch, scores)?,
            sums: arena::cut(scratch, sums)?,
            zeros,
            qkv: arena::cut(scratch, qkv)?,
            projection: arena::cut(scratch, projection)?,
        })
    }
}

/// Words that are zero when a run `begins`.
fn cleared<'a>(
    scratch: &mut &'a mut [i32],
    count: usize,
    begins: bool,
) -> Result<&'a mut [i32], Fault> {
    let words = arena::cut(scratch, count)?;
    if begins {
        arena::clear(words, 0);
    }
    Ok(words)
}

/// Words of a matrix for every head, in any layout.
const fn matrices(heads: usize, outputs: usize, inputs: usize) -> usize {
    let size = outputs.saturating_mul(row_size(inputs));
    heads.saturating_mul(size) / 4
}

const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}
