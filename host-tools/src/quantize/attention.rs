//! Self-attention: the scale of the scores and the base of the exponential become one
//! factor, the layer scale goes into the projection.

use tadpool_kernels::softmax::{MAX_SCORES, MULTIPLIER_MAX};

use super::normed::{self, inner, symmetric};
use super::{Context, QuantError, residual};
use crate::float::View;
use crate::ir::Attention;
use crate::quant_model::{Quant, QuantAttention};

/// Most values of a head: its scores then fit 32 bits.
const MAX_HEAD_SIZE: usize = 1 << 16;

pub(super) fn quantize(
    context: &Context<'_>,
    op: &Attention,
    output: Quant,
) -> Result<QuantAttention, QuantError> {
    let inputs = op.projection.inputs;
    let geometry = |what, value, supported| QuantError::Geometry {
        layer: context.layer.name.clone(),
        what,
        value,
        supported,
    };
    let tokens = context.layer.input.tokens();
    if tokens > MAX_SCORES {
        let supported = "attention over at most 8192 of them";
        return Err(geometry("number of tokens", tokens, supported));
    }
    let head_size = inputs / op.heads.max(1);
    if head_size == 0 || head_size * op.heads != inputs || head_size > MAX_HEAD_SIZE {
        let supported = "heads of 1 to 65536 values each";
        return Err(geometry("number of values of a head", head_size, supported));
    }
    context.finite(&[op.scale], "the scale of the scores")?;
    if op.scale < 0.0 {
        return Err(context.unsupported("a negative scale of the scores"));
    }

    let (norm, step) = normed::norm(context, &op.norm)?;
    let queries = symmetric(inner(context, View::Queries, "queries")?);
    let keys = symmetric(inner(context, View::Keys, "keys")?);
    let values = symmetric(inner(context, View::Values, "values")?);
    let sizes = [queries, keys, values];
    let qkv = normed::linear(context, &op.qkv, &op.norm, step, |o| sizes[o / inputs])?;

    let score = f64::from(op.scale) * queries * keys;
    let exponent = score * std::f64::consts::LOG2_E * 2f64.powi(32);
    // Weighted means are within the values, so few steps of theirs are ever more.
    let finest = values * 2f64.powi(20) / f64::from(MULTIPLIER_MAX - 1);
    let attended = symmetric(inner(context, View::Attended, "attended values")?).max(finest);
    let hidden = Quant {
        scale: attended,
        zero_point: 0,
    };
    let (projection, residual) =
        residual::quantize(context, &op.projection, &op.residual, hidden, output)?;
    Ok(QuantAttention {
        heads: op.heads,
        norm,
        qkv,
        exponent: context.fits_i32(0, "a step of the scores in the exponent", exponent)?,
        attended: context.fits(
            0,
            "a step of the values in attended ones",
            values / attended * 2f64.powi(20),
            f64::from(MULTIPLIER_MAX),
        )? as i32,
        projection,
        residual,
    })
}
