//! Multi-head self-attention over the tokens of a map.

/// `softmax(scale * queries * keys^T) * values` of every head: `tokens x inner` values.
///
/// `qkv` is `tokens x 3 inner`: queries, keys and values of a token one after the other, each
/// those of its heads one after the other.
///
/// # Panics
/// `inner` is zero.
pub fn attend(qkv: &[f32], inner: usize, heads: usize, scale: f32) -> Vec<f32> {
    let size = inner / heads.max(1);
    let tokens = qkv.len() / (3 * inner);
    let part = |token: usize, block: usize, head: usize| {
        &qkv[token * 3 * inner + block * inner + head * size..][..size]
    };
    let mut attended = vec![0.0; tokens * inner];
    let mut weights = vec![0.0f32; tokens];
    for (query, output) in attended.chunks_exact_mut(inner).enumerate() {
        for (head, output) in output.chunks_exact_mut(size.max(1)).enumerate() {
            for (key, weight) in weights.iter_mut().enumerate() {
                let pairs = part(query, 0, head).iter().zip(part(key, 1, head));
                *weight = scale * pairs.map(|(q, k)| q * k).sum::<f32>();
            }
            softmax(&mut weights);
            for (key, weight) in weights.iter().enumerate() {
                for (output, value) in output.iter_mut().zip(part(key, 2, head)) {
                    *output += weight * value;
                }
            }
        }
    }
    attended
}

fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0f64;
    for value in values.iter_mut() {
        *value = libm::expf(*value - largest);
        sum += f64::from(*value);
    }
    for value in values {
        *value = (f64::from(*value) / sum) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_head_weighs_values_by_its_own_scores() {
        // Two tokens; queries, keys, values of both heads. The first head's
        // scores are 0 and ln 3, the second's all 0.
        let ln3 = 3f32.ln();
        let token = |key: f32, value: f32| [2.0, 0.0, key, 7.0, value, 10.0 * value];
        let qkv = [token(0.0, 1.0), token(ln3, 5.0)].concat();
        let attended = attend(&qkv, 2, 2, 0.5);
        for (found, expected) in attended.iter().zip([4.0, 30.0, 4.0, 30.0]) {
            assert!((found - expected).abs() < 1e-4, "{attended:?}");
        }
    }
}
