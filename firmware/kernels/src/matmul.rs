//! Matrix products over a tile of tokens.
//!
//! A tile is expanded to `i16` once and multiplied with every output channel's
//! weights. Weights are row-major, `outputs x inputs`.

/// The product of one output channel's weights with one expanded token.
#[inline(always)]
pub(crate) fn dot(weights: &[i8], token: &[i16]) -> i32 {
    weights
        .iter()
        .zip(token)
        .fold(0i32, |acc, (&weight, &value)| {
            acc.wrapping_add(i32::from(weight) * i32::from(value))
        })
}

/// Widens `values` into `tile`.
#[inline(always)]
pub(crate) fn expand(values: &[i8], tile: &mut [i16]) {
    for (wide, &value) in tile.iter_mut().zip(values) {
        *wide = i16::from(value);
    }
}
