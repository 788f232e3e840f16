//! Self-attention on a stream of either width.

use super::{Linear, Moments, as_i8, as_i32, products, requantize, rounded};

#[derive(Debug, Clone)]
pub(crate) struct Attention {
    pub(crate) channels: usize,
    pub(crate) heads: usize,
    pub(crate) head_size: usize,
    /// Whether each token has its own mean and deviation.
    pub(crate) by_token: bool,
    pub(crate) epsilon: u64,
    pub(crate) norm_multiplier: i32,
    pub(crate) qkv: Linear,
    pub(crate) exponent: i32,
    pub(crate) attended: i32,
    pub(crate) projection: Linear,
    /// Of the written map: of int8 ones its zero point, of int16 ones per channel.
    pub(crate) zero_point: i32,
    pub(crate) offset: Vec<i32>,
}

/// A stream's values, and how many of their bits are a fraction.
pub(crate) struct Map {
    pub(crate) values: Vec<i16>,
    pub(crate) fraction: i32,
}

/// Normalised values.
fn normed(op: &Attention, map: &Map) -> Vec<i8> {
    let group = match op.by_token {
        true => op.channels,
        false => map.values.len(),
    };
    let mut normed = Vec::new();
    for values in map.values.chunks(group) {
        let wide = || values.iter().map(|&value| i128::from(value));
        let (sum, squares) = (wide().sum(), wide().map(|value| value * value).sum());
        let epsilon = i128::from(op.epsilon) << (2 * map.fraction);
        let moments = Moments::of_sums(group as i128, sum, squares, epsilon, map.fraction);
        let factor = rounded(i128::from(op.norm_multiplier) * moments.inverse, 20);
        normed.extend(wide().map(|value| {
            let centred = (value << (16 - map.fraction)) - moments.mean;
            as_i8(requantize(centred, as_i32(factor) as i32))
        }));
    }
    normed
}

/// The weight at a distance in Q32: on a line between two of 64 powers, each of which
/// is a part in `2^17` too small, Q10.
pub(crate) fn weight(distance: i128) -> i128 {
    let power = |i: i128| {
        let real = (-(i as f64) / 64.0).exp2() * (1.0 - 2f64.powi(-17));
        (32_512.0 * 1024.0 * real).round() as i128
    };
    let (whole, part) = (distance >> 32, distance & 0xffff_ffff);
    if whole > 15 {
        return 0;
    }
    let (index, rest) = (part >> 26, part >> 13 & 8191);
    let drop = (power(index) - power(index + 1)) * rest / 8192;
    rounded(power(index) - drop, (10 + whole) as u32)
}

/// Weighted means of one head's values for one query.
fn attend(op: &Attention, query: &[i8], keys: &[Vec<i8>], values: &[Vec<i8>]) -> Vec<i8> {
    let scores: Vec<i128> = keys.iter().map(|key| products(key, query)[0]).collect();
    let largest = *scores.iter().max().unwrap();
    let weights = scores
        .iter()
        .map(|score| weight((largest - score) * i128::from(op.exponent)));
    let weights: Vec<i128> = weights.collect();
    let sum: i128 = weights.iter().sum();
    // The sum's 32 leading bits divide 31 more of the factor.
    let shift = 31 - sum.ilog2();
    let factor = (i128::from(op.attended) << 31) / (sum << shift);
    let mean = |at: usize| {
        let pairs = weights.iter().zip(values);
        let sum: i128 = pairs
            .map(|(weight, value)| weight * i128::from(value[at]))
            .sum();
        as_i8(rounded(sum * factor, 51 - shift))
    };
    (0..op.head_size).map(mean).collect()
}

pub(crate) fn attention(op: &Attention, map: &Map) -> Vec<i16> {
    let inner = op.heads * op.head_size;
    let normed = normed(op, map);
    let qkv: Vec<Vec<i8>> = normed
        .chunks(op.channels)
        .map(|token| {
            let outputs = products(&op.qkv.weights, token).into_iter().enumerate();
            let requantized = outputs.map(|(o, product)| {
                let acc = i128::from(op.qkv.bias[o]) + product;
                as_i8(requantize(acc, op.qkv.multiplier[o]))
            });
            requantized.collect()
        })
        .collect();
    let part = |token: &Vec<i8>, block: usize, head: usize| {
        token[block * inner + head * op.head_size..][..op.head_size].to_vec()
    };
    // Keys and values have no -128.
    let kept = |token: &Vec<i8>, block: usize, head: usize| {
        let part = part(token, block, head);
        part.into_iter().map(|q| q.max(-127)).collect::<Vec<i8>>()
    };
    let mut attended = vec![Vec::new(); qkv.len()];
    for head in 0..op.heads {
        let keys: Vec<_> = qkv.iter().map(|token| kept(token, 1, head)).collect();
        let values: Vec<_> = qkv.iter().map(|token| kept(token, 2, head)).collect();
        for (attended, token) in attended.iter_mut().zip(&qkv) {
            attended.extend(attend(op, &part(token, 0, head), &keys, &values));
        }
    }

    let mut output = Vec::new();
    for (token, attended) in map.values.chunks(op.channels).zip(&attended) {
        for (c, product) in products(&op.projection.weights, attended)
            .into_iter()
            .enumerate()
        {
            let acc = i128::from(op.projection.bias[c]) + product;
            let residual = i128::from(op.projection.residual[c]) * i128::from(token[c]);
            let multiplier = op.projection.multiplier[c];
            output.push(if map.fraction == 0 {
                let value = requantize(acc + residual, multiplier);
                i16::from(as_i8(value + i128::from(op.zero_point)))
            } else {
                let total = acc * i128::from(multiplier) + residual;
                let total = total + (i128::from(op.offset[c]) << 16);
                total.div_euclid(1 << 24).clamp(-32_768, 32_767) as i16
            });
        }
    }
    output
}
