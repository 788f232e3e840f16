//! Matrix products over a tile of tokens.
//!
//! A **tile** holds a few tokens in the form that a layout's inner loop reads,
//! so what it costs to bring them there is paid once for all outputs. Each
//! layout implements [`Product`]; what follows the sum of products
//! (requantization, activation, residual add, statistics) is part of it, since
//! it happens while the sums are in registers.

use crate::arch::cast;
use crate::arena::{Fault, ensure, volume};
use crate::arithmetic::fixed::requantize;
use crate::arithmetic::layout::{Kernel, Layout};
use crate::arithmetic::norm::Partial;
use crate::arithmetic::weights::{self, Weights, part_outputs};
use crate::present::Present;

/// Words of a tile for tokens of `inputs` values, in every layout.
pub(crate) const fn tile_words(inputs: usize) -> usize {
    inputs.saturating_add(15) / 16 * 16 + TILE_HEADER
}

/// Words at the start of a tile that are not values. `Helium` keeps in the first one
/// how many tokens there are, those that are repeated not counted.
pub(crate) const TILE_HEADER: usize = 4;

/// Bytes of a row that is gathered before it becomes part of a tile.
pub(crate) const fn row_size(inputs: usize) -> usize {
    inputs.saturating_add(15) / 16 * 16
}

/// Rows that are made before they become part of a tile.
const ROWS: usize = 2;

/// Scratch bytes of the rows that [`expand_rows`] needs.
pub(crate) const fn rows_size(inputs: usize) -> usize {
    ROWS * row_size(inputs)
}

/// Makes rows of int8 values of a tile's tokens, a few at a time, and puts them into
/// the tile; `rows` holds [`rows_size`] bytes.
#[inline(always)]
pub(crate) fn expand_rows<K: Product, T>(
    tokens: &[T],
    inputs: usize,
    rows: &mut [i8],
    tile: &mut [i32],
    mut make: impl FnMut(&[T], &mut [i8]),
) {
    let row_size = row_size(inputs).max(1);
    let mut first = 0;
    for tokens in tokens.chunks((ROWS * inputs).max(1)) {
        let mut size = 0;
        let tokens = tokens.chunks(inputs.max(1));
        for (token, row) in tokens.zip(rows.chunks_mut(row_size)) {
            make(token, row);
            size += row_size;
        }
        K::expand(rows.get(..size).present(), row_size, inputs, first, tile);
        first += ROWS;
    }
}

/// A linear layer, or a few of its outputs, as the inner loops see it: its parts
/// are as long as its dimensions say, and its weights lie on a 4-byte boundary.
#[derive(Debug, Clone, Copy)]
pub struct Linear<'a> {
    weights: &'a [u8],
    row_size: usize,
    inputs: usize,
    outputs: usize,
    constants: &'a [i32],
    zero: i32,
    first: usize,
    width: usize,
}

impl<'a> Linear<'a> {
    /// A layer with weights in the layout of `K` and constants as
    /// [`Product::constants`] leaves them; `zero` is added to requantized sums.
    #[inline(always)]
    pub(crate) fn new<K: Kernel>(
        weights: &'a [u8],
        [inputs, outputs]: [usize; 2],
        constants: &'a [i32],
        zero: i32,
    ) -> Result<Self, Fault> {
        check(K::LAYOUT, weights, [inputs, outputs], constants.len(), zero)?;
        Ok(Self {
            weights,
            row_size: inputs,
            inputs,
            outputs,
            constants,
            zero,
            first: 0,
            width: outputs,
        })
    }

    /// The packed matrix.
    pub(crate) fn weights(&self) -> &'a [u8] {
        self.weights
    }

    /// Bytes of a row of [`Layout::Rows`]: longer than a token, by zeros, if it had
    /// four-bit weights.
    pub(crate) fn row_size(&self) -> usize {
        self.row_size
    }

    /// Values per token that is read, not zero.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values per token that are computed, not zero.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Where these values lie in a token that is written.
    pub(crate) fn first(&self) -> usize {
        self.first
    }

    /// Values per token that is written, computed or not.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Accumulator starts and multipliers in the order of the layout, two words
    /// an output.
    pub(crate) fn constants(&self) -> &'a [i32] {
        self.constants
    }

    /// Added to requantized sums.
    pub(crate) fn zero(&self) -> i32 {
        self.zero
    }

    /// The outputs of whole groups, if there are any.
    #[cfg(any(tadpool_core = "dsp", tadpool_core = "helium", tadpool_core = "host"))]
    pub(crate) fn whole_groups<K: Kernel>(&self) -> Option<Self> {
        let outputs = self.outputs - self.outputs % K::LAYOUT.group();
        let size = K::LAYOUT.packed_size(outputs, self.inputs);
        let parts = (self.weights.get(..size), self.constants.get(..2 * outputs));
        (outputs > 0).then(|| Self {
            weights: parts.0.present(),
            outputs,
            constants: parts.1.present(),
            ..*self
        })
    }

    /// The other outputs, if there are any, as a layer of one group, with these constants;
    /// the weights are padded to whole groups.
    #[cfg(any(tadpool_core = "dsp", tadpool_core = "helium", tadpool_core = "host"))]
    pub(crate) fn last_group<'b, K: Kernel>(&self, constants: &'b [i32]) -> Option<Linear<'b>>
    where
        'a: 'b,
    {
        let group = K::LAYOUT.group();
        let rest = self.outputs % group;
        let first = K::LAYOUT.packed_size(self.outputs - rest, self.inputs);
        let weights = self.weights.get(first..);
        (rest > 0).then(|| Linear {
            weights: weights.present(),
            outputs: group,
            constants,
            zero: 0,
            first: 0,
            width: group,
            ..*self
        })
    }

    /// The values of a token that are computed.
    pub(crate) fn of<'b, T>(&self, token: &'b [T]) -> &'b [T] {
        let end = self.first + self.outputs;
        token.get(self.first..end).present()
    }

    /// The values of a token that are computed, to be written.
    pub(crate) fn of_mut<'b, T>(&self, token: &'b mut [T]) -> &'b mut [T] {
        let end = self.first + self.outputs;
        token.get_mut(self.first..end).present()
    }
}

/// A linear layer that is taken a few outputs at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer<'a> {
    weights: Weights<'a>,
    inputs: usize,
    outputs: usize,
    constants: &'a [i32],
    zero: i32,
}

impl<'a> Layer<'a> {
    /// As [`Linear::new`]; unless `INT4`, four-bit weights are a fault.
    #[inline(always)]
    pub(crate) fn new<K: Kernel, const INT4: bool>(
        weights: Weights<'a>,
        [inputs, outputs]: [usize; 2],
        constants: &'a [i32],
        zero: i32,
    ) -> Result<Self, Fault> {
        match weights {
            Weights::Int8(weights) => {
                check(K::LAYOUT, weights, [inputs, outputs], constants.len(), zero)?;
            }
            Weights::Int4(weights) => {
                ensure(INT4 && outputs > 0 && K::LAYOUT.fits(outputs, inputs))?;
                ensure(weights.len() == K::LAYOUT.packed_size_int4(outputs, inputs))?;
                ensure(constants.len() == volume(&[2, outputs]) && zero_is_small(zero))?;
            }
        }
        Ok(Self {
            weights,
            inputs,
            outputs,
            constants,
            zero,
        })
    }

    /// Values per token that is read, not zero.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Values per token that is written, not zero.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// All outputs, or as many as are unpacked at a time.
    pub(crate) fn at_once(&self) -> usize {
        match self.weights {
            Weights::Int8(_) => self.outputs,
            Weights::Int4(_) => part_outputs(self.inputs),
        }
    }

    /// Hands the layer to `each`: unless `INT4`, as a whole; else `at_once` outputs at a time, a multiple of the layout's
    /// group, with four-bit weights unpacked to `unpacked`.
    #[inline(always)]
    pub(crate) fn each_part<K: Kernel, const INT4: bool>(
        &self,
        at_once: usize,
        unpacked: &mut [i32],
        mut each: impl FnMut(&Linear<'_>),
    ) -> Result<(), Fault> {
        let inputs = self.inputs;
        if !INT4 {
            // One part, and no loop around it.
            each(&Linear {
                weights: self.weights.bytes(),
                row_size: inputs,
                inputs,
                outputs: self.outputs,
                constants: self.constants,
                zero: self.zero,
                first: 0,
                width: self.outputs,
            });
            return Ok(());
        }
        let mut first = 0;
        while first < self.outputs {
            let outputs = at_once.max(1).min(self.outputs - first);
            let cut = |bytes: &'a [u8], size: fn(Layout, usize, usize) -> usize| {
                let start = size(K::LAYOUT, first, inputs);
                let end = start.saturating_add(size(K::LAYOUT, outputs, inputs));
                bytes.get(start..end).ok_or(Fault::Geometry)
            };
            let (weights, row_size) = match self.weights {
                Weights::Int8(bytes) => (cut(bytes, Layout::packed_size)?, inputs),
                Weights::Int4(bytes) => {
                    let packed = cast::i32s(cut(bytes, Layout::packed_size_int4)?)?;
                    let unpacked = unpacked.get_mut(..2 * packed.len());
                    let unpacked = unpacked.ok_or(Fault::Buffer)?;
                    K::unpack(packed, unpacked);
                    (cast::words_as_bytes(unpacked), inputs.next_multiple_of(8))
                }
            };
            let constants = self.constants.get(2 * first..2 * (first + outputs));
            each(&Linear {
                weights,
                row_size,
                inputs,
                outputs,
                constants: constants.ok_or(Fault::Geometry)?,
                zero: self.zero,
                first,
                width: self.outputs,
            });
            first += outputs;
        }
        Ok(())
    }
}

/// Whether a layer's parts are as long as its dimensions say. One copy for all
/// layers.
#[inline(never)]
fn check(
    layout: Layout,
    weights: &[u8],
    [inputs, outputs]: [usize; 2],
    constants: usize,
    zero: i32,
) -> Result<(), Fault> {
    ensure(outputs > 0 && layout.fits(outputs, inputs))?;
    ensure(weights.len() == layout.packed_size(outputs, inputs))?;
    ensure(constants == volume(&[2, outputs]) && zero_is_small(zero))?;
    if layout != Layout::Rows && !weights.as_ptr().addr().is_multiple_of(4) {
        return Err(Fault::Alignment);
    }
    Ok(())
}

/// Whether a zero point leaves room for what is added to it.
fn zero_is_small(zero: i32) -> bool {
    (-256..=256).contains(&zero)
}

/// The kernels of one layout.
///
/// Tokens are given as one slice of `1..=TOKENS` tokens; a tile that is not full
/// is one whose last tokens are repeated.
pub trait Product {
    /// Tokens of a tile.
    const TOKENS: usize;

    /// Puts tokens of `inputs` values, `stride` apart, into the tile as tokens
    /// `first` and those after it; the last one is repeated up to the tile's
    /// end. Values between `inputs` and `stride` may be anything: they meet
    /// weights of zero.
    fn expand(tokens: &[i8], stride: usize, inputs: usize, first: usize, tile: &mut [i32]);

    /// Writes accumulator starts and multipliers in the order that the inner loop
    /// reads.
    fn constants(bias: &[i32], multiplier: &[i32], constants: &mut [i32]) {
        pair(bias, multiplier, constants);
        Self::arrange(constants);
    }

    /// Brings pairs of accumulator start and multiplier into that order.
    fn arrange(constants: &mut [i32]);

    /// Brings four-bit weights of whole groups of outputs into the layout's
    /// eight-bit form, which is twice as long.
    fn unpack(packed: &[i32], unpacked: &mut [i32]) {
        weights::unpack(packed, unpacked);
    }

    /// Reads a map of tokens, by way of `tile`, and writes the products' requantized
    /// sums as another.
    fn write(linear: &Linear<'_>, input: &[i8], tile: &mut [i32], output: &mut [i8]);

    /// Writes the same of one tile to `tokens`, and counts what was written.
    fn write_counted(linear: &Linear<'_>, tile: &[i32], tokens: &mut [i8]) -> Partial;

    /// Writes the sums as they are, for every token of the tile
    /// [`Linear::outputs`] of them.
    fn sums(linear: &Linear<'_>, tile: &[i32], sums: &mut [i32]);

    /// Looks the requantized sums up in a table and puts the values into the
    /// tile of the next layer.
    fn activate(linear: &Linear<'_>, table: &[i8; 256], tile: &[i32], next: &mut [i32]);

    /// Adds `residual * q` to the sums before they are requantized and written
    /// over `q`, and counts what was written; one `residual` for every value of
    /// a token.
    fn update(linear: &Linear<'_>, residual: &[i32], tile: &[i32], tokens: &mut [i8]) -> Partial;
}

/// Brings the tokens of a map into `tile`, as many as it holds at a time, and hands
/// it to `write` with their places in another map.
#[inline(always)]
pub(crate) fn each_tile<K: Product>(
    linear: &Linear<'_>,
    input: &[i8],
    tile: &mut [i32],
    output: &mut [i8],
    mut write: impl FnMut(&[i32], &mut [i8]),
) {
    let (inputs, width) = (linear.inputs(), linear.width());
    let mut tokens = input.chunks_exact((K::TOKENS * inputs).max(1));
    let mut places = output.chunks_exact_mut((K::TOKENS * width).max(1));
    for (tokens, places) in tokens.by_ref().zip(places.by_ref()) {
        K::expand(tokens, inputs, inputs, 0, tile);
        write(tile, places);
    }
    let (tokens, places) = (tokens.remainder(), places.into_remainder());
    if !tokens.is_empty() {
        K::expand(tokens, inputs, inputs, 0, tile);
        write(tile, places);
    }
}

/// Accumulator starts and multipliers in turn. One copy for all layouts.
#[inline(never)]
fn pair(bias: &[i32], multiplier: &[i32], constants: &mut [i32]) {
    let (pairs, _) = constants.as_chunks_mut::<2>();
    for (pair, (&bias, &multiplier)) in pairs.iter_mut().zip(bias.iter().zip(multiplier)) {
        *pair = [bias, multiplier];
    }
}

/// The accumulator of one output for one token, before it is requantized.
#[derive(Clone, Copy)]
pub(crate) struct Sum {
    pub(crate) acc: i32,
    pub(crate) multiplier: i32,
}

impl Sum {
    #[inline(always)]
    pub(crate) fn requantized(self, zero: i32) -> i32 {
        requantize(self.acc, self.multiplier).saturating_add(zero)
    }
}

#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "a table of 256 holds every u8")]
pub(crate) fn look_up(table: &[i8; 256], index: u8) -> i16 {
    i16::from(table[usize::from(index)])
}
