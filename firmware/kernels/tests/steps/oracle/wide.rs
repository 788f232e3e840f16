//! The steps on a 16-bit stream: a value is `256 * q`.

use super::{
    Classifier, Convolution, Mixer, Mlp, Moments, as_i8, as_i32, im2col, normed, pooled, products,
    rounded as divided,
};
use tadpool_kernels::pooling::Subtracted;

/// The nearest value to `total / 2^24`, half a step included.
fn as_i16(total: i128) -> i16 {
    total.div_euclid(1 << 24).clamp(-32_768, 32_767) as i16
}

/// In units of `q`.
pub(crate) fn moments(map: &[i16], epsilon: u64) -> Moments {
    let sum = map.iter().map(|&value| i128::from(value)).sum();
    let squares = map.iter().map(|&value| i128::from(value).pow(2)).sum();
    Moments::of_sums(
        map.len() as i128,
        sum,
        squares,
        i128::from(epsilon) << 16,
        8,
    )
}

/// The inputs of the matrix products.
pub(crate) fn rounded(map: &[i16], shift: &[u8]) -> Vec<i8> {
    map.iter()
        .zip(shift.iter().cycle())
        .map(|(&value, &shift)| match shift {
            0 => as_i8(value.into()),
            shift => as_i8(divided(value.into(), shift.into())),
        })
        .collect()
}

pub(crate) fn row_sums(weights: &[i8], shift: &[u8]) -> Vec<i32> {
    weights
        .chunks(shift.len())
        .map(|row| {
            let terms = row.iter().zip(shift);
            terms.map(|(&w, &shift)| i32::from(w) << (8 - shift)).sum()
        })
        .collect()
}

pub(crate) fn channel_mlp(
    mlp: &Mlp,
    shift: &[u8],
    [residual, offset]: &[Vec<i32>; 2],
    map: &[i16],
) -> Vec<i16> {
    let moments = moments(map, mlp.epsilon);
    let sums = row_sums(&mlp.fc1.weights, shift);
    let seen = rounded(map, shift);
    let mut output = Vec::new();
    for (token, seen) in map.chunks(mlp.channels).zip(seen.chunks(mlp.channels)) {
        let hidden = mlp.hidden(&moments, &sums, seen);
        output.extend(update(mlp, [residual, offset], token, &hidden));
    }
    output
}

/// One token behind `fc2`.
fn update(mlp: &Mlp, [residual, offset]: [&[i32]; 2], token: &[i16], hidden: &[i8]) -> Vec<i16> {
    let products = products(&mlp.fc2.weights, hidden).into_iter().enumerate();
    products
        .map(|(c, product)| {
            let acc = i128::from(mlp.fc2.bias[c]) + product;
            let branch = acc * i128::from(mlp.fc2.multiplier[c]);
            let residual = i128::from(residual[c]) * i128::from(token[c]);
            as_i16(branch + residual + (i128::from(offset[c]) << 16))
        })
        .collect()
}

pub(crate) fn normed_mlp(
    mlp: &Mlp,
    steps: i32,
    of_tokens: bool,
    [residual, offset]: &[Vec<i32>; 2],
    map: &[i16],
) -> Vec<i16> {
    let of_map = moments(map, mlp.epsilon);
    let each = map.chunks(mlp.channels).flat_map(|token| {
        let moments = match of_tokens {
            true => moments(token, mlp.epsilon),
            false => of_map,
        };
        let normed: Vec<i8> = token
            .iter()
            .map(|&value| normed(&moments, steps, value.into(), 8))
            .collect();
        let hidden = mlp.hidden_of_normed(&normed);
        update(mlp, [residual, offset], token, &hidden)
    });
    each.collect()
}

pub(crate) fn patch_embedding(conv: &Convolution, input: &[i8]) -> Vec<i16> {
    let mut output = Vec::new();
    for window in im2col(conv, input) {
        for (o, product) in products(&conv.linear.weights, &window)
            .into_iter()
            .enumerate()
        {
            let acc = i128::from(conv.linear.bias[o]) + product;
            let total = acc * i128::from(conv.linear.multiplier[o]);
            output.push(as_i16(
                total + (i128::from(conv.zero_point) << 32) + (1 << 23),
            ));
        }
    }
    output
}

pub(crate) fn pooling(mixer: &Mixer, subtracted: Subtracted, map: &[i16]) -> Vec<i16> {
    let moments = moments(map, mixer.epsilon);
    let map: Vec<i128> = map.iter().map(|&value| i128::from(value)).collect();
    let pools = pooled(mixer.shape, [3, 36], &map);
    map.iter()
        .zip(pools)
        .enumerate()
        .map(|(i, (value, pool))| {
            let [residual, offset] = mixer.stream(i);
            let branch = mixer.pooling_branch(i, &moments, subtracted, [*value, pool], 8);
            let sum = residual * value + branch;
            as_i16(sum * 256 + (offset << 16))
        })
        .collect()
}

pub(crate) fn identity(mixer: &Mixer, of_tokens: bool, map: &[i16]) -> Vec<i16> {
    let groups = map.chunks(mixer.group(of_tokens, map.len()));
    let each = groups.flat_map(|group| {
        let moments = moments(group, mixer.epsilon);
        let values = group.iter().enumerate();
        values.map(move |(i, &value)| {
            let (slope, offset) = mixer.affine(&moments, i % mixer.factor.len());
            as_i16(slope * 256 * i128::from(value) + offset * 65_536)
        })
    });
    each.collect()
}

pub(crate) fn head(classifier: &Classifier, map: &[i16]) -> Vec<i32> {
    let moments = match classifier.epsilon {
        Some(epsilon) => moments(map, epsilon),
        None => Moments::none(classifier.map_zero),
    };
    let channels = classifier.channels;
    let tokens = (map.len() / channels) as i128;
    let rows = classifier.linear.weights.chunks(channels).enumerate();
    rows.map(|(k, row)| {
        let product: i128 = map
            .iter()
            .enumerate()
            .map(|(i, &value)| i128::from(row[i % channels]) * i128::from(value))
            .sum();
        let row_sum: i128 = row.iter().map(|&w| i128::from(w)).sum();
        // The mean has 16 fractional bits, the product 8.
        let acc = product - divided(moments.mean * tokens * row_sum, 8);
        classifier.logit(k, &moments, as_i32(divided(acc, 8)))
    })
    .collect()
}
