//! Steps with made-up data, the same on every machine.
//!
//! The self-test runs [`EDGES`] on a core and compares the checksums with those
//! of the host; the benchmark counts the instructions of larger ones.

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault};
use crate::attention::{self, Attention};
use crate::channel_mlp::{self, ChannelMlp};
use crate::checksum::fnv1a;
use crate::fixed::{requantize, saturate_i8};
use crate::head::{self, Head};
use crate::identity::{self, Identity};
use crate::layout::{Kernel, Layout, Rows};
use crate::linear::{NormedLinear, PlainLinear, ResidualLinear};
use crate::norm::{Norm, Stats};
use crate::normed::{NormScope, Normed};
use crate::normed_mlp::{self, NormedMlp};
use crate::patch_embedding::{self, PatchEmbedding};
use crate::pointwise::{self, Pointwise};
use crate::pooling::{self, Pooling};
use crate::random_mixing::{self, RandomMixing};
use crate::scaled_pooling::{self, ScaledPooling};
use crate::sep_conv::{self, SepConv};
use crate::stream::{Int8, Int16};
use crate::weights::{Weights, unpacked_size};
use crate::wide_head::{self, HeadHidden, MeanNorm, NormPlace, VectorNorm, WideHead, WideLinear};

mod branches;
mod source;

use source::Source;

/// A step and its shape; a map has its tokens before its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Tokens, inputs, outputs.
    Pointwise([usize; 3]),
    /// Tokens, channels, hidden channels, tokens of a tile.
    ChannelMlp([usize; 4]),
    /// The same with weights of four bits.
    ChannelMlpInt4([usize; 4]),
    /// Rows and columns of a square map, channels, outputs, rows and columns of
    /// a square window, stride, padding on every side.
    PatchEmbedding([usize; 6]),
    /// As [`Case::ChannelMlp`], behind a norm of each token.
    NormedMlp([usize; 4]),
    /// Rows, columns, channels.
    Pooling([usize; 3]),
    /// The same with a res scale.
    ScaledPooling([usize; 3]),
    /// Tokens, channels.
    Identity([usize; 2]),
    /// The same with a norm of each token.
    NormedIdentity([usize; 2]),
    /// Tokens, channels.
    RandomMixing([usize; 2]),
    /// The same on a stream of 16 bits.
    RandomMixingInt16([usize; 2]),
    /// Rows, columns, channels, hidden channels, rows and columns of a square window.
    SepConv([usize; 5]),
    /// The same on a stream of 16 bits.
    SepConvInt16([usize; 5]),
    /// Tokens, channels, heads, values of a head.
    Attention([usize; 4]),
    /// Tokens, channels, classes.
    Head([usize; 3]),
    /// The same with a hidden layer, whose values come before the classes.
    WideHead([usize; 4]),
}

/// Shapes at the edges of what the kernels take.
pub const EDGES: &[Case] = &[
    Case::Pointwise([1, 4, 4]),
    Case::Pointwise([5, 12, 8]),
    Case::Pointwise([2, 68, 12]),
    Case::Pointwise([7, 20, 36]),
    Case::Pointwise([3, 5, 7]),
    Case::Pointwise([4, 64, 4]),
    Case::Pointwise([3, 132, 4]),
    // The longest row that the DSP layout holds whatever its weights are.
    Case::Pointwise([2, 516, 4]),
    Case::ChannelMlp([1, 4, 4, 1]),
    Case::ChannelMlp([1, 1, 1, 2]),
    Case::ChannelMlp([3, 5, 7, 1]),
    Case::ChannelMlp([7, 12, 20, 3]),
    Case::ChannelMlp([6, 16, 64, 2]),
    Case::ChannelMlp([5, 20, 68, 5]),
    Case::ChannelMlp([9, 36, 16, 4]),
    Case::ChannelMlpInt4([1, 4, 4, 1]),
    Case::ChannelMlpInt4([3, 5, 7, 1]),
    Case::ChannelMlpInt4([7, 12, 20, 3]),
    Case::ChannelMlpInt4([9, 36, 68, 4]),
    Case::NormedMlp([1, 4, 4, 1]),
    Case::NormedMlp([3, 5, 7, 1]),
    Case::NormedMlp([7, 12, 20, 3]),
    Case::NormedMlp([5, 20, 68, 5]),
    Case::PatchEmbedding([1, 1, 4, 1, 1, 0]),
    Case::PatchEmbedding([5, 3, 8, 3, 2, 1]),
    Case::PatchEmbedding([7, 3, 8, 5, 2, 2]),
    Case::PatchEmbedding([9, 3, 4, 7, 4, 2]),
    Case::PatchEmbedding([6, 8, 12, 3, 2, 1]),
    Case::PatchEmbedding([4, 2, 5, 2, 3, 0]),
    Case::PatchEmbedding([3, 33, 4, 2, 1, 1]),
    Case::Pooling([1, 1, 1]),
    Case::Pooling([1, 1, 4]),
    Case::Pooling([1, 6, 8]),
    Case::Pooling([6, 1, 4]),
    Case::Pooling([2, 2, 4]),
    Case::Pooling([3, 2, 12]),
    Case::Pooling([2, 3, 7]),
    Case::Pooling([7, 5, 20]),
    Case::ScaledPooling([1, 1, 1]),
    Case::ScaledPooling([2, 3, 7]),
    Case::ScaledPooling([7, 5, 20]),
    Case::Identity([1, 1]),
    Case::Identity([9, 7]),
    Case::Identity([16, 32]),
    Case::NormedIdentity([1, 1]),
    Case::NormedIdentity([9, 7]),
    Case::NormedIdentity([16, 32]),
    Case::RandomMixing([1, 1]),
    Case::RandomMixing([5, 3]),
    Case::RandomMixing([16, 9]),
    Case::RandomMixingInt16([9, 6]),
    Case::SepConv([1, 1, 1, 1, 1]),
    Case::SepConv([1, 1, 4, 4, 7]),
    Case::SepConv([2, 3, 3, 5, 3]),
    Case::SepConv([5, 9, 4, 8, 7]),
    Case::SepConv([3, 4, 8, 12, 5]),
    Case::SepConv([2, 3, 4, 4, 9]),
    Case::SepConvInt16([3, 6, 4, 8, 7]),
    Case::Attention([1, 1, 1, 1]),
    Case::Attention([3, 5, 3, 2]),
    Case::Attention([9, 12, 2, 4]),
    Case::Attention([18, 8, 1, 20]),
    Case::Head([1, 1, 1]),
    Case::Head([16, 20, 10]),
    Case::Head([7, 5, 3]),
    Case::WideHead([1, 1, 1, 1]),
    Case::WideHead([16, 20, 36, 10]),
    Case::WideHead([7, 5, 9, 3]),
];

/// What the benchmark counts: matrix products, steps alone, and all steps of a
/// CIFAR-10 PoolFormer from [`POOLFORMER`] on.
pub const COUNTED: &[Case] = &[
    Case::Pointwise([64, 64, 256]),
    Case::Pointwise([64, 256, 64]),
    Case::Pointwise([196, 32, 128]),
    Case::Pointwise([196, 128, 32]),
    Case::Pointwise([49, 320, 1280]),
    Case::Pointwise([49, 1280, 320]),
    Case::Pointwise([16, 48, 192]),
    Case::Pointwise([16, 192, 48]),
    Case::PatchEmbedding([32, 3, 32, 7, 4, 2]),
    Case::Pooling([14, 14, 64]),
    Case::ChannelMlpInt4([64, 64, 256, 4]),
    Case::ChannelMlpInt4([64, 64, 256, 16]),
    Case::ChannelMlpInt4([16, 128, 512, 16]),
    Case::Identity([256, 32]),
    Case::RandomMixing([49, 64]),
    Case::RandomMixing([196, 64]),
    Case::SepConv([7, 7, 64, 128, 7]),
    Case::SepConv([14, 14, 64, 128, 7]),
    Case::SepConv([28, 28, 32, 64, 7]),
    Case::Attention([49, 64, 2, 32]),
    Case::Attention([196, 64, 2, 32]),
    // A Cortex-M0 has memory for these.
    Case::Pointwise([8, 32, 64]),
    Case::ChannelMlp([16, 16, 64, 2]),
    Case::PatchEmbedding([16, 3, 8, 5, 2, 2]),
    Case::Pooling([8, 8, 16]),
    Case::PatchEmbedding([32, 3, 32, 5, 2, 2]),
    Case::Pooling([16, 16, 32]),
    Case::ChannelMlp([256, 32, 128, 2]),
    Case::Pooling([16, 16, 32]),
    Case::ChannelMlp([256, 32, 128, 2]),
    Case::PatchEmbedding([16, 32, 64, 3, 2, 1]),
    Case::Pooling([8, 8, 64]),
    Case::ChannelMlp([64, 64, 256, 2]),
    Case::Pooling([8, 8, 64]),
    Case::ChannelMlp([64, 64, 256, 2]),
    Case::PatchEmbedding([8, 64, 128, 3, 2, 1]),
    Case::Pooling([4, 4, 128]),
    Case::ChannelMlp([16, 128, 512, 2]),
    Case::Pooling([4, 4, 128]),
    Case::ChannelMlp([16, 128, 512, 2]),
    Case::Head([16, 128, 10]),
];

/// Where the steps of the PoolFormer begin in [`COUNTED`].
pub const POOLFORMER: usize = 25;

/// Bytes of memory that [`EDGES`] need.
pub const EDGES_MEMORY: usize = 10 * 1024;

/// A case with its data, ready to run.
#[derive(Debug)]
pub struct Ready<'a> {
    step: Step<'a>,
    /// Whether the step is one on a stream of 16 bits.
    wide: bool,
    stats: Stats,
    arena: &'a mut [u8],
    output: Buffer,
}

#[derive(Debug)]
enum Step<'a> {
    Pointwise(Pointwise<'a>),
    ChannelMlp(ChannelMlp<'a>),
    NormedMlp(NormedMlp<'a>),
    PatchEmbedding(PatchEmbedding<'a>),
    Pooling(Pooling<'a>),
    ScaledPooling(ScaledPooling<'a>),
    Identity(Identity<'a>),
    RandomMixing(RandomMixing<'a>),
    SepConv(SepConv<'a>),
    Attention(Attention<'a>),
    Head(Head<'a>),
    WideHead(WideHead<'a>),
}

/// Extremes and ordinary values in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u32);

impl Case {
    /// The layout that a core with kernels for `layout` runs this case in.
    pub fn layout(&self, layout: Layout) -> Layout {
        let fits = match *self {
            Self::Pointwise([_, inputs, outputs]) => {
                layout.fits(outputs, inputs) && layout.reads_whole(inputs)
            }
            Self::ChannelMlp([_, channels, hidden, _])
            | Self::ChannelMlpInt4([_, channels, hidden, _])
            | Self::NormedMlp([_, channels, hidden, _]) => {
                layout.fits(hidden, channels) && layout.fits(channels, hidden)
            }
            Self::RandomMixing([tokens, _]) | Self::RandomMixingInt16([tokens, _]) => {
                layout.fits(random_mixing::matrix_rows(tokens), tokens)
            }
            Self::SepConv([_, _, channels, hidden, _])
            | Self::SepConvInt16([_, _, channels, hidden, _]) => {
                layout.fits(hidden, channels) && layout.fits(channels, hidden)
            }
            Self::PatchEmbedding([_, channels, outputs, kernel, ..]) => {
                layout.fits(outputs, kernel * kernel * channels)
            }
            Self::Attention([tokens, channels, heads, head_size]) => {
                let inner = heads * head_size;
                Attention::fits(layout, tokens, head_size)
                    && layout.fits(inner, channels)
                    && layout.fits(channels, inner)
            }
            _ => false,
        };
        if fits { layout } else { Layout::Rows }
    }

    /// Whether the case has weights that are packed.
    pub fn has_matrix(&self) -> bool {
        matches!(
            self,
            Self::Pointwise(_)
                | Self::ChannelMlp(_)
                | Self::ChannelMlpInt4(_)
                | Self::NormedMlp(_)
                | Self::PatchEmbedding(_)
        )
    }

    /// Multiply-accumulates of the case's matrices.
    pub fn macs(&self) -> usize {
        match *self {
            Self::Pointwise([tokens, inputs, outputs]) => tokens * inputs * outputs,
            Self::ChannelMlp([tokens, channels, hidden, _])
            | Self::ChannelMlpInt4([tokens, channels, hidden, _])
            | Self::NormedMlp([tokens, channels, hidden, _]) => 2 * tokens * channels * hidden,
            Self::PatchEmbedding([_, channels, outputs, kernel, ..]) => {
                self.side() * self.side() * kernel * kernel * channels * outputs
            }
            Self::Attention([tokens, channels, heads, head_size]) => {
                let inner = heads * head_size;
                tokens * (4 * inner * channels + 2 * tokens * inner)
            }
            Self::Pooling(_)
            | Self::ScaledPooling(_)
            | Self::Identity(_)
            | Self::NormedIdentity(_) => 0,
            Self::RandomMixing([tokens, channels])
            | Self::RandomMixingInt16([tokens, channels]) => tokens * tokens * channels,
            Self::SepConv([rows, columns, channels, hidden, side])
            | Self::SepConvInt16([rows, columns, channels, hidden, side]) => {
                rows * columns * hidden * (2 * channels + side * side)
            }
            Self::Head([_, channels, classes]) => channels * classes,
            Self::WideHead([_, channels, hidden, classes]) => hidden * (channels + classes),
        }
    }

    /// Values of the map that the case writes.
    pub fn elements(&self) -> usize {
        match *self {
            Self::Pointwise([tokens, _, outputs]) => tokens * outputs,
            Self::ChannelMlp([tokens, channels, ..])
            | Self::ChannelMlpInt4([tokens, channels, ..])
            | Self::NormedMlp([tokens, channels, ..])
            | Self::Identity([tokens, channels])
            | Self::Attention([tokens, channels, ..])
            | Self::NormedIdentity([tokens, channels])
            | Self::RandomMixing([tokens, channels])
            | Self::RandomMixingInt16([tokens, channels]) => tokens * channels,
            Self::SepConv([rows, columns, channels, ..])
            | Self::SepConvInt16([rows, columns, channels, ..]) => rows * columns * channels,
            Self::PatchEmbedding([_, _, outputs, ..]) => self.side() * self.side() * outputs,
            Self::Pooling([rows, columns, channels])
            | Self::ScaledPooling([rows, columns, channels]) => rows * columns * channels,
            Self::Head([_, _, classes]) | Self::WideHead([.., classes]) => classes,
        }
    }

    /// Rows and columns of what a patch embedding writes.
    fn side(&self) -> usize {
        match *self {
            Self::PatchEmbedding([size, _, _, kernel, stride, padding]) => {
                (size + 2 * padding - kernel) / stride + 1
            }
            _ => 0,
        }
    }

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
            Self::Pointwise(_) | Self::PatchEmbedding(_) | Self::Head(_) | Self::WideHead(_)
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
        source.fill(arena.get_mut(..input_size).unwrap_or(&mut []), 127);
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
                    fc1: NormedLinear {
                        weights: fc1,
                        row_sums,
                        bias: source.ints(hidden, 20_000, memory)?,
                        multiplier: source.multipliers(hidden, channels, memory)?,
                    },
                    hidden_zero: 128,
                    activation: table.first_chunk().ok_or(Fault::Geometry)?,
                    fc2: ResidualLinear {
                        weights: fc2,
                        bias: source.ints(channels, 10_000, memory)?,
                        residual: source.ints(channels, 5_000, memory)?,
                        multiplier: source.multipliers(channels, hidden, memory)?,
                        offset: &[],
                        zero_point: 7,
                    },
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
                    fc2: ResidualLinear {
                        weights: fc2,
                        bias: source.ints(channels, 10_000, memory)?,
                        residual: source.ints(channels, 5_000, memory)?,
                        multiplier: source.multipliers(channels, hidden, memory)?,
                        offset: &[],
                        zero_point: 7,
                    },
                })
            }
            Self::PatchEmbedding([size, channels, outputs, kernel, stride, padding]) => {
                let inputs = kernel * kernel * channels;
                let pad = arena::take_i8s(memory, channels.next_multiple_of(4))?;
                source.fill(pad, 100);
                Step::PatchEmbedding(PatchEmbedding {
                    input,
                    output,
                    scratch,
                    input_shape: [size, size, channels],
                    output_shape: [self.side(), self.side(), outputs],
                    kernel: [kernel; 2],
                    stride: [stride; 2],
                    padding: [padding; 2],
                    tile_tokens: tile_tokens(outputs, kernel),
                    flip: if channels == 3 { 0x80 } else { 0 },
                    shift: &[],
                    pad: pad.get(..channels).unwrap_or(&[]),
                    weights: source.matrix::<K>([outputs, inputs], false, memory)?.0,
                    bias: source.ints(outputs, 10_000, memory)?,
                    multiplier: source.multipliers(outputs, inputs, memory)?,
                    zero_point: 3,
                })
            }
            Self::Pooling(shape) => Step::Pooling(Pooling {
                map: input,
                scratch,
                shape,
                norm,
                factor: source.ints(shape[2], 1 << 20, memory)?,
                residual: 60_000,
                offset: 40_000,
            }),
            Self::ScaledPooling(shape) => Step::ScaledPooling(ScaledPooling {
                map: input,
                scratch,
                shape,
                norm,
                factor: source.ints(shape[2], 1 << 20, memory)?,
                residual: source.ints(shape[2], 60_000, memory)?,
                offset: source.ints(shape[2], 1 << 19, memory)?,
            }),
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
                let step = branches::random_mixing::<K>(source, shape, buffers, memory)?;
                Step::RandomMixing(step)
            }
            Self::SepConv(shape) | Self::SepConvInt16(shape) => {
                let buffers = [input, scratch];
                let step = branches::sep_conv::<K>(source, shape, buffers, wide, memory)?;
                Step::SepConv(step)
            }
            Self::Attention([_, channels, heads, head_size]) => {
                let shape = [channels, heads, head_size];
                let step = branches::attention::<K>(source, shape, [input, scratch], memory)?;
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

    /// Whether the case's stream has 16 bits.
    fn is_wide(&self) -> bool {
        matches!(self, Self::RandomMixingInt16(_) | Self::SepConvInt16(_))
    }

    /// Bytes of input, output and scratch.
    fn sizes(&self) -> (usize, usize, usize) {
        let elements = self.elements();
        match *self {
            Self::Pointwise([tokens, inputs, outputs]) => (
                tokens * inputs,
                elements,
                Pointwise::scratch_size(inputs, outputs),
            ),
            Self::ChannelMlp([_, channels, hidden, tile_tokens]) => {
                let scratch = ChannelMlp::scratch_size(channels, hidden, tile_tokens);
                (elements, elements, scratch)
            }
            Self::NormedMlp([_, channels, hidden, tile_tokens]) => {
                let unpacked = unpacked_size(channels, hidden);
                let scratch = NormedMlp::scratch_size::<Int8>(channels, hidden, tile_tokens);
                (elements, elements, scratch + unpacked)
            }
            Self::ChannelMlpInt4([_, channels, hidden, tile_tokens]) => {
                let unpacked = unpacked_size(hidden, channels).max(unpacked_size(channels, hidden));
                let scratch = ChannelMlp::scratch_size(channels, hidden, tile_tokens);
                (elements, elements, scratch + unpacked)
            }
            Self::PatchEmbedding([size, channels, outputs, kernel, ..]) => {
                let inputs = kernel * kernel * channels;
                let scratch =
                    PatchEmbedding::scratch_size(inputs, outputs, tile_tokens(outputs, kernel));
                (size * size * channels, elements, scratch)
            }
            Self::Pooling([_, columns, channels]) => {
                (elements, elements, Pooling::scratch_size(columns, channels))
            }
            Self::ScaledPooling([_, columns, channels]) => (
                elements,
                elements,
                scaled_pooling::scratch_size(columns, channels),
            ),
            Self::Identity(_) | Self::NormedIdentity(_) => (elements, elements, 0),
            Self::RandomMixing([tokens, _]) | Self::RandomMixingInt16([tokens, _]) => {
                let size = elements * if self.is_wide() { 2 } else { 1 };
                let scratch = RandomMixing::scratch_size(tokens, NormScope::Map);
                (size, size, scratch)
            }
            Self::SepConv(shape) | Self::SepConvInt16(shape) => {
                let size = elements * if self.is_wide() { 2 } else { 1 };
                let scratch = branches::sep_conv_scratch(shape, self.is_wide());
                (size, size, scratch)
            }
            Self::Attention([tokens, channels, heads, head_size]) => {
                let heads = [heads, head_size];
                let scratch = Attention::scratch_size(tokens, channels, heads, 2);
                (elements, elements, scratch)
            }
            Self::Head([tokens, channels, classes]) => {
                (tokens * channels, 4 * classes, Head::scratch_size(channels))
            }
            Self::WideHead([tokens, channels, hidden, classes]) => (
                tokens * channels,
                4 * classes,
                WideHead::scratch_size(channels, hidden),
            ),
        }
    }
}

/// The norm of a token.
const fn of_token(channels: usize) -> Norm {
    Norm {
        elements: channels as u32,
        epsilon: 1000,
    }
}

/// Two, or for maps that no network has, any from one to three.
const fn tile_tokens(outputs: usize, kernel: usize) -> usize {
    if outputs < 16 { 1 + kernel % 3 } else { 2 }
}

impl Ready<'_> {
    /// Runs the step.
    ///
    /// # Errors
    /// What the step says.
    pub fn run<K: Kernel>(&mut self) -> Result<Stats, Fault> {
        let Self {
            step,
            wide,
            stats,
            arena,
            ..
        } = self;
        match step {
            Step::Pointwise(step) => pointwise::run::<K>(step, arena).map(|()| Stats::default()),
            Step::ChannelMlp(step) => match step.fc1.weights {
                Weights::Int8(_) => channel_mlp::run::<K>(step, stats, arena),
                Weights::Int4(_) => channel_mlp::run_int4::<K>(step, stats, arena),
            },
            Step::NormedMlp(step) => normed_mlp::run::<K, Int8>(step, stats, arena),
            Step::PatchEmbedding(step) => patch_embedding::run::<K>(step, arena),
            Step::Pooling(step) if K::LAYOUT.pools(step.shape[2]) => {
                pooling::run::<K>(step, stats, arena)
            }
            Step::Pooling(step) => pooling::run::<Rows>(step, stats, arena),
            Step::ScaledPooling(step) => scaled_pooling::run::<Int8>(step, stats, arena),
            Step::Identity(step) => identity::run::<Int8>(step, stats, arena),
            Step::RandomMixing(step) if *wide => random_mixing::run::<K, Int16>(step, stats, arena),
            Step::RandomMixing(step) => random_mixing::run::<K, Int8>(step, stats, arena),
            Step::SepConv(step) if *wide => sep_conv::run::<K, Int16>(step, stats, arena),
            Step::SepConv(step) => sep_conv::run::<K, Int8>(step, stats, arena),
            Step::Attention(step) => attention::run::<K, Int8>(step, stats, arena),
            Step::Head(step) => head::run(step, stats, arena).map(|()| Stats::default()),
            Step::WideHead(step) => {
                wide_head::run::<Int8>(step, stats, arena).map(|()| Stats::default())
            }
        }
    }

    /// Runs a matrix product in rows by the loop that one writes first, to have
    /// something to compare with; nothing for other cases.
    pub fn run_plain(&mut self) -> Option<Stats> {
        match &self.step {
            Step::Pointwise(step) => plain_product(step, self.arena).map(|()| Stats::default()),
            _ => None,
        }
    }

    /// A checksum of what was written and of the sums that were returned.
    pub fn checksum(&self, written: &Stats) -> u32 {
        let output = self.output.of(self.arena).unwrap_or(&[]);
        fnv1a(output)
            .wrapping_mul(31)
            .wrapping_add(written.sum as u32)
            .wrapping_mul(31)
            .wrapping_add(written.sum_of_squares as u32)
    }
}

/// One output after the other, one product after the other.
#[inline(never)]
fn plain_product(step: &Pointwise<'_>, arena: &mut [u8]) -> Option<()> {
    let (input, output) = arena::disjoint(arena, step.input, step.output).ok()?;
    let weights = cast::i8s(step.weights);
    let tokens = cast::i8s(input).chunks_exact(step.inputs.max(1));
    let results = cast::i8s_mut(output).chunks_exact_mut(step.outputs.max(1));
    for (token, results) in tokens.zip(results) {
        let constants = step.bias.iter().zip(step.multiplier);
        let rows = weights.chunks_exact(step.inputs.max(1)).zip(constants);
        for (q, (row, (&bias, &multiplier))) in results.iter_mut().zip(rows) {
            let mut acc = bias;
            for (&weight, &value) in row.iter().zip(token) {
                acc = acc.wrapping_add(i32::from(weight) * i32::from(value));
            }
            *q = saturate_i8(requantize(acc, multiplier).saturating_add(step.zero_point));
        }
    }
    Some(())
}

/// Makes and runs one case, and returns its checksum.
///
/// # Errors
/// [`Fault::Buffer`] if `memory` is too small.
pub fn run<K: Kernel>(case: &Case, seed: Seed, memory: &mut [u8]) -> Result<u32, Fault> {
    fn run_in<K: Kernel>(case: &Case, seed: Seed, memory: &mut [u8]) -> Result<u32, Fault> {
        let mut ready = case.ready::<K>(seed, memory)?;
        let written = ready.run::<K>()?;
        Ok(ready.checksum(&written))
    }
    if case.layout(K::LAYOUT) == K::LAYOUT {
        run_in::<K>(case, seed, memory)
    } else {
        run_in::<Rows>(case, seed, memory)
    }
}
