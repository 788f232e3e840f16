//! The depthwise mixer.

use super::branches::{self, Normed, Width};
use super::{as_i8, as_i32, requantize, rounded};

#[derive(Debug, Clone)]
pub(crate) struct DepthwiseMixer {
    pub(crate) shape: [usize; 3],
    pub(crate) window: [usize; 2],
    pub(crate) norm: Norm,
    /// Bits per channel that are rounded away from a stream of 16 bits.
    pub(crate) shift: Vec<u8>,
    /// A row of `kernel rows x kernel columns` weights per channel.
    pub(crate) weights: Vec<i8>,
    pub(crate) bias: Vec<i32>,
    pub(crate) multiplier: Vec<i32>,
    pub(crate) zero: i32,
    pub(crate) beta: Option<Vec<i32>>,
    pub(crate) factor: Vec<i32>,
    pub(crate) residual: Vec<i32>,
    pub(crate) offset: Vec<i32>,
}

#[derive(Debug, Clone)]
pub(crate) enum Norm {
    /// Of the whole map, with this epsilon.
    Folded(u64),
    Written(Normed),
    /// None; this is what zero is beyond the map.
    None(i8),
}

pub(crate) fn depthwise_mixer(mixer: &DepthwiseMixer, width: Width, map: &[i128]) -> Vec<i128> {
    let [rows, columns, channels] = mixer.shape;
    let [window_rows, window_columns] = mixer.window;
    let values: Vec<i8> = match &mixer.norm {
        Norm::Written(norm) => branches::normed(norm, width, map, channels),
        Norm::Folded(_) | Norm::None(_) if width.fraction == 0 => {
            map.iter().map(|&q| as_i8(q)).collect()
        }
        Norm::Folded(_) | Norm::None(_) => {
            let each = map.iter().zip(mixer.shift.iter().cycle());
            each.map(|(&value, &shift)| match shift {
                0 => as_i8(value),
                shift => as_i8(rounded(value, shift.into())),
            })
            .collect()
        }
    };
    let moments = match mixer.norm {
        Norm::Folded(epsilon) => Some(width.moments(map, epsilon)),
        Norm::Written(_) | Norm::None(_) => None,
    };
    let beyond = match mixer.norm {
        Norm::None(zero_point) => i128::from(zero_point),
        Norm::Folded(_) | Norm::Written(_) => 0,
    };
    let mut output = Vec::new();
    for (at, &q) in map.iter().enumerate() {
        let (token, c) = (at / channels, at % channels);
        let (y, x) = (token / columns, token % columns);
        let (mut product, mut inside) = (0, 0);
        for place in 0..window_rows * window_columns {
            let weight = mixer.weights[c * window_rows * window_columns + place];
            let weight = i128::from(weight);
            let (dy, dx) = (place / window_columns, place % window_columns);
            let y = (y + dy).checked_sub(window_rows / 2).filter(|&y| y < rows);
            let x = (x + dx).checked_sub(window_columns / 2);
            match (y, x.filter(|&x| x < columns)) {
                (Some(y), Some(x)) => {
                    product += weight * i128::from(values[(y * columns + x) * channels + c]);
                    inside += weight;
                }
                _ => product += weight * beyond,
            }
        }
        let beta = mixer.beta.as_ref().map_or(0, |beta| i128::from(beta[c]));
        let bias = i128::from(mixer.bias[c]) + beta * inside;
        let base = mixer.multiplier[c];
        let (start, multiplier) = match &moments {
            Some(moments) => {
                let steps = match width.fraction {
                    0 => 1,
                    _ => 1 << (8 - mixer.shift[c]),
                };
                let start = bias * moments.sigma - 256 * steps * inside * moments.mean;
                let multiplier = as_i32(rounded(i128::from(base) * moments.inverse, 20));
                (as_i32(rounded(start, 24)), multiplier as i32)
            }
            None => (bias, base),
        };
        let branch = as_i8(requantize(start + product, multiplier) + i128::from(mixer.zero));
        let stream = i128::from(mixer.residual[c]) * (q << (8 - width.fraction));
        let branch = i128::from(mixer.factor[c]) * i128::from(branch) * 256;
        output.push(width.stored(stream + branch + (i128::from(mixer.offset[c]) << 16)));
    }
    output
}
