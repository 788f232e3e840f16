//! The head whose vector is kept in wide integers.

use super::{Moments, as_i32, rounded};

#[derive(Debug, Clone)]
pub(crate) struct WideHead {
    pub(crate) channels: usize,
    /// Fractional bits of the map.
    pub(crate) fraction: u32,
    pub(crate) norm: Option<(Place, VectorNorm)>,
    pub(crate) hidden: Option<(Linear, Vec<i32>, Option<VectorNorm>)>,
    pub(crate) linear: Linear,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place {
    Map,
    Token,
    Mean,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct VectorNorm {
    pub(crate) epsilon: u64,
    pub(crate) steps: i32,
}

#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) weights: Vec<i8>,
    pub(crate) bias: Vec<i32>,
    pub(crate) multiplier: Vec<i32>,
}

impl VectorNorm {
    fn moments(&self, values: &[i128], fraction: u32) -> Moments {
        let sum = values.iter().sum();
        let squares = values.iter().map(|value| value * value).sum();
        let epsilon = i128::from(self.epsilon) << (2 * fraction);
        Moments::of_sums(values.len() as i128, sum, squares, epsilon, fraction as i32)
    }

    /// Of a value with 16 fractional bits.
    fn apply(&self, moments: &Moments, value: i128) -> i128 {
        let factor = as_i32(rounded(i128::from(self.steps) * moments.inverse, 20));
        rounded((value - moments.mean) * factor, 32).clamp(-32_768, 32_767)
    }
}

impl Linear {
    fn apply(&self, vector: &[i128]) -> Vec<i128> {
        let rows = self.weights.chunks(vector.len()).zip(&self.bias);
        rows.zip(&self.multiplier)
            .map(|((row, &bias), &multiplier)| {
                let terms = row.iter().zip(vector);
                let sum: i128 = terms.map(|(&w, &v)| i128::from(w) * v).sum();
                let total = sum * i128::from(multiplier) + (i128::from(bias) << 24);
                as_i32(rounded(total, 24))
            })
            .collect()
    }
}

pub(crate) fn wide_head(head: &WideHead, map: &[i128]) -> Vec<i32> {
    let WideHead {
        channels, fraction, ..
    } = *head;
    let tokens = (map.len() / channels) as i128;
    let place = head.norm.map(|(place, _)| place);
    let mut sums = vec![0; channels];
    for token in map.chunks(channels) {
        for (c, &value) in token.iter().enumerate() {
            sums[c] += match head.norm {
                Some((Place::Token, norm)) => {
                    norm.apply(&norm.moments(token, fraction), value << (16 - fraction))
                }
                _ => value,
            };
        }
    }
    let bits = match place {
        Some(Place::Token) => 0,
        Some(_) => 16 - fraction,
        None => 8 - fraction,
    };
    let part = ((1 << 31) + tokens / 2) / tokens;
    let mut vector: Vec<i128> = sums
        .iter()
        .map(|sum| as_i32(rounded(sum * part, 31 - bits)))
        .collect();
    match head.norm {
        Some((Place::Map, norm)) => {
            let moments = norm.moments(map, fraction);
            vector = vector.iter().map(|&v| norm.apply(&moments, v)).collect();
        }
        Some((Place::Mean, norm)) => vector = of_vector(&norm, &vector),
        _ => {}
    }
    if let Some((fc1, table, norm)) = &head.hidden {
        vector = fc1.apply(&vector);
        for value in &mut vector {
            let index = (*value).clamp(0, 65_535);
            let (at, part) = ((index / 256) as usize, index % 256);
            let (low, high) = (i128::from(table[at]), i128::from(table[at + 1]));
            *value = low + rounded((high - low) * part, 8);
        }
        if let Some(norm) = norm {
            vector = of_vector(norm, &vector);
        }
    }
    let logits = head.linear.apply(&vector);
    logits.iter().map(|&logit| logit as i32).collect()
}

/// Values with eight fractional bits.
fn of_vector(norm: &VectorNorm, vector: &[i128]) -> Vec<i128> {
    let moments = norm.moments(vector, 8);
    vector
        .iter()
        .map(|value| norm.apply(&moments, value << 8))
        .collect()
}
