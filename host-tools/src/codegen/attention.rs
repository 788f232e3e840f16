//! Constants of a self-attention.

use proc_macro2::TokenStream;
use quote::quote;
use tadpool_kernels::attention::Attention;
use tadpool_kernels::layout::Layout;
use tadpool_kernels::linear::PlainLinear;
use tadpool_kernels::normed::{NormScope, Normed};

use super::model::{buffer, norm, plain, residual_linear, signed};
use super::tables::Tables;
use crate::quant_model::WeightBits;

/// Type and value.
pub(super) fn constants(
    step: &str,
    op: &Attention<'_>,
    layout: Layout,
    [qkv_bits, projection_bits]: [WeightBits; 2],
    tables: &mut Tables,
) -> (TokenStream, TokenStream) {
    let (map, scratch) = (buffer(op.map), buffer(op.scratch));
    let (channels, heads) = (plain(op.channels), plain(op.heads));
    let (head_size, tile_tokens) = (plain(op.head_size), plain(op.tile_tokens));
    let norm = normed(&op.norm);
    let qkv = plain_linear(step, "QKV", &op.qkv, op.channels, layout, qkv_bits, tables);
    let (exponent, attended) = (signed(op.exponent), signed(op.attended));
    let inner = op.heads * op.head_size;
    let (part, linear) = ("PROJECTION", &op.projection);
    let projection = residual_linear(step, part, linear, inner, layout, projection_bits, tables);
    let value = quote!(Attention {
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
    });
    (quote!(Attention), value)
}

/// A norm that is written out.
fn normed(normed: &Normed) -> TokenStream {
    let scope = match normed.scope {
        NormScope::Map => quote!(Map),
        NormScope::Token => quote!(Token),
    };
    let (norm, multiplier) = (norm(&normed.norm), signed(normed.multiplier));
    quote!(Normed {
        scope: NormScope::#scope,
        norm: #norm,
        multiplier: #multiplier,
    })
}

/// The layer called `part`, which writes int8 values.
fn plain_linear(
    step: &str,
    part: &str,
    linear: &PlainLinear<'_>,
    inputs: usize,
    layout: Layout,
    bits: WeightBits,
    tables: &mut Tables,
) -> TokenStream {
    let weights = tables.weights(layout, linear.weights.bytes(), inputs, bits);
    let bias = tables.i32s(step, &format!("{part}_BIAS"), linear.bias);
    let multiplier = tables.i32s(step, &format!("{part}_MULTIPLIER"), linear.multiplier);
    let zero = signed(linear.zero);
    quote!(PlainLinear {
        weights: #weights,
        bias: #bias,
        multiplier: #multiplier,
        zero: #zero,
    })
}
