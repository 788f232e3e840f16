//! Random mixing: `res_scale * x + layer_scale * (M * norm(x))` with a fixed matrix
//! over the tokens, in place.
//!
//! A channel of the result needs that channel of all tokens and nothing else, so a
//! few channels are gathered at a time, normalised, as rows of the matrix product,
//! and written back. A sum is requantized twice: by its row's multiplier to a unit
//! that all rows share, then by its channel's factor as part of the stream:
//!
//! ```text
//! t  = requantize(M_i . n_c, multiplier_i)
//! q' = residual_c * q + factor_c * t + constant_i * beta_c + offset_c
//! ```
//!
//! The second sum is exact and rounded once. The unit is chosen by the host so that
//! `t` has as many bits as the sum of products: half a unit of `t` times the factor,
//! plus half a step of the factor itself, is all that is lost besides.

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::fixed::requantize;
use crate::arithmetic::layout::Kernel;
#[cfg(feature = "visit")]
use crate::arithmetic::layout::Layout;
use crate::arithmetic::matmul::{Layer, Linear, row_size, tile_words};
use crate::arithmetic::norm::Stats;
use crate::arithmetic::normed::{NormScope, Normed, normalise};
use crate::arithmetic::stream::Stream;
use crate::arithmetic::weights::Weights;
use crate::present::{Present, missing};
use crate::steps::Step;
use crate::steps::progress::{Piece, Progress};
#[cfg(feature = "visit")]
use crate::visit::{Call, Described, Function, Parameter, Values};

/// Constants of one random mixing.
#[derive(Debug, Clone, Copy)]
pub struct RandomMixing<'a> {
    /// The residual stream, `tokens x channels`, read and written.
    pub map: Buffer,
    /// At least [`RandomMixing::scratch_size`] bytes, 4-byte aligned, and
    /// [`crate::weights::unpacked_size`] for four-bit weights.
    pub scratch: Buffer,
    /// Tokens of the map.
    pub tokens: usize,
    /// Values per token.
    pub channels: usize,
    /// The norm before the mixer.
    pub normed: Normed,
    /// `matrix_rows(tokens) x tokens` in the step's layout, 4-byte aligned.
    pub weights: Weights<'a>,
    /// Per row of the map's tokens, Q32.
    pub multiplier: &'a [i32],
    /// Factor of the norm's bias in each row; empty if there is no bias.
    pub constant: &'a [i32],
    /// The norm's bias per channel, Q32 for one of `constant`; empty if there is none.
    pub beta: &'a [i32],
    /// Steps of the stream for one of `t` per channel, Q32.
    pub factor: &'a [i32],
    /// Steps of the written stream for one that is read, per channel, Q24.
    pub residual: &'a [i32],
    /// Zero points and half a step per channel, Q16.
    pub offset: &'a [i32],
}

fields!(step random_mixing::RandomMixing<'_>:
    map, scratch, tokens, channels, normed,
    weights [|step| matrix_rows(step.tokens), Step], multiplier, constant, beta, factor,
    residual, offset);

/// Rows of the matrix, with rows of zeros behind those of the tokens: as many as
/// every layout takes.
pub const fn matrix_rows(tokens: usize) -> usize {
    tokens.saturating_add(3) / 4 * 4
}

/// Channels that are gathered at a time by the layout with most of them.
const MOST_CHANNELS: usize = 4;

/// Rows of the matrix whose sums are taken together, a multiple of every layout's
/// group.
const SUMS: usize = 64;

/// Words of the sums of a few rows.
const fn sums_words(tokens: usize) -> usize {
    let rows = matrix_rows(tokens);
    MOST_CHANNELS * if rows < SUMS { rows } else { SUMS }
}

impl RandomMixing<'_> {
    /// Scratch bytes that a run needs, in any layout.
    pub const fn scratch_size(tokens: usize, scope: NormScope) -> usize {
        let rows = matrix_rows(tokens);
        let norms = 8 * norms(tokens, scope);
        let gathered = MOST_CHANNELS * row_size(tokens) + 4 * tile_words(tokens);
        norms + gathered + 8 * rows + 4 * sums_words(tokens)
    }

    fn check<S: Stream>(&self, map_size: usize) -> Result<(), Fault> {
        let (tokens, channels) = (self.tokens, self.channels);
        ensure(map_size > 0 && map_size == volume(&[tokens, channels, S::BYTES]))?;
        ensure(self.multiplier.len() == tokens)?;
        ensure([self.factor, self.residual, self.offset].map(<[_]>::len) == [channels; 3])?;
        let [constant, beta] = [self.constant, self.beta].map(<[_]>::len);
        ensure([constant, beta] == [0; 2] || [constant, beta] == [tokens, channels])
    }
}

impl Step for RandomMixing<'_> {
    fn input(&self) -> Buffer {
        self.map
    }

    fn output(&self) -> Buffer {
        self.map
    }

    fn scratch_size<I: Stream, O: Stream>(&self) -> usize {
        let unpacked = self
            .weights
            .unpacked_size(matrix_rows(self.tokens), self.tokens);
        Self::scratch_size(self.tokens, self.normed.scope) + unpacked
    }

    fn check<K: Kernel, I: Stream, O: Stream>(&self) -> Result<(), Fault> {
        self.check::<I>(self.map.size)?;
        self.weights
            .check(K::LAYOUT, matrix_rows(self.tokens), self.tokens)?;
        self.scratch.holds(Step::scratch_size::<I, O>(self))
    }

    fn advance<K: Kernel, I: Stream, O: Stream>(
        &self,
        stats: &Stats,
        progress: &mut Progress,
        most: usize,
        arena: &mut [u8],
    ) -> Result<bool, Fault> {
        advance::<K, I>(self, stats, progress, most, arena)
    }
}

#[cfg(feature = "visit")]
impl Described for RandomMixing<'_> {
    fn takes(&self, _layout: Layout, _input: Values) -> bool {
        true
    }

    fn is_fixed(&self) -> bool {
        self.normed.norm.is_fixed()
    }

    fn function(&self, _call: &Call) -> Function {
        Function {
            path: "random_mixing::run",
            parameters: &[Parameter::Layout, Parameter::Input],
        }
    }

    fn units(&self, _input: Values) -> Option<usize> {
        Some(self.channels)
    }
}

/// Means and factors that have to be kept: the tokens' own are gone once the first
/// channels are written.
const fn norms(tokens: usize, scope: NormScope) -> usize {
    match scope {
        NormScope::Map => 1,
        NormScope::Token => tokens,
    }
}

/// Runs the step on a stream of type `S`; `stats` are those of the map as it is read,
/// and the sums of what was written are returned.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<K: Kernel, S: Stream>(
    step: &RandomMixing<'_>,
    stats: &Stats,
    arena: &mut [u8],
) -> Result<Stats, Fault> {
    Progress::whole(|progress, most| advance::<K, S>(step, stats, progress, most, arena))
}

/// Runs a piece of the step, of at most `most` channels or one tile; returns whether it is
/// complete.
///
/// # Errors
/// As [`run`].
pub fn advance<K: Kernel, S: Stream>(
    step: &RandomMixing<'_>,
    stats: &Stats,
    progress: &mut Progress,
    most: usize,
    arena: &mut [u8],
) -> Result<bool, Fault> {
    let (map, mut scratch) = arena::map_and_scratch(arena, &step.map, &step.scratch)?;
    step.check::<S>(map.len())?;
    let map = S::values_mut(map)?;
    let (tokens, channels) = (step.tokens, step.channels);
    let (outputs, stride) = (matrix_rows(tokens), row_size(tokens));
    let norms = arena::cut(&mut scratch, 2 * norms(tokens, step.normed.scope))?;
    let (norms, _) = norms.as_chunks_mut::<2>();
    let gathered = arena::cut(&mut scratch, MOST_CHANNELS * stride / 4)?;
    let gathered = cast::words_as_i8s_mut(gathered);
    let tile = arena::cut(&mut scratch, tile_words(tokens))?;
    let constants = arena::cut(&mut scratch, 2 * outputs)?;
    let sums = arena::cut(&mut scratch, sums_words(tokens))?;
    if progress.begins() {
        // Sums are taken as they are.
        arena::clear(constants, 0);
    }
    let matrix = Layer::new::<K, true>(step.weights, [tokens, outputs], constants, 0)?;
    if progress.begins() {
        let norm = step.normed.of::<S>(stats);
        let mut rest = &*map;
        for kept in norms.iter_mut() {
            let token = rest.split_off(..channels).ok_or(Fault::Geometry)?;
            *kept = norm.affine::<S>(token);
        }
    }

    let mut written = progress.written;
    let piece = Piece::next(progress, channels, most, K::TOKENS);
    for first in (piece.first..piece.end).step_by(K::TOKENS) {
        let count = K::TOKENS.min(channels - first);
        let rows = gathered.get_mut(..count * stride).ok_or(Fault::Buffer)?;
        gather::<S>(map, [first, channels], norms, rows, stride);
        K::expand(rows, stride, tokens, 0, tile);
        let at_once = matrix.at_once().min(SUMS);
        matrix.each_part::<K, true>(at_once, scratch, |part| {
            if let Some(sums) = sums.get_mut(..K::TOKENS * part.outputs()) {
                K::sums(part, tile, sums);
                add::<S>(step, part, [first, count], sums, map, &mut written);
            } else {
                missing();
            }
        })?;
    }
    Ok(progress.reach(piece.end, channels, written))
}

/// Brings a few channels of all tokens, normalised, into rows.
fn gather<S: Stream>(
    map: &[S::Value],
    [first, channels]: [usize; 2],
    norms: &[[i32; 2]],
    rows: &mut [i8],
    stride: usize,
) {
    for (channel, row) in (first..).zip(rows.chunks_exact_mut(stride.max(1))) {
        let values = map.iter().skip(channel).step_by(channels.max(1));
        match norms {
            &[norm] => {
                for (n, &value) in row.iter_mut().zip(values) {
                    *n = normalise::<S>(value, norm);
                }
            }
            norms => {
                for ((n, &value), &norm) in row.iter_mut().zip(values).zip(norms) {
                    *n = normalise::<S>(value, norm);
                }
            }
        }
    }
}

/// Adds a few rows of the product to `count` channels of the stream.
fn add<S: Stream>(
    step: &RandomMixing<'_>,
    part: &Linear<'_>,
    [first, count]: [usize; 2],
    sums: &[i32],
    map: &mut [S::Value],
    written: &mut Stats,
) {
    let channels = step.channels.max(1);
    let multipliers = step.multiplier.get(part.first()..).present();
    // Only the norm's bias may be none at all.
    let constants = step.constant.get(part.first()..).unwrap_or(&[]);
    let outputs = part.outputs().max(1);
    for (channel, sums) in (first..first + count).zip(sums.chunks_exact(outputs)) {
        debug_assert!(
            [step.factor, step.residual, step.offset]
                .iter()
                .all(|list| channel < list.len())
        );
        let of = |list: &[i32]| list.get(channel).copied().unwrap_or(0);
        let [factor, residual, beta] = [step.factor, step.residual, step.beta].map(of);
        let offset = i64::from(of(step.offset)) << 16;
        let mut counted = S::Sums::default();
        let rows = map.get_mut(part.first() * channels..).present();
        let rows = rows.chunks_mut(channels).zip(multipliers.iter().zip(sums));
        let mut add = |row: &mut [S::Value], (multiplier, sum), bias: i64| {
            let Some(value) = row.get_mut(channel) else {
                return missing();
            };
            let total = bias
                .wrapping_add(i64::from(residual) * i64::from(S::widened(*value)))
                .wrapping_add(i64::from(factor) * i64::from(requantize(sum, multiplier)));
            S::store(value, total, &mut counted);
        };
        if constants.is_empty() {
            for (row, (&multiplier, &sum)) in rows {
                add(row, (multiplier, sum), offset);
            }
        } else {
            for ((row, (&multiplier, &sum)), &constant) in rows.zip(constants) {
                let bias = offset.wrapping_add(i64::from(beta) * i64::from(constant));
                add(row, (multiplier, sum), bias);
            }
        }
        written.add_all(counted.into());
    }
}
