//! Cases of stems, of downsampling, and of position embeddings; pooling mixers with wide
//! windows.

use super::of_token;
use super::source::Source;
use crate::arena::{self, Buffer, Fault};
use crate::arithmetic::norm::Norm;
use crate::arithmetic::normed::{NormScope, Normed};
use crate::cases::sizes::side;
use crate::steps::activation::Activation;
use crate::steps::depthwise_embedding::{DepthwiseEmbedding, Reduction};
use crate::steps::pooling::Subtracted;
use crate::steps::position_embedding::PositionEmbedding;
use crate::steps::wide_pooling::WidePooling;

/// A depthwise embedding: rows and columns of a square map, channels, rows and columns of a
/// square window, stride, padding on every side.
pub(super) fn depthwise_embedding<'a>(
    source: &mut Source,
    [size, channels, window, stride, padding]: [usize; 5],
    reduction: Reduction,
    [input, output, scratch]: [Buffer; 3],
    memory: &mut &'a mut [u8],
) -> Result<DepthwiseEmbedding<'a>, Fault> {
    let side = side([size, channels, channels, window, stride, padding]);
    let places = window * window;
    let (weights, multipliers, offsets) = match reduction {
        Reduction::Sum => (places * channels, channels, channels),
        Reduction::Mean => (0, places, 1),
        Reduction::Maximum => (0, 1, 1),
    };
    let all = arena::take_i8s(memory, weights.next_multiple_of(4))?;
    source.fill(all, 127);
    Ok(DepthwiseEmbedding {
        input,
        output,
        scratch,
        input_shape: [size, size, channels],
        output_shape: [side, side, channels],
        window: [window; 2],
        stride: [stride; 2],
        padding: [padding; 2],
        reduction,
        weights: all.get(..weights).unwrap_or(&[]),
        zero_point: -13,
        multiplier: source.ints(multipliers, (1 << 24) / places as i32, memory)?,
        offset: source.ints(offsets, 1 << 20, memory)?,
    })
}

/// An activation.
pub(super) fn activation<'a>(
    source: &mut Source,
    map: Buffer,
    memory: &mut &'a mut [u8],
) -> Result<Activation<'a>, Fault> {
    let table = source.ints(257, 1 << 23, memory)?;
    Ok(Activation {
        map,
        table: table.first_chunk().ok_or(Fault::Geometry)?,
    })
}

/// A position embedding of so many tokens and channels.
pub(super) fn position_embedding<'a>(
    source: &mut Source,
    [tokens, channels]: [usize; 2],
    map: Buffer,
    memory: &mut &'a mut [u8],
) -> Result<PositionEmbedding<'a>, Fault> {
    let values = tokens * channels;
    let positions = arena::take_i8s(memory, values.next_multiple_of(4))?;
    source.fill(positions, 127);
    Ok(PositionEmbedding {
        map,
        positions: positions.get(..values).unwrap_or(&[]),
        factor: source.ints(channels, 1 << 24, memory)?,
        residual: 15 << 20,
        offset: 40_000,
    })
}

/// A pooling mixer: rows, columns, channels, side of the window; behind a norm that is
/// folded, or written out.
pub(super) fn wide_pooling<'a>(
    source: &mut Source,
    [rows, columns, channels, window]: [usize; 4],
    [map, scratch]: [Buffer; 2],
    is_written: bool,
    memory: &mut &'a mut [u8],
) -> Result<WidePooling<'a>, Fault> {
    let folded = Norm {
        elements: (rows * columns * channels) as u32,
        epsilon: 1000,
        about: None,
    };
    Ok(WidePooling {
        map,
        scratch,
        shape: [rows, columns, channels],
        window,
        norm: if is_written { None } else { Some(folded) },
        normed: if is_written {
            // Without a mean.
            Some(Normed {
                scope: NormScope::Token,
                norm: Norm {
                    about: Some(-7),
                    ..of_token(channels)
                },
                multiplier: 160_000,
            })
        } else {
            None
        },
        subtracted: Subtracted::Pooled,
        factor: source.ints(channels, 1 << 23, memory)?,
        residual: source.ints(channels, 1 << 24, memory)?,
        offset: source.ints(channels, 1 << 20, memory)?,
    })
}
