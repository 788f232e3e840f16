//! Linear layers and norms, as source.

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use tadpool_kernels::layout::Layout;
use tadpool_kernels::linear::{NormedLinear, PlainLinear, ResidualLinear};
use tadpool_kernels::norm::Norm;
use tadpool_kernels::normed::{NormScope, Normed};
use tadpool_kernels::wide_head::{VectorNorm, WideLinear};

use super::tables::Tables;
use super::tokens::signed;
use crate::quantize::quant_model::WeightBits;

/// Factor, residual and offset of each channel, as fields.
pub(super) fn per_channel(
    step: &str,
    [factor, residual, offset]: [&[i32]; 3],
    tables: &mut Tables,
) -> TokenStream {
    let factor = tables.i32s(step, "FACTOR", factor);
    let residual = tables.i32s(step, "RESIDUAL", residual);
    let offset = tables.i32s(step, "OFFSET", offset);
    quote!(factor: #factor, residual: #residual, offset: #offset,)
}

/// Bits that are rounded away from each channel of an int16 stream.
pub(super) fn shifts(step: &str, shift: &[u8], tables: &mut Tables) -> TokenStream {
    match shift {
        [] => quote!(&[]),
        shift => tables.u8s(step, "SHIFT", shift),
    }
}

/// `fc1` of a channel MLP.
pub(super) fn normed_linear(
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
pub(super) fn plain_linear(
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
pub(super) fn wide_linear(
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
pub(super) fn residual_linear(
    step: &str,
    name: &str,
    linear: &ResidualLinear<'_>,
    inputs: usize,
    layout: Layout,
    bits: WeightBits,
    tables: &mut Tables,
) -> TokenStream {
    let weights = tables.weights(layout, linear.weights.bytes(), inputs, bits);
    let bias = tables.i32s(step, &format!("{name}_BIAS"), linear.bias);
    let residual = tables.i32s(step, &format!("{name}_RESIDUAL"), linear.residual);
    let multiplier = tables.i32s(step, &format!("{name}_MULTIPLIER"), linear.multiplier);
    let offset = match linear.offset {
        [] => quote!(&[]),
        offset => tables.i32s(step, &format!("{name}_OFFSET"), offset),
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

/// A norm that is folded into its step.
pub(super) fn norm(norm: &Norm) -> TokenStream {
    let elements = Literal::u32_unsuffixed(norm.elements);
    let epsilon = Literal::u64_unsuffixed(norm.epsilon);
    quote!(Norm { elements: #elements, epsilon: #epsilon })
}

/// A norm that is written out.
pub(super) fn normed(normed: &Normed) -> TokenStream {
    let (scope, norm) = (scope(normed.scope), norm(&normed.norm));
    let multiplier = signed(normed.multiplier);
    quote!(Normed { scope: #scope, norm: #norm, multiplier: #multiplier })
}

/// A norm of a head's vector.
pub(super) fn vector_norm(vector: &VectorNorm) -> TokenStream {
    let (norm, multiplier) = (norm(&vector.norm), signed(vector.multiplier));
    quote!(VectorNorm { norm: #norm, multiplier: #multiplier })
}

/// Which values share a mean and a deviation.
pub(super) fn scope(scope: NormScope) -> TokenStream {
    let scope = format_ident!("{scope:?}");
    quote!(NormScope::#scope)
}

/// What a network may have or not.
pub(super) fn option(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(Some(#value)),
        None => quote!(None),
    }
}
