//! Branches whose norm is written out, on streams of both widths: values are taken
//! as they are stored, with `fraction` fractional bits.

use tadpool_kernels::pooling::Subtracted;

use super::{Linear, Mixer, Moments, as_i8, as_i32, pooled, products, requantize, rounded};

/// A norm that is written out.
#[derive(Debug, Clone)]
pub(crate) struct Normed {
    /// Each token alone, or the whole map.
    pub(crate) each_token: bool,
    pub(crate) epsilon: u64,
    /// The value that deviations are taken from, if that is not the mean.
    pub(crate) about: Option<i32>,
    pub(crate) multiplier: i32,
}

/// A stream's width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Width {
    pub(crate) fraction: u32,
}

impl Width {
    pub(crate) fn moments(self, values: &[i128], epsilon: u64) -> Moments {
        let sum = values.iter().sum();
        let squares = values.iter().map(|value| value * value).sum();
        let epsilon = i128::from(epsilon) << (2 * self.fraction);
        let count = values.len() as i128;
        Moments::of_sums(count, sum, squares, epsilon, self.fraction as i32)
    }

    /// The same with deviations from `about`, if there is such a value.
    fn moments_about(self, values: &[i128], epsilon: u64, about: Option<i32>) -> Moments {
        let Some(about) = about else {
            return self.moments(values, epsilon);
        };
        let zero = i128::from(about) << self.fraction;
        let squares = values.iter().map(|value| (value - zero).pow(2)).sum();
        let epsilon = i128::from(epsilon) << (2 * self.fraction);
        let count = values.len() as i128;
        Moments {
            mean: i128::from(about) << 16,
            ..Moments::of_sums(count, 0, squares, epsilon, self.fraction as i32)
        }
    }

    /// The nearest value to `total / 2^32`, half a step included.
    pub(crate) fn stored(self, total: i128) -> i128 {
        let bound = 128 << self.fraction;
        let value = total.div_euclid(1 << (32 - self.fraction));
        value.clamp(-bound, bound - 1)
    }
}

/// The pooling mixer with a window of this side, behind a norm that is folded, perhaps one
/// with fixed statistics, or written out.
pub(crate) fn wide_pooling(
    mixer: &Mixer,
    window: usize,
    norm: Option<&Normed>,
    is_fixed: bool,
    subtracted: Subtracted,
    width: Width,
    map: &[i128],
) -> Vec<i128> {
    let channels = mixer.shape[2];
    let values: Vec<i128> = match norm {
        Some(norm) => {
            let values = normed(norm, width, map, channels);
            values.into_iter().map(|n| i128::from(n) << 8).collect()
        }
        None => map.iter().map(|q| q << (8 - width.fraction)).collect(),
    };
    let (inverse, mean) = match is_fixed {
        true => (1 << 24, 0),
        false => {
            let moments = width.moments(map, mixer.epsilon);
            (moments.inverse, moments.mean)
        }
    };
    let mean = match norm {
        Some(_) => 0,
        None => (420 * 420 * mean).div_euclid(1 << 8),
    };
    let pools = pooled(mixer.shape, [window, 420 * 420], &values);
    let each = map.iter().zip(pools.into_iter().zip(&values)).enumerate();
    each.map(|(i, (value, (pool, centre)))| {
        let difference = match subtracted {
            Subtracted::Pooled => pool - 420 * 420 * centre,
            Subtracted::Nothing => pool - mean,
        };
        let base = i128::from(mixer.factor[i % channels]);
        let factor = match norm {
            Some(_) => base,
            None => as_i32(rounded(base * inverse, 20)),
        };
        let factor = factor.clamp(-(1 << 28), 1 << 28);
        let [residual, offset] = mixer.stream(i);
        let branch = (factor * difference).div_euclid(1 << 16);
        let stream = residual * (value << (8 - width.fraction));
        width.stored(stream + branch + (offset << 16))
    })
    .collect()
}

/// Normalised values of a map.
pub(crate) fn normed(normed: &Normed, width: Width, map: &[i128], channels: usize) -> Vec<i8> {
    let of_map = width.moments_about(map, normed.epsilon, normed.about);
    let mut values = Vec::new();
    for token in map.chunks(channels) {
        let moments = match normed.each_token {
            true => width.moments_about(token, normed.epsilon, normed.about),
            false => of_map,
        };
        let factor = as_i32(rounded(i128::from(normed.multiplier) * moments.inverse, 20));
        for value in token {
            let centred = (value << (16 - width.fraction)) - moments.mean;
            values.push(as_i8(requantize(centred, factor as i32)));
        }
    }
    values
}

#[derive(Debug, Clone)]
pub(crate) struct SepConv {
    pub(crate) shape: [usize; 3],
    pub(crate) hidden: usize,
    pub(crate) window: [usize; 2],
    pub(crate) normed: Normed,
    pub(crate) fc1: Linear,
    pub(crate) fc1_zero: i32,
    pub(crate) act1: Option<[i8; 256]>,
    /// A row of `kernel rows x kernel columns` weights per hidden channel.
    pub(crate) depthwise: Linear,
    pub(crate) padding: i8,
    pub(crate) depthwise_zero: i32,
    pub(crate) act2: Option<[i8; 256]>,
    pub(crate) fc2: Linear,
    pub(crate) fc2_offset: Vec<i32>,
    pub(crate) fc2_zero: i32,
}

fn requantized(linear: &Linear, output: usize, product: i128, zero: i32) -> i8 {
    let acc = i128::from(linear.bias[output]) + product;
    as_i8(requantize(acc, linear.multiplier[output]) + i128::from(zero))
}

fn activated(table: Option<&[i8; 256]>, q: i8) -> i8 {
    table.map_or(q, |table| table[(i32::from(q) + 128) as usize])
}

pub(crate) fn sep_conv(conv: &SepConv, width: Width, map: &[i128]) -> Vec<i128> {
    let [rows, columns, channels] = conv.shape;
    let [window_rows, window_columns] = conv.window;
    let mut hidden = Vec::new();
    for token in normed(&conv.normed, width, map, channels).chunks(channels) {
        for (j, product) in products(&conv.fc1.weights, token).into_iter().enumerate() {
            let value = requantized(&conv.fc1, j, product, conv.fc1_zero);
            hidden.push(activated(conv.act1.as_ref(), value));
        }
    }
    let value = |y: usize, x: usize, j: usize| {
        let (y, x) = (
            y.checked_sub(window_rows / 2),
            x.checked_sub(window_columns / 2),
        );
        match (y.filter(|&y| y < rows), x.filter(|&x| x < columns)) {
            (Some(y), Some(x)) => hidden[(y * columns + x) * conv.hidden + j],
            _ => conv.padding,
        }
    };
    let mut output = Vec::new();
    for y in 0..rows {
        for x in 0..columns {
            let mixed: Vec<i8> = (0..conv.hidden)
                .map(|j| {
                    let mut product = 0;
                    for place in 0..window_rows * window_columns {
                        let (dy, dx) = (place / window_columns, place % window_columns);
                        let weight =
                            conv.depthwise.weights[j * window_rows * window_columns + place];
                        product += i128::from(weight) * i128::from(value(y + dy, x + dx, j));
                    }
                    let value = requantized(&conv.depthwise, j, product, conv.depthwise_zero);
                    activated(conv.act2.as_ref(), value)
                })
                .collect();
            for (c, product) in products(&conv.fc2.weights, &mixed).into_iter().enumerate() {
                let q = map[(y * columns + x) * channels + c];
                output.push(joined(conv, width, c, product, q));
            }
        }
    }
    output
}

fn joined(conv: &SepConv, width: Width, c: usize, product: i128, q: i128) -> i128 {
    let (linear, multiplier) = (&conv.fc2, i128::from(conv.fc2.multiplier[c]));
    let acc = i128::from(linear.bias[c]) + product;
    let residual = i128::from(linear.residual[c]) * q;
    if width.fraction == 0 {
        let value = requantize(acc + residual, linear.multiplier[c]);
        return as_i8(value + i128::from(conv.fc2_zero)).into();
    }
    width.stored(residual + acc * multiplier + (i128::from(conv.fc2_offset[c]) << 16))
}

#[derive(Debug, Clone)]
pub(crate) struct RandomMixing {
    pub(crate) channels: usize,
    pub(crate) normed: Normed,
    /// `tokens x tokens`.
    pub(crate) weights: Vec<i8>,
    pub(crate) multiplier: Vec<i32>,
    pub(crate) constant: Vec<i32>,
    pub(crate) beta: Vec<i32>,
    pub(crate) factor: Vec<i32>,
    pub(crate) residual: Vec<i32>,
    pub(crate) offset: Vec<i32>,
}

pub(crate) fn random_mixing(mixing: &RandomMixing, width: Width, map: &[i128]) -> Vec<i128> {
    let channels = mixing.channels;
    let tokens = map.len() / channels;
    let normed = normed(&mixing.normed, width, map, channels);
    let mut output = Vec::new();
    for (i, token) in map.chunks(channels).enumerate() {
        let row = &mixing.weights[i * tokens..][..tokens];
        for (c, value) in token.iter().enumerate() {
            let products = row.iter().enumerate();
            let products =
                products.map(|(j, &w)| i128::from(w) * i128::from(normed[j * channels + c]));
            let mixed = requantize(products.sum(), mixing.multiplier[i]);
            let of = |list: &[i32], at: usize| list.get(at).map_or(0, |&value| i128::from(value));
            let widened = value << (8 - width.fraction);
            let total = of(&mixing.residual, c) * widened
                + of(&mixing.factor, c) * mixed
                + of(&mixing.constant, i) * of(&mixing.beta, c)
                + (of(&mixing.offset, c) << 16);
            output.push(width.stored(total));
        }
    }
    output
}

/// Pooling of values with this norm, whatever the mixer's own epsilon.
pub(crate) fn normed_pooling(
    mixer: &Mixer,
    norm: &Normed,
    subtracted: Subtracted,
    width: Width,
    map: &[i128],
) -> Vec<i128> {
    let [_, _, channels] = mixer.shape;
    let normed = normed(norm, width, map, channels);
    let normed: Vec<i128> = normed.into_iter().map(i128::from).collect();
    let pools = pooled(mixer.shape, [3, 36], &normed);
    let each = map.iter().zip(pools.into_iter().zip(normed)).enumerate();
    each.map(|(i, (value, (pool, centre)))| {
        let difference = match subtracted {
            Subtracted::Pooled => pool - 36 * centre,
            Subtracted::Nothing => pool,
        };
        let [residual, offset] = mixer.stream(i);
        let factor = i128::from(mixer.factor[i % channels]);
        let widened = value << (8 - width.fraction);
        width.stored(residual * widened + factor * difference * 16 + (offset << 16))
    })
    .collect()
}
