//! The constants of one step, as source.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use tadpool_kernels::layout::Layout;
use tadpool_kernels::wide_head::MeanNorm;

use super::layers::{
    norm, normed, normed_linear, option, per_channel, plain_linear, residual_linear, scope, shifts,
    vector_norm, wide_linear,
};
use super::tables::Tables;
use super::token_mixers;
use super::tokens::{array, buffer, plain, signed};
use crate::place::program::{Kernel, ProgramStep};

/// Type and value of one step's constants.
pub(super) fn constants(
    step: &str,
    program_step: &ProgramStep<'_>,
    layout: Layout,
    tables: &mut Tables,
) -> (TokenStream, TokenStream) {
    let [bits, fc2_bits] = program_step.bits;
    match &program_step.kernel {
        Kernel::PatchEmbedding(op) => {
            let (input, output, scratch) =
                (buffer(op.input), buffer(op.output), buffer(op.scratch));
            let (input_shape, output_shape) = (array(op.input_shape), array(op.output_shape));
            let (kernel, stride, padding) = (array(op.kernel), array(op.stride), array(op.padding));
            let (tile_tokens, flip, zero_point) = (
                plain(op.tile_tokens),
                Literal::u8_unsuffixed(op.flip),
                signed(op.zero_point),
            );
            let pad = tables.i8s(step, "PAD", op.pad);
            let shift = shifts(step, op.shift, tables);
            let rows = op.weights.bytes();
            let weights = tables.weights(layout, rows, rows.len() / op.bias.len().max(1), bits);
            let bias = tables.i32s(step, "BIAS", op.bias);
            let multiplier = tables.i32s(step, "MULTIPLIER", op.multiplier);
            let value = quote!(PatchEmbedding {
                input: #input,
                output: #output,
                scratch: #scratch,
                input_shape: #input_shape,
                output_shape: #output_shape,
                kernel: #kernel,
                stride: #stride,
                padding: #padding,
                tile_tokens: #tile_tokens,
                flip: #flip,
                shift: #shift,
                pad: #pad,
                weights: #weights,
                bias: #bias,
                multiplier: #multiplier,
                zero_point: #zero_point,
            });
            (quote!(PatchEmbedding), value)
        }
        Kernel::Pooling(op) => {
            let (map, scratch, shape) = (buffer(op.map), buffer(op.scratch), array(op.shape));
            let (norm, residual, offset) = (norm(&op.norm), signed(op.residual), signed(op.offset));
            let factor = tables.i32s(step, "FACTOR", op.factor);
            let value = quote!(Pooling {
                map: #map,
                scratch: #scratch,
                shape: #shape,
                norm: #norm,
                factor: #factor,
                residual: #residual,
                offset: #offset,
            });
            (quote!(Pooling), value)
        }
        Kernel::ScaledPooling(op) => {
            let (map, scratch, shape) = (buffer(op.map), buffer(op.scratch), array(op.shape));
            let norm = norm(&op.norm);
            let constants = per_channel(step, [op.factor, op.residual, op.offset], tables);
            let value = quote!(ScaledPooling {
                map: #map,
                scratch: #scratch,
                shape: #shape,
                norm: #norm,
                #constants
            });
            (quote!(ScaledPooling), value)
        }
        Kernel::NormedPooling(op) => {
            let (map, scratch, shape) = (buffer(op.map), buffer(op.scratch), array(op.shape));
            let normed = normed(&op.normed);
            let constants = per_channel(step, [op.factor, op.residual, op.offset], tables);
            let value = quote!(NormedPooling {
                map: #map,
                scratch: #scratch,
                shape: #shape,
                normed: #normed,
                #constants
            });
            (quote!(NormedPooling), value)
        }
        Kernel::Identity(op) => {
            let (map, channels, norm) = (buffer(op.map), plain(op.channels), norm(&op.norm));
            let scope = scope(op.scope);
            let constants = per_channel(step, [op.factor, op.residual, op.offset], tables);
            let value = quote!(Identity {
                map: #map,
                channels: #channels,
                scope: #scope,
                norm: #norm,
                #constants
            });
            (quote!(Identity), value)
        }
        Kernel::RandomMixing(op) => {
            let value = token_mixers::random_mixing(step, op, layout, bits, tables);
            (quote!(RandomMixing), value)
        }
        Kernel::SepConv(op) => {
            let value = token_mixers::sep_conv(step, op, layout, [bits, fc2_bits], tables);
            (quote!(SepConv), value)
        }
        Kernel::Attention(op) => {
            let value = token_mixers::attention(step, op, layout, [bits, fc2_bits], tables);
            (quote!(Attention), value)
        }
        Kernel::ChannelMlp(op) => {
            let (map, scratch, norm) = (buffer(op.map), buffer(op.scratch), norm(&op.norm));
            let (channels, hidden) = (plain(op.channels), plain(op.hidden));
            let (tile_tokens, hidden_zero) = (plain(op.tile_tokens), signed(op.hidden_zero));
            let fc1 = normed_linear(step, &op.fc1, op.channels, layout, bits, tables);
            let shift = shifts(step, op.shift, tables);
            let activation = tables.i8s(step, "ACTIVATION", op.activation);
            let fc2 = residual_linear(step, "FC2", &op.fc2, op.hidden, layout, fc2_bits, tables);
            let value = quote!(ChannelMlp {
                map: #map,
                scratch: #scratch,
                channels: #channels,
                hidden: #hidden,
                tile_tokens: #tile_tokens,
                norm: #norm,
                shift: #shift,
                fc1: #fc1,
                hidden_zero: #hidden_zero,
                activation: #activation,
                fc2: #fc2,
            });
            (quote!(ChannelMlp), value)
        }
        Kernel::NormedMlp(op) => {
            let (map, scratch) = (buffer(op.map), buffer(op.scratch));
            let (channels, hidden) = (plain(op.channels), plain(op.hidden));
            let (tile_tokens, norm) = (plain(op.tile_tokens), normed(&op.norm));
            let fc1 = plain_linear(step, "FC1", &op.fc1, op.channels, layout, bits, tables);
            let activation = tables.i8s(step, "ACTIVATION", op.activation);
            let fc2 = residual_linear(step, "FC2", &op.fc2, op.hidden, layout, fc2_bits, tables);
            let value = quote!(NormedMlp {
                map: #map,
                scratch: #scratch,
                channels: #channels,
                hidden: #hidden,
                tile_tokens: #tile_tokens,
                norm: #norm,
                fc1: #fc1,
                activation: #activation,
                fc2: #fc2,
            });
            (quote!(NormedMlp), value)
        }
        Kernel::Head(op) => {
            let (map, output, scratch) = (buffer(op.map), buffer(op.output), buffer(op.scratch));
            let (tokens, channels) = (plain(op.tokens), plain(op.channels));
            let zero_point = Literal::i8_unsuffixed(op.zero_point);
            let norm = option(op.norm.as_ref().map(norm));
            let weights = tables.weights(Layout::Rows, op.weights.bytes(), op.channels, bits);
            let row_sums = tables.i32s(step, "ROW_SUMS", op.row_sums);
            let multiplier = tables.i32s(step, "MULTIPLIER", op.multiplier);
            let bias = tables.i32s(step, "BIAS", op.bias);
            let value = quote!(Head {
                map: #map,
                output: #output,
                scratch: #scratch,
                tokens: #tokens,
                channels: #channels,
                norm: #norm,
                zero_point: #zero_point,
                weights: #weights,
                row_sums: #row_sums,
                multiplier: #multiplier,
                bias: #bias,
            });
            (quote!(Head), value)
        }
        Kernel::WideHead(op) => {
            let (map, output, scratch) = (buffer(op.map), buffer(op.output), buffer(op.scratch));
            let (tokens, channels) = (plain(op.tokens), plain(op.channels));
            let norm = option(op.norm.as_ref().map(|MeanNorm { place, norm }| {
                let place = format_ident!("{place:?}");
                let norm = vector_norm(norm);
                quote!(MeanNorm { place: NormPlace::#place, norm: #norm })
            }));
            let mut inputs = op.channels;
            let hidden = option(op.hidden.as_ref().map(|hidden| {
                let fc1 = wide_linear(step, "FC1", &hidden.fc1, inputs, bits, tables);
                inputs = hidden.fc1.bias.len();
                let activation = tables.i32s(step, "ACTIVATION", hidden.activation);
                let norm = option(hidden.norm.as_ref().map(vector_norm));
                quote!(HeadHidden { fc1: #fc1, activation: #activation, norm: #norm })
            }));
            let linear = wide_linear(step, "LINEAR", &op.linear, inputs, fc2_bits, tables);
            let value = quote!(WideHead {
                map: #map,
                output: #output,
                scratch: #scratch,
                tokens: #tokens,
                channels: #channels,
                norm: #norm,
                hidden: #hidden,
                linear: #linear,
            });
            (quote!(WideHead), value)
        }
    }
}
