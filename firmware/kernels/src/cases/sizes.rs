//! The sizes of a case: its layout, multiply-accumulates, values and bytes.

use super::Case;
use super::ready::sep_conv_scratch;
use crate::arithmetic::layout::Layout;
use crate::arithmetic::normed::NormScope;
use crate::arithmetic::stream::Int8;
use crate::arithmetic::weights::unpacked_size;
use crate::steps::attention::Attention;
use crate::steps::channel_mlp::ChannelMlp;
use crate::steps::depthwise_embedding;
use crate::steps::depthwise_mixer::DepthwiseMixer;
use crate::steps::head::Head;
use crate::steps::normed_mlp::NormedMlp;
use crate::steps::patch_embedding::PatchEmbedding;
use crate::steps::pointwise::Pointwise;
use crate::steps::pooling::Pooling;
use crate::steps::random_mixing::{self, RandomMixing};
use crate::steps::scaled_pooling;
use crate::steps::wide_head::WideHead;
use crate::steps::wide_pooling;

impl Case {
    /// The layout that a core with kernels for `layout` runs this case in.
    pub fn layout(&self, layout: Layout) -> Layout {
        let mut candidates = [layout, layout.padded()].into_iter();
        let fits = candidates.find(|&layout| self.fits(layout));
        fits.unwrap_or(Layout::Rows)
    }

    /// Whether a layout takes the case's matrices.
    fn fits(&self, layout: Layout) -> bool {
        match *self {
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
            Self::PatchEmbedding([_, channels, outputs, window, ..]) => {
                layout.fits(outputs, window * window * channels)
            }
            Self::Attention([tokens, channels, heads, head_size]) => {
                let inner = heads * head_size;
                Attention::fits(layout, tokens, head_size)
                    && layout.fits(inner, channels)
                    && layout.fits(channels, inner)
            }
            Self::Pooling([_, _, channels]) => layout.pools(channels),
            Self::ScaledPooling(_)
            | Self::DepthwiseEmbedding(_)
            | Self::DepthwiseEmbeddingInt16(_)
            | Self::AveragePool(_)
            | Self::MaxPool(_)
            | Self::Activation(_)
            | Self::ActivationInt16(_)
            | Self::PositionEmbedding(_)
            | Self::PositionEmbeddingInt16(_)
            | Self::WidePooling(_)
            | Self::WidePoolingInt16(_)
            | Self::NormedWidePooling(_)
            | Self::Identity(_)
            | Self::NormedIdentity(_)
            | Self::DepthwiseMixer(_)
            | Self::DepthwiseMixerInt16(_)
            | Self::NormedDepthwiseMixer(_)
            | Self::PlainDepthwiseMixer(_)
            | Self::Head(_)
            | Self::WideHead(_) => false,
        }
    }

    /// Whether the case has weights that are packed in the layout of the core.
    pub fn has_matrix(&self) -> bool {
        match self {
            Self::Pointwise(_)
            | Self::ChannelMlp(_)
            | Self::ChannelMlpInt4(_)
            | Self::NormedMlp(_)
            | Self::PatchEmbedding(_)
            | Self::RandomMixing(_)
            | Self::RandomMixingInt16(_)
            | Self::SepConv(_)
            | Self::SepConvInt16(_)
            | Self::Attention(_) => true,
            Self::Pooling(_)
            | Self::ScaledPooling(_)
            | Self::DepthwiseEmbedding(_)
            | Self::DepthwiseEmbeddingInt16(_)
            | Self::AveragePool(_)
            | Self::MaxPool(_)
            | Self::Activation(_)
            | Self::ActivationInt16(_)
            | Self::PositionEmbedding(_)
            | Self::PositionEmbeddingInt16(_)
            | Self::WidePooling(_)
            | Self::WidePoolingInt16(_)
            | Self::NormedWidePooling(_)
            | Self::Identity(_)
            | Self::NormedIdentity(_)
            | Self::DepthwiseMixer(_)
            | Self::DepthwiseMixerInt16(_)
            | Self::NormedDepthwiseMixer(_)
            | Self::PlainDepthwiseMixer(_)
            | Self::Head(_)
            | Self::WideHead(_) => false,
        }
    }

    /// Multiply-accumulates of the case's matrices.
    pub fn macs(&self) -> usize {
        match *self {
            Self::Pointwise([tokens, inputs, outputs]) => tokens * inputs * outputs,
            Self::ChannelMlp([tokens, channels, hidden, _])
            | Self::ChannelMlpInt4([tokens, channels, hidden, _])
            | Self::NormedMlp([tokens, channels, hidden, _]) => 2 * tokens * channels * hidden,
            Self::PatchEmbedding(shape @ [_, channels, outputs, window, ..]) => {
                side(shape) * side(shape) * window * window * channels * outputs
            }
            Self::Attention([tokens, channels, heads, head_size]) => {
                let inner = heads * head_size;
                tokens * (4 * inner * channels + 2 * tokens * inner)
            }
            Self::DepthwiseEmbedding(shape @ [_, channels, window, ..])
            | Self::DepthwiseEmbeddingInt16(shape @ [_, channels, window, ..]) => {
                depthwise_side(shape).pow(2) * window * window * channels
            }
            Self::Pooling(_)
            | Self::ScaledPooling(_)
            | Self::AveragePool(_)
            | Self::MaxPool(_)
            | Self::Activation(_)
            | Self::ActivationInt16(_)
            | Self::PositionEmbedding(_)
            | Self::PositionEmbeddingInt16(_)
            | Self::WidePooling(_)
            | Self::WidePoolingInt16(_)
            | Self::NormedWidePooling(_)
            | Self::Identity(_)
            | Self::NormedIdentity(_) => 0,
            Self::RandomMixing([tokens, channels])
            | Self::RandomMixingInt16([tokens, channels]) => tokens * tokens * channels,
            Self::SepConv([rows, columns, channels, hidden, side])
            | Self::SepConvInt16([rows, columns, channels, hidden, side]) => {
                rows * columns * hidden * (2 * channels + side * side)
            }
            Self::DepthwiseMixer([rows, columns, channels, window_rows, window_columns])
            | Self::DepthwiseMixerInt16([rows, columns, channels, window_rows, window_columns])
            | Self::NormedDepthwiseMixer([rows, columns, channels, window_rows, window_columns])
            | Self::PlainDepthwiseMixer([rows, columns, channels, window_rows, window_columns]) => {
                rows * columns * channels * window_rows * window_columns
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
            | Self::Activation([tokens, channels])
            | Self::ActivationInt16([tokens, channels])
            | Self::PositionEmbedding([tokens, channels])
            | Self::PositionEmbeddingInt16([tokens, channels])
            | Self::NormedIdentity([tokens, channels])
            | Self::RandomMixing([tokens, channels])
            | Self::RandomMixingInt16([tokens, channels]) => tokens * channels,
            Self::SepConv([rows, columns, channels, ..])
            | Self::SepConvInt16([rows, columns, channels, ..])
            | Self::DepthwiseMixer([rows, columns, channels, ..])
            | Self::DepthwiseMixerInt16([rows, columns, channels, ..])
            | Self::NormedDepthwiseMixer([rows, columns, channels, ..])
            | Self::PlainDepthwiseMixer([rows, columns, channels, ..]) => rows * columns * channels,
            Self::PatchEmbedding(shape @ [_, _, outputs, ..]) => {
                side(shape) * side(shape) * outputs
            }
            Self::DepthwiseEmbedding(shape @ [_, channels, ..])
            | Self::DepthwiseEmbeddingInt16(shape @ [_, channels, ..])
            | Self::AveragePool(shape @ [_, channels, ..])
            | Self::MaxPool(shape @ [_, channels, ..]) => depthwise_side(shape).pow(2) * channels,
            Self::Pooling([rows, columns, channels])
            | Self::ScaledPooling([rows, columns, channels])
            | Self::WidePooling([rows, columns, channels, _])
            | Self::WidePoolingInt16([rows, columns, channels, _])
            | Self::NormedWidePooling([rows, columns, channels, _]) => rows * columns * channels,
            Self::Head([_, _, classes]) | Self::WideHead([.., classes]) => classes,
        }
    }

    /// Whether the case's stream has 16 bits.
    pub(super) fn is_wide(&self) -> bool {
        match self {
            Self::RandomMixingInt16(_)
            | Self::SepConvInt16(_)
            | Self::DepthwiseMixerInt16(_)
            | Self::DepthwiseEmbeddingInt16(_)
            | Self::ActivationInt16(_)
            | Self::PositionEmbeddingInt16(_)
            | Self::WidePoolingInt16(_) => true,
            Self::Pointwise(_)
            | Self::ChannelMlp(_)
            | Self::ChannelMlpInt4(_)
            | Self::NormedMlp(_)
            | Self::PatchEmbedding(_)
            | Self::DepthwiseEmbedding(_)
            | Self::AveragePool(_)
            | Self::MaxPool(_)
            | Self::Activation(_)
            | Self::PositionEmbedding(_)
            | Self::Pooling(_)
            | Self::ScaledPooling(_)
            | Self::WidePooling(_)
            | Self::NormedWidePooling(_)
            | Self::Identity(_)
            | Self::NormedIdentity(_)
            | Self::RandomMixing(_)
            | Self::SepConv(_)
            | Self::DepthwiseMixer(_)
            | Self::NormedDepthwiseMixer(_)
            | Self::PlainDepthwiseMixer(_)
            | Self::Attention(_)
            | Self::Head(_)
            | Self::WideHead(_) => false,
        }
    }

    /// Bytes of input, output and scratch.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
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
            Self::PatchEmbedding([size, channels, outputs, window, ..]) => {
                let inputs = window * window * channels;
                let scratch =
                    PatchEmbedding::scratch_size(inputs, outputs, tile_tokens(outputs, window));
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
            Self::DepthwiseEmbedding([size, channels, ..])
            | Self::DepthwiseEmbeddingInt16([size, channels, ..])
            | Self::AveragePool([size, channels, ..])
            | Self::MaxPool([size, channels, ..]) => {
                let bytes = if self.is_wide() { 2 } else { 1 };
                let scratch = depthwise_embedding::scratch_size(channels);
                (size * size * channels * bytes, elements * bytes, scratch)
            }
            Self::WidePooling([_, columns, channels, window])
            | Self::WidePoolingInt16([_, columns, channels, window])
            | Self::NormedWidePooling([_, columns, channels, window]) => {
                let bytes = if self.is_wide() { 2 } else { 1 };
                let scratch = wide_pooling::scratch_size(window, columns, channels, bytes);
                (elements * bytes, elements * bytes, scratch)
            }
            Self::Activation(_)
            | Self::ActivationInt16(_)
            | Self::PositionEmbedding(_)
            | Self::PositionEmbeddingInt16(_) => {
                let size = elements * if self.is_wide() { 2 } else { 1 };
                (size, size, 0)
            }
            Self::Identity(_) | Self::NormedIdentity(_) => (elements, elements, 0),
            Self::RandomMixing([tokens, _]) | Self::RandomMixingInt16([tokens, _]) => {
                let size = elements * if self.is_wide() { 2 } else { 1 };
                let scratch = RandomMixing::scratch_size(tokens, NormScope::Map);
                (size, size, scratch)
            }
            Self::SepConv(shape) | Self::SepConvInt16(shape) => {
                let size = elements * if self.is_wide() { 2 } else { 1 };
                let scratch = sep_conv_scratch(shape, self.is_wide());
                (size, size, scratch)
            }
            Self::DepthwiseMixer([rows, columns, channels, window_rows, window_columns])
            | Self::DepthwiseMixerInt16([rows, columns, channels, window_rows, window_columns])
            | Self::NormedDepthwiseMixer([rows, columns, channels, window_rows, window_columns])
            | Self::PlainDepthwiseMixer([rows, columns, channels, window_rows, window_columns]) => {
                let size = elements * if self.is_wide() { 2 } else { 1 };
                let (shape, window) = ([rows, columns, channels], [window_rows, window_columns]);
                let has_borders = !matches!(self, Self::PlainDepthwiseMixer(_));
                let scratch = DepthwiseMixer::scratch_size(shape, window, has_borders);
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

/// Two, or for maps that no network has, any from one to three.
pub(super) const fn tile_tokens(outputs: usize, window: usize) -> usize {
    if outputs < 16 { 1 + window % 3 } else { 2 }
}

/// Rows and columns of what a depthwise embedding writes.
fn depthwise_side([size, channels, window, stride, padding]: [usize; 5]) -> usize {
    side([size, channels, channels, window, stride, padding])
}

/// Rows and columns of what a patch embedding writes.
pub(super) const fn side([size, _, _, window, stride, padding]: [usize; 6]) -> usize {
    (size + 2 * padding - window) / stride + 1
}
