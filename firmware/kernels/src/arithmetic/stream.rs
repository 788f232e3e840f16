//! The width of a residual stream's values, as a type.
//!
//! Both widths stand for the same numbers `q` between -128 and 128, so the
//! constants of a step are the same for both: an [`Int16`] value is `256 * q`.

use crate::arch::{self, cast};
use crate::arena::{Fault, ensure};
use crate::arithmetic::fixed::{half, narrow, saturate_i8};
use crate::arithmetic::int16;
use crate::arithmetic::linear::ResidualLinear;
use crate::arithmetic::matmul::{Linear, Product};
use crate::arithmetic::norm::{Norm, NormScale, Partial, Stats};
use crate::present::missing;
use crate::steps::patch_embedding;

/// Values of one byte.
#[derive(Debug, Clone, Copy)]
pub enum Int8 {}

/// Values of two bytes, little-endian, with eight fractional bits.
#[derive(Debug, Clone, Copy)]
pub enum Int16 {}

/// A width of values. It cannot be implemented outside this crate.
pub trait Stream: Width {}

/// Sums of values that are written, and of their squares.
pub trait Sums: Default + Into<Stats> {
    /// Counts one value in.
    fn count(&mut self, value: i32);
}

impl Sums for Partial {
    #[inline(always)]
    fn count(&mut self, value: i32) {
        self.add(value as i8);
    }
}

impl Sums for Stats {
    #[inline(always)]
    fn count(&mut self, value: i32) {
        self.add(value as i16);
    }
}

impl Stream for Int8 {}
impl Stream for Int16 {}

/// Scratch bytes for the sums of a tile, which a step needs if it writes a stream of
/// type `S` that is not int8.
pub(crate) const fn sums_size<S: Stream>(outputs: usize, inputs: usize) -> usize {
    if S::FRACTION == 0 {
        0
    } else {
        int16::sums_size(outputs, inputs)
    }
}

/// See [`Width::affine_map`]: one channel after the other.
pub(crate) fn affine_map<S: Width>(
    map: &mut [S::Value],
    channels: usize,
    affines: impl Iterator<Item = (i32, i32)>,
) -> Stats {
    let mut written = Stats::default();
    for (channel, (slope, offset)) in affines.enumerate() {
        debug_assert!(map.is_empty() || channel < map.len());
        let map = map.get_mut(channel..).unwrap_or(&mut []);
        let values = map.iter_mut().step_by(channels.max(1));
        let mut sums = S::Sums::default();
        for value in values {
            S::affine(value, slope, offset, &mut sums);
        }
        written.add_all(sums.into());
    }
    written
}

/// How a branch of int8 values is added to a stream, a value for each channel.
#[derive(Debug, Clone, Copy)]
pub struct Scales<'a> {
    /// Steps of the written stream for one of the branch, Q24.
    pub factor: &'a [i32],
    /// Steps of the written stream for one that is read, Q24.
    pub residual: &'a [i32],
    /// Zero points and half a step, Q16.
    pub offset: &'a [i32],
}

/// See [`Width::add_branch`]: one value after the other.
pub(crate) fn add_branch<S: Width>(
    tokens: &mut [S::Value],
    branch: &[i8],
    scales: &Scales<'_>,
) -> Stats {
    let mut written = Stats::default();
    let channels = scales.factor.len().max(1);
    for (token, branch) in tokens.chunks_mut(channels).zip(branch.chunks(channels)) {
        let mut sums = S::Sums::default();
        let constants = scales.factor.iter().zip(scales.residual).zip(scales.offset);
        for ((value, &t), ((&factor, &residual), &offset)) in
            token.iter_mut().zip(branch).zip(constants)
        {
            let stream = i64::from(residual) * i64::from((*value).into());
            let branch = i64::from(factor) * i64::from(t) + (i64::from(offset) << 8);
            S::store_steps(value, stream + (branch << S::FRACTION), &mut sums);
        }
        written.add_all(sums.into());
    }
    written
}

/// The operations that differ between the two widths.
pub trait Width {
    /// A value as it is stored.
    type Value: Copy + Into<i32>;
    /// Bytes of a value.
    const BYTES: usize;
    /// Sums of at most `2^16` values.
    type Sums: Sums;
    /// Fractional bits of a value.
    const FRACTION: u32 = 8 * (Self::BYTES as u32 - 1);

    /// A map's values.
    fn values(map: &[u8]) -> Result<&[Self::Value], Fault>;

    /// A map's values, to be written.
    fn values_mut(map: &mut [u8]) -> Result<&mut [Self::Value], Fault>;

    /// Sums of the values of one token.
    fn sums(token: &[Self::Value]) -> Stats;

    /// Mean and deviation of a map with these sums, in units of `q`.
    fn norm(stats: &Stats, norm: &Norm) -> NormScale;

    /// A sum of values in units of `q`.
    fn whole(sum: i64) -> i32;

    /// `256 * q` of a value.
    fn widened(value: Self::Value) -> i32 {
        value.into() << (8 - Self::FRACTION)
    }

    /// Stores the nearest value to `total / 2^32` in units of `q`, half a step
    /// included, and counts it.
    fn store(value: &mut Self::Value, total: i64, written: &mut impl Sums);

    /// Stores the nearest value to `total / 2^24` in steps of the stream, half a step
    /// included, and counts it; `total` is below `2^55`.
    fn store_steps(value: &mut Self::Value, total: i64, written: &mut impl Sums);

    /// Replaces a value by `slope * q + offset`, half a step included, and counts it. Both
    /// are Q16; `128 * slope` and `offset` stay below `2^30`.
    fn affine(value: &mut Self::Value, slope: i32, offset: i32, written: &mut impl Sums);

    /// The same for the channels of a map, each with a slope and an offset of its own:
    /// `affines` has a pair for every channel.
    fn affine_map(
        map: &mut [Self::Value],
        channels: usize,
        affines: impl Iterator<Item = (i32, i32)>,
    ) -> Stats
    where
        Self: Sized,
    {
        affine_map::<Self>(map, channels, affines)
    }

    /// Adds a branch to tokens and returns the sums of what was written:
    ///
    /// ```text
    /// q' = (residual * q + factor * t + 2^8 * offset) / 2^24
    /// ```
    fn add_branch(tokens: &mut [Self::Value], branch: &[i8], scales: &Scales<'_>) -> Stats
    where
        Self: Sized,
    {
        add_branch::<Self>(tokens, branch, scales)
    }

    /// Brings a row of tokens to int8: wider values rounded by `shift` bits a channel.
    fn narrow(row: &[Self::Value], shift: &[u8], narrow: &mut [i8]);

    /// Brings the head of `values` to int8: bytes are combined with `flip`, wider
    /// values rounded by `shift` bits a channel.
    fn read(line: &mut [i8], values: &[u8], flip: u8, shift: &[u8]) -> Result<(), Fault>;

    /// Requantizes the product of a tile and writes it to `tokens`, whole tokens of
    /// the layer's width. `sums` is for a tile of sums.
    fn write<K: Product>(
        linear: &Linear<'_>,
        multiplier: &[i32],
        tile: &[i32],
        sums: &mut [i32],
        tokens: &mut [u8],
    ) -> Result<Stats, Fault>;

    /// Adds the product of a tile to `tokens`, whole tokens of the residual stream,
    /// and returns the sums of what was written. `linear` is `layer`, or a few of its
    /// outputs; `sums` is for a tile of sums of an int16 stream.
    fn join<K: Product>(
        linear: &Linear<'_>,
        layer: &ResidualLinear<'_>,
        tile: &[i32],
        sums: &mut [i32],
        tokens: &mut [u8],
    ) -> Result<Stats, Fault>;
}

impl Width for Int8 {
    type Value = i8;
    const BYTES: usize = 1;
    type Sums = Partial;

    fn values(map: &[u8]) -> Result<&[i8], Fault> {
        Ok(cast::i8s(map))
    }

    fn values_mut(map: &mut [u8]) -> Result<&mut [i8], Fault> {
        Ok(cast::i8s_mut(map))
    }

    fn sums(token: &[i8]) -> Stats {
        let mut partial = Partial::default();
        for &value in token {
            partial.add(value);
        }
        partial.into()
    }

    fn norm(stats: &Stats, norm: &Norm) -> NormScale {
        NormScale::new(stats, norm)
    }

    fn whole(sum: i64) -> i32 {
        narrow(sum, 0)
    }

    #[inline(always)]
    fn store(value: &mut i8, total: i64, written: &mut impl Sums) {
        *value = saturate_i8((total >> 32) as i32);
        written.count((*value).into());
    }

    #[inline(always)]
    fn store_steps(value: &mut i8, total: i64, written: &mut impl Sums) {
        *value = saturate_i8((total >> 24) as i32);
        written.count((*value).into());
    }

    #[inline(always)]
    fn affine(q: &mut i8, slope: i32, offset: i32, written: &mut impl Sums) {
        *q = saturate_i8((slope * i32::from(*q)).wrapping_add(offset) >> 16);
        written.count((*q).into());
    }

    fn affine_map(
        map: &mut [i8],
        channels: usize,
        affines: impl Iterator<Item = (i32, i32)>,
    ) -> Stats {
        arch::identity::affine_map(map, channels, affines)
    }

    fn add_branch(tokens: &mut [i8], branch: &[i8], scales: &Scales<'_>) -> Stats {
        arch::branch::add(tokens, branch, scales)
    }

    fn narrow(row: &[i8], _shift: &[u8], narrow: &mut [i8]) {
        if patch_embedding::copy(narrow, cast::bytes(row), 0).is_err() {
            missing();
        }
    }

    #[inline(always)]
    fn read(line: &mut [i8], values: &[u8], flip: u8, _shift: &[u8]) -> Result<(), Fault> {
        patch_embedding::copy(line, values, flip)
    }

    #[inline(always)]
    fn write<K: Product>(
        linear: &Linear<'_>,
        _multiplier: &[i32],
        tile: &[i32],
        _sums: &mut [i32],
        tokens: &mut [u8],
    ) -> Result<Stats, Fault> {
        Ok(K::write_counted(linear, tile, cast::i8s_mut(tokens)).into())
    }

    #[inline(always)]
    fn join<K: Product>(
        linear: &Linear<'_>,
        layer: &ResidualLinear<'_>,
        tile: &[i32],
        _sums: &mut [i32],
        tokens: &mut [u8],
    ) -> Result<Stats, Fault> {
        let tokens = cast::i8s_mut(tokens);
        Ok(K::update(linear, layer.residual, tile, tokens).into())
    }
}

impl Width for Int16 {
    type Value = i16;
    const BYTES: usize = 2;
    type Sums = Stats;

    fn values(map: &[u8]) -> Result<&[i16], Fault> {
        cast::i16s(map)
    }

    fn values_mut(map: &mut [u8]) -> Result<&mut [i16], Fault> {
        cast::i16s_mut(map)
    }

    fn sums(token: &[i16]) -> Stats {
        Stats::of_int16(token.iter().copied())
    }

    fn norm(stats: &Stats, norm: &Norm) -> NormScale {
        NormScale::of_int16(stats, norm)
    }

    fn whole(sum: i64) -> i32 {
        narrow(sum + half(Self::FRACTION), Self::FRACTION)
    }

    #[inline(always)]
    fn store(value: &mut i16, total: i64, written: &mut impl Sums) {
        written.count(int16::store(value, total).into());
    }

    #[inline(always)]
    fn store_steps(value: &mut i16, total: i64, written: &mut impl Sums) {
        Self::store(value, total, written);
    }

    #[inline(always)]
    fn affine(value: &mut i16, slope: i32, offset: i32, written: &mut impl Sums) {
        let product = i64::from(slope) * i64::from(*value);
        Self::store(value, (product << 8) + (i64::from(offset) << 16), written);
    }

    fn narrow(row: &[i16], shift: &[u8], narrow: &mut [i8]) {
        let channels = shift.len().max(1);
        for (token, narrow) in row.chunks(channels).zip(narrow.chunks_mut(channels)) {
            int16::round(token, shift, narrow);
        }
    }

    fn read(line: &mut [i8], values: &[u8], _flip: u8, shift: &[u8]) -> Result<(), Fault> {
        let values = cast::i16s(values)?.get(..line.len());
        ensure(!shift.is_empty())?;
        for (line, values) in line
            .chunks_mut(shift.len())
            .zip(values.ok_or(Fault::Geometry)?.chunks(shift.len()))
        {
            int16::round(values, shift, line);
        }
        Ok(())
    }

    fn write<K: Product>(
        linear: &Linear<'_>,
        multiplier: &[i32],
        tile: &[i32],
        sums: &mut [i32],
        tokens: &mut [u8],
    ) -> Result<Stats, Fault> {
        let sums = sums.get_mut(..K::TOKENS * linear.outputs());
        let sums = sums.ok_or(Fault::Buffer)?;
        K::sums(linear, tile, sums);
        let zero = (i64::from(linear.zero()) << 32) + int16::HALF;
        let mut written = Stats::default();
        let tokens = cast::i16s_mut(tokens)?.chunks_exact_mut(linear.width().max(1));
        for (token, sums) in tokens.zip(sums.chunks_exact(linear.outputs().max(1))) {
            let values = linear.of_mut(token).iter_mut();
            for ((value, &sum), &multiplier) in values.zip(sums).zip(linear.of(multiplier)) {
                let branch = i64::from(sum) * i64::from(multiplier);
                written.add(int16::store(value, branch + zero));
            }
        }
        Ok(written)
    }

    fn join<K: Product>(
        linear: &Linear<'_>,
        layer: &ResidualLinear<'_>,
        tile: &[i32],
        sums: &mut [i32],
        tokens: &mut [u8],
    ) -> Result<Stats, Fault> {
        let sums = sums.get_mut(..K::TOKENS * linear.outputs());
        let sums = sums.ok_or(Fault::Buffer)?;
        K::sums(linear, tile, sums);
        let [multiplier, residual, offset] =
            [layer.multiplier, layer.residual, layer.offset].map(|list| linear.of(list));
        let mut written = Stats::default();
        let tokens = cast::i16s_mut(tokens)?.chunks_exact_mut(linear.width().max(1));
        for (token, sums) in tokens.zip(sums.chunks_exact(linear.outputs().max(1))) {
            let constants = multiplier.iter().zip(residual).zip(offset);
            let values = linear.of_mut(token).iter_mut().zip(sums);
            for ((value, &sum), ((&multiplier, &residual), &offset)) in values.zip(constants) {
                let branch = i64::from(sum) * i64::from(multiplier);
                let stream = i64::from(residual) * i64::from(*value);
                let total = stream + branch + (i64::from(offset) << 16);
                written.add(int16::store(value, total));
            }
        }
        Ok(written)
    }
}
