//! Self-attention: the scale of the scores and the base of the exponential become one
//! factor, the layer scale goes into the projection.

use tadpool_kernels::softmax::{MAX_SCORES, MULTIPLIER_MAX};

use crate::network::Attention;
use crate::network::float::View;
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::linear::{self, Names};
use crate::quantize::quant_model::{Quant, QuantAttention};

/// Most values of a head: its scores then fit 32 bits.
const MAX_HEAD_SIZE: usize = 1 << 16;

pub(crate) fn quantize(
    context: &Context<'_>,
    op: &Attention,
    output: Quant,
) -> Result<QuantAttention, QuantError> {
    let inputs = op.projection.inputs;
    let geometry = |what, value, supported| QuantError::Geometry {
        layer: context.layer.name.to_string(),
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
    for (values, what) in [
        (&[op.scale][..], "the scale of the scores"),
        (&op.qkv.weight, "the weight of qkv"),
        (&op.qkv.bias, "the bias of qkv"),
        (&op.projection.weight, "the weight of the projection"),
        (&op.projection.bias, "the bias of the projection"),
        (&op.residual.layer_scale, "the layer scale"),
        (&op.residual.res_scale, "the res scale"),
    ] {
        context.finite(values, what)?;
    }
    if op.scale < 0.0 {
        return Err(context.unsupported("a negative scale of the scores"));
    }

    let (norm, normed) = context.normed(&op.norm)?;
    let queries = symmetric(context, View::Queries, "queries")?;
    let keys = symmetric(context, View::Keys, "keys")?;
    let values = symmetric(context, View::Values, "values")?;
    let quants = [queries, keys, values];
    let qkv = linear::normed(
        context,
        (Names::QKV, 0),
        &op.qkv,
        &op.norm,
        normed,
        |output| quants[output / inputs],
    )?;

    let score = f64::from(op.scale) * queries.scale * keys.scale;
    let exponent = score * std::f64::consts::LOG2_E * 2f64.powi(32);
    // Weighted means are within the values, so few steps of theirs are ever more.
    let finest = values.scale * 2f64.powi(20) / f64::from(MULTIPLIER_MAX - 1);
    let attended = symmetric(context, View::Attended, "attended values")?;
    let attended = Quant {
        scale: attended.scale.max(finest),
        ..attended
    };
    let slot = (Names::PROJECTION, 1);
    let projection = linear::residual(
        context,
        slot,
        &op.projection,
        &op.residual,
        attended,
        output,
    )?;
    Ok(QuantAttention {
        heads: op.heads,
        norm,
        qkv,
        exponent: context.fits_i32(0, "a step of the scores in the exponent", exponent)?,
        attended: context.fits(
            0,
            "a step of the values in attended ones",
            values.scale / attended.scale * 2f64.powi(20),
            f64::from(MULTIPLIER_MAX),
        )? as i32,
        projection,
    })
}

/// 127 steps up to the largest magnitude of an inner map.
fn symmetric(context: &Context<'_>, view: View, what: &'static str) -> Result<Quant, QuantError> {
    let range = context.ranges.inner.get(&view).copied();
    let range = context.range(range.unwrap_or_default(), what)?;
    Ok(Quant::symmetric(range))
}
