//! The constants of one step, as source.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use tadpool_kernels::layout::Layout;
use tadpool_kernels::linear::{NormedLinear, PlainLinear, ResidualLinear};
use tadpool_kernels::norm::Norm;
use tadpool_kernels::normed::{NormScope, Normed};
use tadpool_kernels::wide_head::{MeanNorm, VectorNorm, WideLinear};

use super::tables::Tables;
use super::tokens::{array, buffer, plain, signed};
use crate::program::{Kernel, ProgramStep};
use crate::quant_model::WeightBits;

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
            let shift = match op.shift {
                [] => quote!(&[]),
                shift => tables.u8s(step, "SHIFT", shift),
            };
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
            let factor = tables.i32s(step, "FACTOR", op.factor);
            let residual = tables.i32s(step, "RESIDUAL", op.residual);
            let offset = tables.i32s(step, "OFFSET", op.offset);
            let value = quote!(ScaledPooling {
                map: #map,
                scratch: #scratch,
                shape: #shape,
                norm: #norm,
                factor: #factor,
                residual: #residual,
                offset: #offset,
            });
            (quote!(ScaledPooling), value)
        }
        Kernel::Identity(op) => {
            let (map, channels, norm) = (buffer(op.map), plain(op.channels), norm(&op.norm));
            let scope = scope(op.scope);
            let factor = tables.i32s(step, "FACTOR", op.factor);
            let offset = tables.i32s(step, "OFFSET", op.offset);
            let residual = tables.i32s(step, "RESIDUAL", op.residual);
            let value = quote!(Identity {
                map: #map,
                channels: #channels,
                scope: #scope,
                norm: #norm,
                factor: #factor,
                offset: #offset,
                residual: #residual,
            });
            (quote!(Identity), value)
        }
        Kernel::ChannelMlp(op) => {
            let (map, scratch, norm) = (buffer(op.map), buffer(op.scratch), norm(&op.norm));
            let (channels, hidden) = (plain(op.channels), plain(op.hidden));
            let (tile_tokens, hidden_zero) = (plain(op.tile_tokens), signed(op.hidden_zero));
            let fc1 = normed_linear(step, &op.fc1, op.channels, layout, bits, tables);
            let activation = tables.i8s(step, "ACTIVATION", op.activation);
            let fc2 = residual_linear(step, &op.fc2, op.hidden, layout, fc2_bits, tables);
            let value = quote!(ChannelMlp {
                map: #map,
                scratch: #scratch,
                channels: #channels,
                hidden: #hidden,
                tile_tokens: #tile_tokens,
                norm: #norm,
                fc1: #fc1,
                hidden_zero: #hidden_zero,
                activation: #activation,
                fc2: #fc2,
            });
            (quote!(ChannelMlp), value)
        }
        Kernel::ChannelMlpInt16(op) => {
            let (map, scratch, norm) = (buffer(op.map), buffer(op.scratch), norm(&op.norm));
            let (channels, hidden) = (plain(op.channels), plain(op.hidden));
            let (tile_tokens, hidden_zero) = (plain(op.tile_tokens), signed(op.hidden_zero));
            let shift = tables.u8s(step, "SHIFT", op.shift);
            let fc1 = normed_linear(step, &op.fc1, op.channels, layout, bits, tables);
            let activation = tables.i8s(step, "ACTIVATION", op.activation);
            let fc2 = residual_linear(step, &op.fc2, op.hidden, layout, fc2_bits, tables);
            let value = quote!(int16::channel_mlp::ChannelMlp {
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
            (quote!(int16::channel_mlp::ChannelMlp), value)
        }
        Kernel::NormedMlp(op) => {
            let (map, scratch) = (buffer(op.map), buffer(op.scratch));
            let (channels, hidden) = (plain(op.channels), plain(op.hidden));
            let (tile_tokens, norm) = (plain(op.tile_tokens), normed(&op.norm));
            let fc1 = plain_linear(step, "FC1", &op.fc1, op.channels, layout, bits, tables);
            let activation = tables.i8s(step, "ACTIVATION", op.activation);
            let fc2 = residual_linear(step, &op.fc2, op.hidden, layout, fc2_bits, tables);
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

/// `fc1` of a channel MLP.
fn normed_linear(
    step: &str,
    fc1: &NormedLinear<'_>,
    inputs: usize,
    layout: Layout,
    bits: WeightBits,
    tables: &mut Tables,
) -> TokenStream {
    let weights = tables.weights(layout, fc1.weights.bytes(), inputs, bits);
    let row_sums = tables.i32s(step, "FC1_ROW_SUMS", fc1.row_sums);
    let bias = tables.i32s(step, "FC1_BIAS", fc1.bias);
    let multiplier = tables.i32s(step, "FC1_MULTIPLIER", fc1.multiplier);
    quote!(NormedLinear {
        weights: #weights,
        row_sums: #row_sums,
        bias: #bias,
        multiplier: #multiplier,
    })
}

/// A layer that reads int8 values and writes others.
fn plain_linear(
    step: &str,
    name: &str,
    linear: &PlainLinear<'_>,
    inputs: usize,
    layout: Layout,
    bits: WeightBits,
    tables: &mut Tables,
) -> TokenStream {
    let weights = tables.weights(layout, linear.weights.bytes(), inputs, bits);
    let bias = tables.i32s(step, &format!("{name}_BIAS"), linear.bias);
    let multiplier = tables.i32s(step, &format!("{name}_MULTIPLIER"), linear.multiplier);
    let zero = signed(linear.zero);
    quote!(PlainLinear {
        weights: #weights,
        bias: #bias,
        multiplier: #multiplier,
        zero: #zero,
    })
}

/// A layer of a head's vector.
fn wide_linear(
    step: &str,
    name: &str,
    linear: &WideLinear<'_>,
    inputs: usize,
    bits: WeightBits,
    tables: &mut Tables,
) -> TokenStream {
    let weights = tables.weights(Layout::Rows, linear.weights.bytes(), inputs, bits);
    let bias = tables.i32s(step, &format!("{name}_BIAS"), linear.bias);
    let multiplier = tables.i32s(step, &format!("{name}_MULTIPLIER"), linear.multiplier);
    quote!(WideLinear {
        weights: #weights,
        bias: #bias,
        multiplier: #multiplier,
    })
}

/// The layer that ends a branch.
fn residual_linear(
    step: &str,
    linear: &ResidualLinear<'_>,
    inputs: usize,
    layout: Layout,
    bits: WeightBits,
    tables: &mut Tables,
) -> TokenStream {
    let weights = tables.weights(layout, linear.weights.bytes(), inputs, bits);
    let bias = tables.i32s(step, "FC2_BIAS", linear.bias);
    let residual = tables.i32s(step, "FC2_RESIDUAL", linear.residual);
    let multiplier = tables.i32s(step, "FC2_MULTIPLIER", linear.multiplier);
    let offset = match linear.offset {
        [] => quote!(&[]),
        offset => tables.i32s(step, "FC2_OFFSET", offset),
    };
    let zero_point = signed(linear.zero_point);
    quote!(ResidualLinear {
        weights: #weights,
        bias: #bias,
        residual: #residual,
        multiplier: #multiplier,
        offset: #offset,
        zero_point: #zero_point,
    })
}

fn norm(norm: &Norm) -> TokenStream {
    let elements = Literal::u32_unsuffixed(norm.elements);
    let epsilon = Literal::u64_unsuffixed(norm.epsilon);
    quote!(Norm { elements: #elements, epsilon: #epsilon })
}

fn normed(normed: &Normed) -> TokenStream {
    let (scope, norm) = (scope(normed.scope), norm(&normed.norm));
    let multiplier = signed(normed.multiplier);
    quote!(Normed { scope: #scope, norm: #norm, multiplier: #multiplier })
}

fn vector_norm(vector: &VectorNorm) -> TokenStream {
    let (norm, multiplier) = (norm(&vector.norm), signed(vector.multiplier));
    quote!(VectorNorm { norm: #norm, multiplier: #multiplier })
}

fn scope(scope: NormScope) -> TokenStream {
    let scope = format_ident!("{scope:?}");
    quote!(NormScope::#scope)
}

fn option(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(Some(#value)),
        None => quote!(None),
    }
}
