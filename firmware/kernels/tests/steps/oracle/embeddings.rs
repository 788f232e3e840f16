//! Steps of a stem and between stages, and position embeddings, on streams of both widths.

use super::branches::Width;

#[derive(Debug, Clone)]
pub(crate) struct DepthwiseEmbedding {
    pub(crate) input_shape: [usize; 3],
    pub(crate) output_shape: [usize; 3],
    pub(crate) window: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
    pub(crate) reduction: Reduction,
    pub(crate) zero_point: i32,
    pub(crate) multiplier: Vec<i32>,
    pub(crate) offset: Vec<i32>,
}

#[derive(Debug, Clone)]
pub(crate) enum Reduction {
    /// With weights of `window x channels`.
    Sum(Vec<i8>),
    Mean,
    Maximum,
}

pub(crate) fn depthwise_embedding(
    step: &DepthwiseEmbedding,
    [read, write]: [Width; 2],
    map: &[i128],
) -> Vec<i128> {
    let [height, width, channels] = step.input_shape;
    let [rows, columns, _] = step.output_shape;
    let mut output = Vec::new();
    for at in 0..rows * columns * channels {
        let (token, c) = (at / channels, at % channels);
        let (row, column) = (token / columns, token % columns);
        let mut inside = Vec::new();
        for place in 0..step.window[0] * step.window[1] {
            let y = row * step.stride[0] + place / step.window[1];
            let x = column * step.stride[1] + place % step.window[1];
            let y = y.checked_sub(step.padding[0]).filter(|&y| y < height);
            let x = x.checked_sub(step.padding[1]).filter(|&x| x < width);
            if let (Some(y), Some(x)) = (y, x) {
                let value = map[(y * width + x) * channels + c];
                inside.push((place, value << (8 - read.fraction)));
            }
        }
        let zero = i128::from(step.zero_point) << 8;
        let (sum, which) = match &step.reduction {
            Reduction::Sum(weights) => {
                let weight = |place: usize| i128::from(weights[place * channels + c]);
                let terms = inside.iter().map(|&(place, v)| weight(place) * (v - zero));
                (terms.sum(), c)
            }
            Reduction::Mean => {
                let terms = inside.iter().map(|&(_, value)| value - zero);
                (terms.sum(), inside.len().saturating_sub(1))
            }
            Reduction::Maximum => {
                let values = inside.iter().map(|&(_, value)| value);
                (values.max().unwrap_or(-32_768), 0)
            }
        };
        let offset = i128::from(step.offset[c % step.offset.len()]);
        output.push(write.stored(sum * i128::from(step.multiplier[which]) + (offset << 16)));
    }
    output
}

/// A table of 257 entries, and lines between them.
pub(crate) fn activation(table: &[i32], width: Width, map: &[i128]) -> Vec<i128> {
    let each = map.iter().map(|value| {
        let place = (value << (8 - width.fraction)) + 32_768;
        let (entry, part) = ((place / 256) as usize, place % 256);
        let (low, high) = (i128::from(table[entry]), i128::from(table[entry + 1]));
        let total = low + ((high - low) * part + 128).div_euclid(256);
        width.stored(total << 16)
    });
    each.collect()
}

pub(crate) fn position_embedding(
    positions: &[i8],
    factor: &[i32],
    [residual, offset]: [i32; 2],
    width: Width,
    map: &[i128],
) -> Vec<i128> {
    let each = map.iter().zip(positions).enumerate();
    each.map(|(i, (value, &position))| {
        let stream = i128::from(residual) * (value << (8 - width.fraction));
        let branch = i128::from(factor[i % factor.len()]) * i128::from(position) * 256;
        width.stored(stream + branch + (i128::from(offset) << 16))
    })
    .collect()
}
