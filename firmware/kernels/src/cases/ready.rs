//! The data of a case.

use super::{Case, Seed};
use crate::arch::cast;
use crate::arena::{self, Buffer, Fault};
use crate::arithmetic::layout::{Kernel, Rows};
use crate::arithmetic::linear::{NormedLinear, PlainLinear};
use crate::arithmetic::norm::{Norm, Stats};
use crate::arithmetic::normed::{NormScope, Normed};
use crate::steps::activation::Activation;
use crate::steps::attention::Attention;
use crate::steps::channel_mlp::ChannelMlp;
use crate::steps::depthwise_embedding::{DepthwiseEmbedding, Reduction};
use crate::steps::depthwise_mixer::DepthwiseMixer;
use crate::steps::head::Head;
use crate::steps::identity::Identity;
use crate::steps::normed_mlp::NormedMlp;
use crate::steps::patch_embedding::PatchEmbedding;
use crate::steps::pointwise::Pointwise;
use crate::steps::pooling::{Pooling, Subtracted};
use crate::steps::position_embedding::PositionEmbedding;
use crate::steps::random_mixing::RandomMixing;
use crate::steps::scaled_pooling::ScaledPooling;
use crate::steps::sep_conv::SepConv;
use crate::steps::wide_head::{HeadHidden, MeanNorm, NormPlace, VectorNorm, WideHead, WideLinear};
use crate::steps::wide_pooling::WidePooling;

mod embeddings;
mod normed_mixers;
mod source;

pub(super) use normed_mixers::sep_conv_scratch;

use normed_mixers::Before;

use super::sizes::{side, tile_tokens};
use source::Source;

/// A case with its data, ready to run.
#[derive(Debug)]
pub struct Ready<'a> {
    pub(super) step: Step<'a>,
    /// Whether the step is one on a stream of 16 bits.
    pub(super) wide: bool,
    pub(super) stats: Stats,
    pub(super) arena: &'a mut [u8],
    pub(super) output: Buffer,
}

/// Its constants.
#[derive(Debug)]
pub(super) enum Step<'a> {
    Pointwise(Pointwise<'a>),
    ChannelMlp(ChannelMlp<'a>),
    NormedMlp(NormedMlp<'a>),
    PatchEmbedding(PatchEmbedding<'a>),
    DepthwiseEmbedding(DepthwiseEmbedding<'a>),
    Activation(Activation<'a>),
    PositionEmbedding(PositionEmbedding<'a>),
    Pooling(Pooling<'a>),
    ScaledPooling(ScaledPooling<'a>),
    WidePooling(WidePooling<'a>),
    Identity(Identity<'a>),
    RandomMixing(RandomMixing<'a>),
    SepConv(SepConv<'a>),
    DepthwiseMixer(DepthwiseMixer<'a>),
    Attention(Attention<'a>),
    Head(Head<'a>),
    WideHead(WideHead<'a>),
}

impl Case {
    /// Makes the case's data in `memory`, which is 4-byte aligned.
    ///
    /// # Errors
    /// [`Fault::Buffer`] if `memory` is too small.
    pub fn ready<'a, K: Kernel>(
        &self,
        seed: Seed,
        mut memory: &'a mut [u8],
    ) -> Result<Ready<'a>, Fault> {
        let source = &mut Source::new(seed);
        let memory = &mut memory;
        let (input_size, output_size, scratch_size) = self.sizes();
        let in_place = !matches!(
            self,
            Self::Pointwise(_)
                | Self::PatchEmbedding(_)
                | Self::DepthwiseEmbedding(_)
                | Self::DepthwiseEmbeddingInt16(_)
                | Self::AveragePool(_)
                | Self::MaxPool(_)
                | Self::Head(_)
                | Self::WideHead(_)
        );
        let wide = self.is_wide();
        let input = Buffer {
            offset: 0,
            size: input_size,
        };
        let output = if in_place {
            input
        } else {
            Buffer {
                offset: input_size.next_multiple_of(4),
                size: output_size,
            }
        };
        let scratch = Buffer {
            offset: (output.offset + output.size).next_multiple_of(4),
            size: scratch_size,
        };
        let arena_size = (scratch.offset + scratch.size).next_multiple_of(4);
        let arena = cast::i8s_mut(arena::take(memory, arena_size)?);
        let values = arena.get_mut(..input_size).unwrap_or(&mut []);
        match self {
            Self::Pooling(_) => source.fill_pooled(values),
            _ => source.fill(values, 127),
        }
        let values = arena.get(..input_size).unwrap_or(&[]);
        let stats = if wide {
            let pairs = values.as_chunks::<2>().0.iter();
            Stats::of_int16(pairs.map(|&pair| i16::from_le_bytes(pair.map(|byte| byte as u8))))
        } else {
            Stats::of(values)
        };
        let norm = Norm {
            elements: input_size as u32,
            epsilon: 1000,
            about: None,
        };
        let step = match *self {
            Self::Pointwise([_, inputs, outputs]) => Step::Pointwise(Pointwise {
                input,
                output,
                scratch,
                inputs,
                outputs,
                weights: source
                    .matrix::<K>([outputs, inputs], false, memory)?
                    .0
                    .bytes(),
                bias: source.ints(outputs, 10_000, memory)?,
                multiplier: source.multipliers(outputs, inputs, memory)?,
                zero_point: -5,
            }),
            Self::ChannelMlp([_, channels, hidden, tile_tokens])
            | Self::ChannelMlpInt4([_, channels, hidden, tile_tokens]) => {
                let int4 = matches!(self, Self::ChannelMlpInt4(_));
                let (fc1, row_sums) = source.matrix::<K>([hidden, channels], int4, memory)?;
                let (fc2, _) = source.matrix::<K>([channels, hidden], int4, memory)?;
                let table = arena::take_i8s(memory, 256)?;
                source.fill(table, 127);
                Step::ChannelMlp(ChannelMlp {
                    map: input,
                    scratch,
                    channels,
                    hidden,
                    tile_tokens,
                    norm,
                    shift: &[],
                    fc1: NormedLinear {
                        weights: fc1,
                        row_sums,
                        bias: source.ints(hidden, 20_000, memory)?,
                        multiplier: source.multipliers(hidden, channels, memory)?,
                    },
                    hidden_zero: 128,
                    activation: table.first_chunk().ok_or(Fault::Geometry)?,
                    fc2: source.residual_linear(fc2, [channels, hidden], memory)?,
                })
            }
            Self::NormedMlp([_, channels, hidden, tile_tokens]) => {
                let (fc1, _) = source.matrix::<K>([hidden, channels], false, memory)?;
                let (fc2, _) = source.matrix::<K>([channels, hidden], true, memory)?;
                let table = arena::take_i8s(memory, 256)?;
                source.fill(table, 127);
                Step::NormedMlp(NormedMlp {
                    map: input,
                    scratch,
                    channels,
                    hidden,
                    tile_tokens,
                    norm: Normed {
                        scope: NormScope::Token,
                        norm: of_token(channels),
                        multiplier: 40 << 12,
                    },
                    fc1: PlainLinear {
                        weights: fc1,
                        bias: source.ints(hidden, 20_000, memory)?,
                        multiplier: source.multipliers(hidden, channels, memory)?,
                        zero: 128,
                    },
                    activation: table.first_chunk().ok_or(Fault::Geometry)?,
                    fc2: source.residual_linear(fc2, [channels, hidden], memory)?,
                })
            }
            Self::PatchEmbedding(shape @ [size, channels, outputs, window, stride, padding]) => {
                let inputs = window * window * channels;
                let pad = arena::take_i8s(memory, channels.next_multiple_of(4))?;
                source.fill(pad, 100);
                Step::PatchEmbedding(PatchEmbedding {
                    input,
                    output,
                    scratch,
                    input_shape: [size, size, channels],
                    output_shape: [side(shape), side(shape), outputs],
                    window: [window; 2],
                    stride: [stride; 2],
                    padding: [padding; 2],
                    tile_tokens: tile_tokens(outputs, window),
                    flip: if channels == 3 { 0x80 } else { 0 },
                    shift: &[],
                    pad: pad.get(..channels).unwrap_or(&[]),
                    weights: source.matrix::<K>([outputs, inputs], false, memory)?.0,
                    bias: source.ints(outputs, 10_000, memory)?,
                    multiplier: source.multipliers(outputs, inputs, memory)?,
                    zero_point: 3,
                })
            }
            Self::DepthwiseEmbedding(shape)
            | Self::DepthwiseEmbeddingInt16(shape)
            | Self::AveragePool(shape)
            | Self::MaxPool(shape) => {
                let reduction = match self {
                    Self::AveragePool(_) => Reduction::Mean,
                    Self::MaxPool(_) => Reduction::Maximum,
                    _ => Reduction::Sum,
                };
                let buffers = [input, output, scratch];
                let step =
                    embeddings::depthwise_embedding(source, shape, reduction, buffers, memory)?;
                Step::DepthwiseEmbedding(step)
            }
            Self::Activation(_) | Self::ActivationInt16(_) => {
                Step::Activation(embeddings::activation(source, input, memory)?)
            }
            Self::PositionEmbedding(shape) | Self::PositionEmbeddingInt16(shape) => {
                let step = embeddings::position_embedding(source, shape, input, memory)?;
                Step::PositionEmbedding(step)
            }
            Self::WidePooling(shape)
            | Self::WidePoolingInt16(shape)
            | Self::NormedWidePooling(shape) => {
                let is_written = matches!(self, Self::NormedWidePooling(_));
                let buffers = [input, scratch];
                let step = embeddings::wide_pooling(source, shape, buffers, is_written, memory)?;
                Step::WidePooling(step)
            }
            Self::Pooling(shape) => Step::Pooling(Pooling {
                map: input,
                scratch,
                shape,
                norm,
                factor: source.factors(shape[2], memory)?,
                residual: 60_000,
                offset: 40_000,
            }),
            Self::ScaledPooling(shape) | Self::PoolAlone(shape) => {
                Step::ScaledPooling(ScaledPooling {
                    map: input,
                    scratch,
                    shape,
                    norm,
                    subtracted: match self {
                        Self::PoolAlone(_) => Subtracted::Nothing,
                        _ => Subtracted::Pooled,
                    },
                    factor: source.ints(shape[2], 1 << 20, memory)?,
                    residual: source.ints(shape[2], 60_000, memory)?,
                    offset: source.ints(shape[2], 1 << 19, memory)?,
                })
            }
            Self::Identity([_, channels]) | Self::NormedIdentity([_, channels]) => {
                let (scope, norm) = match self {
                    Self::Identity(_) => (NormScope::Map, norm),
                    _ => (NormScope::Token, of_token(channels)),
                };
                Step::Identity(Identity {
                    map: input,
                    channels,
                    scope,
                    norm,
                    factor: source.ints(channels, 1 << 22, memory)?,
                    offset: source.ints(channels, 1 << 19, memory)?,
                    residual: source.ints(channels, 60_000, memory)?,
                })
            }
            Self::RandomMixing(shape) | Self::RandomMixingInt16(shape) => {
                let buffers = [input, scratch];
                let step = normed_mixers::random_mixing::<K>(source, shape, buffers, memory)?;
                Step::RandomMixing(step)
            }
            Self::SepConv(shape) | Self::SepConvInt16(shape) => {
                let buffers = [input, scratch];
                let step = normed_mixers::sep_conv::<K>(source, shape, buffers, wide, memory)?;
                Step::SepConv(step)
            }
            Self::DepthwiseMixer(shape)
            | Self::DepthwiseMixerInt16(shape)
            | Self::NormedDepthwiseMixer(shape)
            | Self::PlainDepthwiseMixer(shape) => {
                let [rows, columns, channels, ..] = shape;
                let folded = Norm {
                    elements: (rows * columns * channels) as u32,
                    epsilon: 1000,
                    about: None,
                };
                let norm = match self {
                    Self::NormedDepthwiseMixer(_) => Before::Token,
                    Self::PlainDepthwiseMixer(_) => Before::None,
                    _ => Before::Map(folded),
                };
                let buffers = [input, scratch];
                let step =
                    normed_mixers::depthwise_mixer(source, shape, buffers, norm, wide, memory)?;
                Step::DepthwiseMixer(step)
            }
            Self::Attention([_, channels, heads, head_size]) => {
                let shape = [channels, heads, head_size];
                let step = normed_mixers::attention::<K>(source, shape, [input, scratch], memory)?;
                Step::Attention(step)
            }
            Self::Head([tokens, channels, classes]) => {
                let (weights, row_sums) =
                    source.matrix::<Rows>([classes, channels], false, memory)?;
                Step::Head(Head {
                    map: input,
                    output,
                    scratch,
                    tokens,
                    channels,
                    norm: Some(norm),
                    zero_point: 0,
                    weights,
                    row_sums,
                    multiplier: source.ints(classes, 1 << 24, memory)?,
                    bias: source.ints(classes, 1 << 16, memory)?,
                })
            }
            Self::WideHead([tokens, channels, hidden, classes]) => {
                let mut linear = |[outputs, inputs]: [usize; 2], int4| {
                    Ok(WideLinear {
                        weights: source.matrix::<Rows>([outputs, inputs], int4, memory)?.0,
                        bias: source.ints(outputs, 30_000, memory)?,
                        multiplier: source.ints(outputs, 1 << 18, memory)?,
                    })
                };
                let norm = |channels| VectorNorm {
                    norm: of_token(channels),
                    multiplier: 1000 << 12,
                };
                let (fc1, linear) = (
                    linear([hidden, channels], false)?,
                    linear([classes, hidden], true)?,
                );
                let activation = source.ints(257, 32_767, memory)?;
                Step::WideHead(WideHead {
                    map: input,
                    output,
                    scratch,
                    tokens,
                    channels,
                    norm: Some(MeanNorm {
                        place: NormPlace::Mean,
                        norm: norm(channels),
                    }),
                    hidden: Some(HeadHidden {
                        fc1,
                        activation: activation.first_chunk().ok_or(Fault::Geometry)?,
                        norm: Some(norm(hidden)),
                    }),
                    linear,
                })
            }
        };
        Ok(Ready {
            step,
            wide,
            stats,
            arena: cast::bytes_mut(arena),
            output,
        })
    }
}

/// The norm of a token.
const fn of_token(channels: usize) -> Norm {
    Norm {
        elements: channels as u32,
        epsilon: 1000,
        about: None,
    }
}
