//! The naive oracle: every step as whole-tensor arithmetic on `i128`, with
//! nothing in place, nothing tiled and nothing shared with the kernels.

pub(crate) mod attention;
pub(crate) mod branches;
pub(crate) mod depthwise;
pub(crate) mod embeddings;
pub(crate) mod heads;
pub(crate) mod wide;

use tadpool_kernels::pooling::Subtracted;

/// Sum and sum of squares.
pub(crate) fn sums(values: &[i8]) -> (i64, u64) {
    let sum = values.iter().map(|&q| i64::from(q)).sum();
    let squares = values.iter().map(|&q| i64::from(q).pow(2) as u64).sum();
    (sum, squares)
}

/// `value / 2^shift`, rounded half up.
pub(crate) fn rounded(value: i128, shift: u32) -> i128 {
    (value + (1 << (shift - 1))).div_euclid(1 << shift)
}

pub(crate) fn requantize(acc: i128, multiplier: i32) -> i128 {
    rounded(acc * i128::from(multiplier), 32)
}

pub(crate) fn as_i8(value: i128) -> i8 {
    value.clamp(-128, 127) as i8
}

pub(crate) fn as_i32(value: i128) -> i128 {
    value.clamp(i128::from(i32::MIN), i128::from(i32::MAX))
}

/// Mean (Q16), deviation (Q16) and reciprocal deviation (Q24).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    pub(crate) mean: i128,
    pub(crate) sigma: i128,
    pub(crate) inverse: i128,
}

impl Moments {
    pub(crate) fn of(values: &[i8], epsilon: u64) -> Self {
        let (sum, squares) = sums(values);
        let count = values.len() as i128;
        Self::of_sums(count, sum.into(), squares.into(), epsilon.into(), 0)
    }

    /// Of values with `fraction` fractional bits.
    pub(crate) fn of_sums(n: i128, sum: i128, squares: i128, epsilon: i128, fraction: i32) -> Self {
        let mut v = (n * squares - sum * sum + epsilon).max(1);
        // The root of `v`, with as many fractional bits as leave 32 in all.
        let mut bits = fraction;
        while v >= 1 << 64 {
            v /= 4;
            bits -= 1;
        }
        while v < 1 << 62 {
            v *= 4;
            bits += 1;
        }
        let root = root(v);
        let mean = ((sum.abs() << (16 - fraction)) + n / 2) / n;
        Self {
            mean: mean * sum.signum(),
            sigma: as_i32(((root << 16) >> bits) / n),
            inverse: as_i32((n << (24 + bits)) / root),
        }
    }

    /// A map taken as it is.
    pub(crate) fn none(zero_point: i8) -> Self {
        Self {
            mean: i128::from(zero_point) << 16,
            sigma: 1 << 16,
            inverse: 1 << 24,
        }
    }
}

/// The largest number whose square is not above `v`.
fn root(v: i128) -> i128 {
    let (mut low, mut high) = (0, 1 << 33);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if middle * middle <= v {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// `outputs` rows of weights, each times `token`.
pub(crate) fn products(weights: &[i8], token: &[i8]) -> Vec<i128> {
    weights
        .chunks(token.len())
        .map(|row| {
            let terms = row.iter().zip(token);
            terms.map(|(&w, &x)| i128::from(w) * i128::from(x)).sum()
        })
        .collect()
}

pub(crate) fn row_sums(weights: &[i8], inputs: usize) -> Vec<i32> {
    weights
        .chunks(inputs)
        .map(|row| row.iter().map(|&w| i32::from(w)).sum())
        .collect()
}

#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) weights: Vec<i8>,
    pub(crate) bias: Vec<i32>,
    pub(crate) residual: Vec<i32>,
    pub(crate) multiplier: Vec<i32>,
}

#[derive(Debug, Clone)]
pub(crate) struct Mlp {
    pub(crate) channels: usize,
    pub(crate) epsilon: u64,
    pub(crate) fc1: Linear,
    pub(crate) hidden_zero: i32,
    pub(crate) activation: [i8; 256],
    pub(crate) fc2: Linear,
    pub(crate) zero_point: i32,
}

impl Mlp {
    /// The input of `fc2` for one token.
    fn hidden(&self, moments: &Moments, row_sums: &[i32], token: &[i8]) -> Vec<i8> {
        let products = products(&self.fc1.weights, token).into_iter().enumerate();
        products
            .map(|(j, product)| {
                let bias = i128::from(self.fc1.bias[j]) * moments.sigma;
                let mean = i128::from(row_sums[j]) * moments.mean * 256;
                let acc = as_i32(rounded(bias - mean, 24)) + product;
                let scale = i128::from(self.fc1.multiplier[j]) * moments.inverse;
                let multiplier = as_i32(rounded(scale, 20)) as i32;
                let index = requantize(acc, multiplier) + i128::from(self.hidden_zero);
                self.activation[index.clamp(0, 255) as usize]
            })
            .collect()
    }
}

impl Mlp {
    /// The input of `fc2` for tokens that were normalised, as bytes.
    pub(crate) fn hidden_of_normed(&self, normed: &[i8]) -> Vec<i8> {
        let products = products(&self.fc1.weights, normed).into_iter().enumerate();
        products
            .map(|(j, product)| {
                let acc = i128::from(self.fc1.bias[j]) + product;
                let index = requantize(acc, self.fc1.multiplier[j]) + i128::from(self.hidden_zero);
                self.activation[index.clamp(0, 255) as usize]
            })
            .collect()
    }

    /// One token of an int8 stream, behind `fc2`.
    fn update(&self, token: &[i8], hidden: &[i8]) -> Vec<i8> {
        let products = products(&self.fc2.weights, hidden).into_iter().enumerate();
        products
            .map(|(c, product)| {
                let residual = i128::from(self.fc2.residual[c]) * i128::from(token[c]);
                let acc = i128::from(self.fc2.bias[c]) + residual + product;
                let value = requantize(acc, self.fc2.multiplier[c]) + i128::from(self.zero_point);
                as_i8(value)
            })
            .collect()
    }
}

/// A normalised value as a byte, of one with `fraction` fractional bits.
pub(crate) fn normed(moments: &Moments, steps: i32, value: i128, fraction: u32) -> i8 {
    let factor = as_i32(rounded(i128::from(steps) * moments.inverse, 20));
    let centred = (value << (16 - fraction)) - moments.mean;
    as_i8(rounded(centred * factor, 32))
}

/// A channel MLP behind a norm that is written out, with `steps` for a deviation of
/// one.
pub(crate) fn normed_mlp(mlp: &Mlp, steps: i32, of_tokens: bool, map: &[i8]) -> Vec<i8> {
    let group = if of_tokens { mlp.channels } else { map.len() };
    let moments = map
        .chunks(group)
        .map(|group| Moments::of(group, mlp.epsilon));
    let tokens = group / mlp.channels;
    let moments = moments.flat_map(|moments| std::iter::repeat_n(moments, tokens));
    let each = map.chunks(mlp.channels).zip(moments);
    let each = each.flat_map(|(token, moments)| {
        let normed: Vec<i8> = token
            .iter()
            .map(|&q| normed(&moments, steps, q.into(), 0))
            .collect();
        mlp.update(token, &mlp.hidden_of_normed(&normed))
    });
    each.collect()
}

pub(crate) fn channel_mlp(mlp: &Mlp, map: &[i8]) -> Vec<i8> {
    let moments = Moments::of(map, mlp.epsilon);
    let sums = row_sums(&mlp.fc1.weights, mlp.channels);
    let mut output = Vec::new();
    for token in map.chunks(mlp.channels) {
        output.extend(mlp.update(token, &mlp.hidden(&moments, &sums, token)));
    }
    output
}

#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    pub(crate) input_shape: [usize; 3],
    pub(crate) output_shape: [usize; 3],
    pub(crate) window: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
    pub(crate) pad: Vec<i8>,
    pub(crate) linear: Linear,
    pub(crate) zero_point: i32,
}

/// The input value under a window's place, if it lies on the map.
fn under(conv: &Convolution, token: [usize; 2], place: [usize; 2]) -> Option<usize> {
    let [height, width, channels] = conv.input_shape;
    let at = |axis: usize| {
        (token[axis] * conv.stride[axis] + place[axis]).checked_sub(conv.padding[axis])
    };
    let (y, x) = (at(0)?, at(1)?);
    (y < height && x < width).then_some((y * width + x) * channels)
}

/// Every window of the map, padding included.
fn im2col(conv: &Convolution, input: &[i8]) -> Vec<Vec<i8>> {
    let mut windows = Vec::new();
    for y in 0..conv.output_shape[0] {
        for x in 0..conv.output_shape[1] {
            let mut window = Vec::new();
            for ky in 0..conv.window[0] {
                for kx in 0..conv.window[1] {
                    match under(conv, [y, x], [ky, kx]) {
                        Some(at) => window.extend(&input[at..at + conv.input_shape[2]]),
                        None => window.extend(&conv.pad),
                    }
                }
            }
            windows.push(window);
        }
    }
    windows
}

pub(crate) fn patch_embedding(conv: &Convolution, input: &[i8]) -> Vec<i8> {
    let mut output = Vec::new();
    for window in im2col(conv, input) {
        for (o, product) in products(&conv.linear.weights, &window)
            .into_iter()
            .enumerate()
        {
            let acc = i128::from(conv.linear.bias[o]) + product;
            let value = requantize(acc, conv.linear.multiplier[o]);
            output.push(as_i8(value + i128::from(conv.zero_point)));
        }
    }
    output
}

/// The least distance from the output's first byte up to the input's at which
/// no tile of `tile_tokens` overwrites what a later window reads.
pub(crate) fn overlap_distance(conv: &Convolution, tile_tokens: usize) -> usize {
    let [rows, columns, channels] = conv.output_shape;
    let first_read: Vec<usize> = (0..rows * columns)
        .map(|token| {
            let token = [token / columns, token % columns];
            let places = (0..conv.window[0]).flat_map(|y| (0..conv.window[1]).map(move |x| [y, x]));
            places
                .filter_map(|place| under(conv, token, place))
                .min()
                .unwrap_or(usize::MAX)
        })
        .collect();
    let mut distance = 0;
    for written in (1..=rows * columns).filter(|n| n % tile_tokens == 0) {
        let read = first_read[written..].iter().min().copied();
        distance = distance.max((written * channels).saturating_sub(read.unwrap_or(usize::MAX)));
    }
    distance
}

#[derive(Debug, Clone)]
pub(crate) struct Mixer {
    /// Rows, columns and channels.
    pub(crate) shape: [usize; 3],
    pub(crate) epsilon: u64,
    pub(crate) factor: Vec<i32>,
    /// One for the whole map, or one per channel.
    pub(crate) offset: Vec<i32>,
    /// As many.
    pub(crate) residual: Vec<i32>,
}

pub(crate) fn pooling(mixer: &Mixer, subtracted: Subtracted, map: &[i8]) -> Vec<i8> {
    let moments = Moments::of(map, mixer.epsilon);
    let map: Vec<i128> = map.iter().map(|&q| i128::from(q)).collect();
    let pools = pooled(mixer.shape, [3, 36], &map);
    map.iter()
        .zip(pools)
        .enumerate()
        .map(|(i, (q, pool))| {
            let branch = mixer.pooling_branch(i, &moments, subtracted, [*q, pool], 0);
            let [residual, offset] = mixer.stream(i);
            as_i8((residual * q + offset + branch).div_euclid(1 << 16))
        })
        .collect()
}

impl Mixer {
    /// The branch of a pooling mixer for value number `i`, which is `value / 2^fraction`, and
    /// 36 times the mean of its neighbours: in units of a `2^(16 + fraction)`th.
    fn pooling_branch(
        &self,
        i: usize,
        moments: &Moments,
        subtracted: Subtracted,
        [value, pool]: [i128; 2],
        fraction: u32,
    ) -> i128 {
        let factor = requantize(moments.inverse, self.factor[i % self.shape[2]]);
        let factor = factor.clamp(-(1 << 17), (1 << 17) - 1);
        match subtracted {
            Subtracted::Pooled => factor * (pool - 36 * value),
            Subtracted::Nothing => {
                let of_mean = (36 * factor * moments.mean).div_euclid(1 << 16);
                factor * pool - (of_mean << fraction)
            }
        }
    }
}

/// `multiple` times the mean of each value's neighbours.
fn pooled(
    [height, width, channels]: [usize; 3],
    [window, multiple]: [usize; 2],
    map: &[i128],
) -> Vec<i128> {
    let reach = window / 2;
    let multiple = multiple as i128;
    let mut pools = Vec::new();
    for i in 0..map.len() {
        let (y, x, c) = (i / channels / width, i / channels % width, i % channels);
        let (mut sum, mut count) = (0, 0);
        for ny in y.saturating_sub(reach)..(y + reach + 1).min(height) {
            for nx in x.saturating_sub(reach)..(x + reach + 1).min(width) {
                sum += map[(ny * width + nx) * channels + c];
                count += 1;
            }
        }
        assert_eq!(multiple % count, 0);
        pools.push(multiple / count * sum);
    }
    pools
}

impl Mixer {
    /// Residual factor and offset of value number `i`.
    fn stream(&self, i: usize) -> [i128; 2] {
        let c = i % self.shape[2];
        [&self.residual, &self.offset].map(|list| i128::from(list[c % list.len()]))
    }

    /// Values that share a mean and a deviation.
    fn group(&self, of_tokens: bool, map: usize) -> usize {
        if of_tokens { self.shape[2] } else { map }
    }

    /// Slope and offset of the identity mixer on one channel.
    fn affine(&self, moments: &Moments, c: usize) -> (i128, i128) {
        let bound = 1 << 23;
        let branch = rounded(i128::from(self.factor[c]) * moments.inverse, 28);
        let branch = branch.clamp(-bound, bound);
        let [residual, offset] = self.stream(c);
        let slope = (residual + branch).clamp(-bound, bound);
        let offset = offset - rounded(branch * moments.mean, 16);
        (slope, offset.clamp(1 - (1 << 30), (1 << 30) - 1))
    }
}

pub(crate) fn identity(mixer: &Mixer, of_tokens: bool, map: &[i8]) -> Vec<i8> {
    let groups = map.chunks(mixer.group(of_tokens, map.len()));
    let each = groups.flat_map(|group| {
        let moments = Moments::of(group, mixer.epsilon);
        let values = group.iter().enumerate();
        values.map(move |(i, &q)| {
            let (slope, offset) = mixer.affine(&moments, i % mixer.factor.len());
            as_i8((slope * i128::from(q) + offset).div_euclid(1 << 16))
        })
    });
    each.collect()
}

#[derive(Debug, Clone)]
pub(crate) struct Classifier {
    pub(crate) channels: usize,
    pub(crate) epsilon: Option<u64>,
    pub(crate) map_zero: i8,
    pub(crate) linear: Linear,
}

impl Classifier {
    fn logit(&self, class: usize, moments: &Moments, acc: i128) -> i32 {
        let scale = i128::from(self.linear.multiplier[class]) * moments.inverse;
        let scaled = acc * as_i32(rounded(scale, 20));
        let logit = as_i32(rounded(scaled, 24)) + i128::from(self.linear.bias[class]);
        as_i32(logit) as i32
    }
}

pub(crate) fn head(classifier: &Classifier, map: &[i8]) -> Vec<i32> {
    let channels = classifier.channels;
    let moments = match classifier.epsilon {
        Some(epsilon) => Moments::of(map, epsilon),
        None => Moments::none(classifier.map_zero),
    };
    let mut logits = Vec::new();
    for (k, row) in classifier.linear.weights.chunks(channels).enumerate() {
        let product: i128 = map
            .iter()
            .enumerate()
            .map(|(i, &q)| i128::from(row[i % channels]) * i128::from(q))
            .sum();
        let tokens = (map.len() / channels) as i128;
        let row_sum: i128 = row.iter().map(|&w| i128::from(w)).sum();
        let acc = as_i32(product - rounded(moments.mean * tokens * row_sum, 16));
        logits.push(classifier.logit(k, &moments, acc));
    }
    logits
}
