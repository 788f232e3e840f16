//! What happens to each channel of a map by itself.

/// `x = res_scale * x + layer_scale * branch`, token by token; both scales have a value a
/// channel.
pub fn add_branch(x: &mut [f32], branch: &[f32], res_scale: &[f32], layer_scale: &[f32]) {
    let channels = layer_scale.len().max(1);
    let tokens = x.chunks_exact_mut(channels);
    for (x, branch) in tokens.zip(branch.chunks_exact(channels)) {
        let scales = res_scale.iter().zip(layer_scale);
        for ((x, branch), (res_scale, layer_scale)) in x.iter_mut().zip(branch).zip(scales) {
            *x = res_scale * *x + layer_scale * branch;
        }
    }
}

/// Adds a term a channel to every token; nothing if there are none.
pub fn add_bias(x: &mut [f32], bias: &[f32]) {
    for token in x.chunks_exact_mut(bias.len().max(1)) {
        token.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
    }
}

/// The largest value of each of `channels`, or zero if it has none above.
pub fn largest(x: &[f32], channels: usize) -> Vec<f32> {
    fold(x, channels, |x| x)
}

/// The largest magnitude in each of `channels`.
pub fn largest_magnitude(x: &[f32], channels: usize) -> Vec<f32> {
    fold(x, channels, f32::abs)
}

/// Keeps the larger value of each channel; `largest` is zeros or of as many channels.
pub fn keep_larger(largest: &mut Vec<f32>, other: &[f32]) {
    largest.resize(other.len(), 0.0);
    for (largest, &value) in largest.iter_mut().zip(other) {
        *largest = largest.max(value);
    }
}

fn fold(x: &[f32], channels: usize, each: impl Fn(f32) -> f32) -> Vec<f32> {
    let mut largest = vec![0.0f32; channels];
    for token in x.chunks_exact(channels.max(1)) {
        for (largest, &x) in largest.iter_mut().zip(token) {
            *largest = largest.max(each(x));
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_and_a_bias_are_added_by_channel() {
        let mut x = [1.0, 2.0, 3.0, 4.0];
        add_branch(&mut x, &[1.0, 1.0, 2.0, 2.0], &[1.0, 0.0], &[10.0, -1.0]);
        assert_eq!(x, [11.0, -1.0, 23.0, -2.0]);
        add_bias(&mut x, &[0.5, 1.0]);
        assert_eq!(x, [11.5, 0.0, 23.5, -1.0]);
        add_bias(&mut x, &[]);
        assert_eq!(x, [11.5, 0.0, 23.5, -1.0]);
    }

    #[test]
    fn the_largest_value_of_each_channel_is_kept() {
        let x = [1.0, -5.0, -3.0, -2.0];
        assert_eq!(largest(&x, 2), [1.0, 0.0]);
        assert_eq!(largest_magnitude(&x, 2), [3.0, 5.0]);
        let mut kept = Vec::new();
        keep_larger(&mut kept, &[1.0, 4.0]);
        keep_larger(&mut kept, &[2.0, 3.0]);
        assert_eq!(kept, [2.0, 4.0]);
    }
}
