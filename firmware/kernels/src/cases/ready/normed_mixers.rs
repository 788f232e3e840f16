//! Cases of token mixers whose norm is written out.

use super::of_token;
use super::source::Source;
use crate::arch::cast;
use crate::arena::{self, Buffer, Fault};
use crate::arithmetic::depthwise::{Depthwise, padded_rows};
use crate::arithmetic::layout::Kernel;
use crate::arithmetic::linear::{PlainLinear, ResidualLinear};
use crate::arithmetic::norm::Norm;
use crate::arithmetic::normed::{NormScope, Normed};
use crate::arithmetic::stream::{Int8, Int16};
use crate::steps::attention::Attention;
use crate::steps::depthwise_mixer::DepthwiseMixer;
use crate::steps::random_mixing::{RandomMixing, matrix_rows};
use crate::steps::sep_conv::SepConv;

/// Tokens of a tile.
const TILE_TOKENS: usize = 2;

/// Steps of the normed values for a deviation of one, Q12.
const MULTIPLIER: i32 = 160_000;

/// A separable convolution: rows, columns, channels, hidden channels, rows and columns
/// of a square window.
pub(super) fn sep_conv<'a, K: Kernel>(
    source: &mut Source,
    [rows, columns, channels, hidden, side]: [usize; 5],
    [map, scratch]: [Buffer; 2],
    wide: bool,
    memory: &mut &'a mut [u8],
) -> Result<SepConv<'a>, Fault> {
    let taps = side * padded_rows(side);
    let weights = windows(source, hidden, [side; 2], memory)?;
    let act1 = arena::take_i8s(memory, 256)?;
    source.fill(act1, 127);
    Ok(SepConv {
        map,
        scratch,
        shape: [rows, columns, channels],
        hidden,
        tile_tokens: TILE_TOKENS,
        normed: Normed {
            scope: NormScope::Token,
            norm: of_token(channels),
            multiplier: MULTIPLIER,
        },
        fc1: PlainLinear {
            weights: source.matrix::<K>([hidden, channels], false, memory)?.0,
            bias: source.ints(hidden, 10_000, memory)?,
            multiplier: source.multipliers(hidden, channels, memory)?,
            zero: -20,
        },
        act1: Some(act1.first_chunk().ok_or(Fault::Geometry)?),
        depthwise: Depthwise {
            window: [side; 2],
            weights,
            bias: source.ints(hidden, 10_000, memory)?,
            multiplier: source.multipliers(hidden, taps, memory)?,
            padding: -77,
            zero: 9,
        },
        act2: None,
        fc2: ResidualLinear {
            weights: source.matrix::<K>([channels, hidden], false, memory)?.0,
            bias: source.ints(channels, 10_000, memory)?,
            residual: source.ints(channels, if wide { 1 << 24 } else { 5_000 }, memory)?,
            multiplier: source.multipliers(channels, hidden, memory)?,
            offset: match wide {
                true => source.ints(channels, 1 << 20, memory)?,
                false => &[],
            },
            zero_point: if wide { 0 } else { 7 },
        },
    })
}

/// Scratch bytes of the same.
pub(in super::super) fn sep_conv_scratch(
    [rows, columns, channels, hidden, side]: [usize; 5],
    wide: bool,
) -> usize {
    let size = match wide {
        true => SepConv::scratch_size::<Int16>,
        false => SepConv::scratch_size::<Int8>,
    };
    size([rows, columns, channels], hidden, [side; 2], TILE_TOKENS)
}

/// The norm before a depthwise mixer.
pub(super) enum Before {
    Map(Norm),
    Token,
    None,
}

/// A depthwise mixer: rows, columns, channels, rows and columns of a window.
pub(super) fn depthwise_mixer<'a>(
    source: &mut Source,
    [rows, columns, channels, window_rows, window_columns]: [usize; 5],
    [map, scratch]: [Buffer; 2],
    norm: Before,
    wide: bool,
    memory: &mut &'a mut [u8],
) -> Result<DepthwiseMixer<'a>, Fault> {
    let window = [window_rows, window_columns];
    let taps = window_columns * padded_rows(window_rows);
    let is_folded = matches!(norm, Before::Map(_));
    let shift = arena::take_i8s(memory, channels.next_multiple_of(4))?;
    for (at, shift) in shift.iter_mut().enumerate() {
        *shift = (8 - at % 4) as i8;
    }
    let shift = cast::bytes(shift).get(..channels).unwrap_or(&[]);
    Ok(DepthwiseMixer {
        map,
        scratch,
        shape: [rows, columns, channels],
        norm: match norm {
            Before::Map(norm) => Some(norm),
            Before::Token | Before::None => None,
        },
        normed: match norm {
            Before::Token => Some(Normed {
                scope: NormScope::Token,
                norm: of_token(channels),
                multiplier: MULTIPLIER,
            }),
            Before::Map(_) | Before::None => None,
        },
        shift: if wide { shift } else { &[] },
        depthwise: Depthwise {
            window,
            weights: windows(source, channels, window, memory)?,
            bias: source.ints(channels, 10_000, memory)?,
            multiplier: source.multipliers(
                channels,
                taps * if is_folded { 16 } else { 1 },
                memory,
            )?,
            padding: if matches!(norm, Before::None) { 5 } else { 0 },
            zero: 9,
        },
        beta: match norm {
            Before::None => &[],
            Before::Map(_) | Before::Token => source.ints(channels, 1000, memory)?,
        },
        factor: source.ints(channels, 1 << 25, memory)?,
        residual: source.ints(channels, 1 << 24, memory)?,
        offset: source.ints(channels, 1 << 20, memory)?,
    })
}

/// Weights of a window for each channel, zeros behind the rows of each column.
fn windows<'a>(
    source: &mut Source,
    channels: usize,
    [rows, columns]: [usize; 2],
    memory: &mut &'a mut [u8],
) -> Result<&'a [i8], Fault> {
    let size = channels * columns * padded_rows(rows);
    let weights = arena::take_i8s(memory, size.next_multiple_of(4))?;
    source.fill(weights, 127);
    for column in weights.chunks_mut(padded_rows(rows)) {
        for weight in column.iter_mut().skip(rows) {
            *weight = 0;
        }
    }
    weights.get(..size).ok_or(Fault::Buffer)
}

/// A random mixing of so many tokens and channels.
pub(super) fn random_mixing<'a, K: Kernel>(
    source: &mut Source,
    [tokens, channels]: [usize; 2],
    [map, scratch]: [Buffer; 2],
    memory: &mut &'a mut [u8],
) -> Result<RandomMixing<'a>, Fault> {
    let shape = [matrix_rows(tokens), tokens];
    Ok(RandomMixing {
        map,
        scratch,
        tokens,
        channels,
        normed: Normed {
            scope: NormScope::Map,
            norm: Norm {
                elements: (tokens * channels) as u32,
                epsilon: 1000,
                about: None,
            },
            multiplier: MULTIPLIER,
        },
        weights: source.matrix::<K>(shape, false, memory)?.0,
        multiplier: source.ints(tokens, i32::MAX, memory)?,
        constant: source.ints(tokens, 1 << 20, memory)?,
        beta: source.ints(channels, 1 << 14, memory)?,
        factor: source.ints(channels, 1 << 22, memory)?,
        residual: source.ints(channels, 1 << 24, memory)?,
        offset: source.ints(channels, 1 << 20, memory)?,
    })
}

/// Channels, heads, values of a head; the map and the scratch.
pub(super) fn attention<'a, K: Kernel>(
    source: &mut Source,
    [channels, heads, head_size]: [usize; 3],
    [map, scratch]: [Buffer; 2],
    memory: &mut &'a mut [u8],
) -> Result<Attention<'a>, Fault> {
    let inner = heads * head_size;
    Ok(Attention {
        map,
        scratch,
        channels,
        heads,
        head_size,
        tile_tokens: 2,
        norm: Normed {
            scope: NormScope::Token,
            norm: of_token(channels),
            multiplier: 150_000,
        },
        qkv: PlainLinear {
            weights: source.matrix::<K>([3 * inner, channels], false, memory)?.0,
            bias: source.ints(3 * inner, 1000, memory)?,
            multiplier: source.multipliers(3 * inner, 64 * channels, memory)?,
            zero: 0,
        },
        exponent: 1 << 19,
        attended: 3 << 19,
        projection: {
            let weights = source.matrix::<K>([channels, inner], false, memory)?.0;
            source.residual_linear(weights, [channels, inner], memory)?
        },
    })
}
