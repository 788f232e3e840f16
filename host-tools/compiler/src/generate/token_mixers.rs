//! The constants of token mixers that have matrices.

use proc_macro2::{Literal, TokenStream};
use quote::quote;
use tadpool_kernels::attention::Attention;
use tadpool_kernels::depthwise::Depthwise;
use tadpool_kernels::layout::Layout;
use tadpool_kernels::random_mixing::RandomMixing;
use tadpool_kernels::sep_conv::SepConv;

use super::layers::{normed, per_channel, plain_linear, residual_linear};
use super::tables::Tables;
use super::tokens::{array, buffer, plain, signed};
use crate::quantize::quant_model::WeightBits;

/// A random mixing whose matrix has these bits.
pub(super) fn random_mixing(
    step: &str,
    op: &RandomMixing<'_>,
    layout: Layout,
    bits: WeightBits,
    tables: &mut Tables,
) -> TokenStream {
    let (map, scratch, normed) = (buffer(op.map), buffer(op.scratch), normed(&op.normed));
    let (tokens, channels) = (plain(op.tokens), plain(op.channels));
    let weights = tables.weights(layout, op.weights.bytes(), op.tokens, bits);
    let multiplier = tables.i32s(step, "MULTIPLIER", op.multiplier);
    let constant = some_i32s(step, "CONSTANT", op.constant, tables);
    let beta = some_i32s(step, "BETA", op.beta, tables);
    let constants = per_channel(step, [op.factor, op.residual, op.offset], tables);
    quote!(RandomMixing {
        map: #map,
        scratch: #scratch,
        tokens: #tokens,
        channels: #channels,
        normed: #normed,
        weights: #weights,
        multiplier: #multiplier,
        constant: #constant,
        beta: #beta,
        #constants
    })
}

/// A separable convolution whose `fc1` and `fc2` have these bits.
pub(super) fn sep_conv(
    step: &str,
    op: &SepConv<'_>,
    layout: Layout,
    [bits, fc2_bits]: [WeightBits; 2],
    tables: &mut Tables,
) -> TokenStream {
    let (map, scratch, shape) = (buffer(op.map), buffer(op.scratch), array(op.shape));
    let (hidden, tile_tokens) = (plain(op.hidden), plain(op.tile_tokens));
    let [_, _, channels] = op.shape;
    let normed = normed(&op.normed);
    let fc1 = plain_linear(step, "FC1", &op.fc1, channels, layout, bits, tables);
    let act1 = activation(step, "ACT1", op.act1, tables);
    let depthwise = depthwise(step, &op.depthwise, tables);
    let act2 = activation(step, "ACT2", op.act2, tables);
    let fc2 = residual_linear(step, "FC2", &op.fc2, op.hidden, layout, fc2_bits, tables);
    quote!(SepConv {
        map: #map,
        scratch: #scratch,
        shape: #shape,
        hidden: #hidden,
        tile_tokens: #tile_tokens,
        normed: #normed,
        fc1: #fc1,
        act1: #act1,
        depthwise: #depthwise,
        act2: #act2,
        fc2: #fc2,
    })
}

/// A self-attention whose `qkv` and `projection` have these bits.
pub(super) fn attention(
    step: &str,
    op: &Attention<'_>,
    layout: Layout,
    [qkv_bits, projection_bits]: [WeightBits; 2],
    tables: &mut Tables,
) -> TokenStream {
    let (map, scratch) = (buffer(op.map), buffer(op.scratch));
    let (channels, heads) = (plain(op.channels), plain(op.heads));
    let (head_size, tile_tokens) = (plain(op.head_size), plain(op.tile_tokens));
    let norm = normed(&op.norm);
    let qkv = plain_linear(step, "QKV", &op.qkv, op.channels, layout, qkv_bits, tables);
    let (exponent, attended) = (signed(op.exponent), signed(op.attended));
    let inner = op.heads * op.head_size;
    let (name, linear) = ("PROJECTION", &op.projection);
    let projection = residual_linear(step, name, linear, inner, layout, projection_bits, tables);
    quote!(Attention {
        map: #map,
        scratch: #scratch,
        channels: #channels,
        heads: #heads,
        head_size: #head_size,
        tile_tokens: #tile_tokens,
        norm: #norm,
        qkv: #qkv,
        exponent: #exponent,
        attended: #attended,
        projection: #projection,
    })
}

fn depthwise(step: &str, op: &Depthwise<'_>, tables: &mut Tables) -> TokenStream {
    let kernel = array(op.kernel);
    let weights = tables.i8s(step, "DEPTHWISE_WEIGHTS", op.weights);
    let bias = tables.i32s(step, "DEPTHWISE_BIAS", op.bias);
    let multiplier = tables.i32s(step, "DEPTHWISE_MULTIPLIER", op.multiplier);
    let (padding, zero) = (Literal::i8_unsuffixed(op.padding), signed(op.zero));
    quote!(Depthwise {
        kernel: #kernel,
        weights: #weights,
        bias: #bias,
        multiplier: #multiplier,
        padding: #padding,
        zero: #zero,
    })
}

fn activation(
    step: &str,
    name: &str,
    table: Option<&[i8; 256]>,
    tables: &mut Tables,
) -> TokenStream {
    match table {
        Some(table) => {
            let table = tables.i8s(step, name, table);
            quote!(Some(#table))
        }
        None => quote!(None),
    }
}

/// A table that may be empty.
fn some_i32s(step: &str, name: &str, values: &[i32], tables: &mut Tables) -> TokenStream {
    match values {
        [] => quote!(&[]),
        values => tables.i32s(step, name, values),
    }
}
