//! A norm that is written out: its values get a scale, and what reads them its weight
//! and bias.

use tadpool_kernels::norm::Norm;
use tadpool_kernels::normed::{NormScope, Normed};

use super::{Context, QuantError};
use crate::float::View;
use crate::ir;
use crate::quant_model::Quant;

/// The norm of the map that the layer reads, and what its values mean.
pub(super) fn quantize(
    context: &Context<'_>,
    norm: &ir::Norm,
) -> Result<(Normed, Quant), QuantError> {
    let stream = context.stream()?;
    let seen = context.ranges.inner.get(&View::Input).copied();
    let range = context.range(seen.unwrap_or_default(), "normalised values")?;
    let largest = f64::from(range.max.max(-range.min));
    let scale = (largest / 127.0).max(1e-9);
    let shape = context.layer.input;
    let (scope, elements) = match norm.scope {
        ir::NormScope::Map => (NormScope::Map, shape.elements()),
        ir::NormScope::Token => (NormScope::Token, shape.channels),
    };
    let norm: Norm = context.norm_of(norm, elements, stream)?;
    let normed = Normed {
        scope,
        norm,
        multiplier: context.fits_i32(0, "the factor of the normalised values", 4096.0 / scale)?,
    };
    let quant = Quant {
        scale,
        zero_point: 0,
    };
    Ok((normed, quant))
}
