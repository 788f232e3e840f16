//! Norms over the whole map, over the channels of each token, or with fixed statistics.

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta`, or without a mean (RMSNorm)
/// `gamma * x / sqrt(mean of x^2 + epsilon) + beta`.
#[derive(Debug, Clone, PartialEq)]
pub struct Norm {
    /// Which values share a mean and a variance.
    pub scope: NormScope,
    /// Whether the mean is taken off; of fixed statistics it is, by `beta`.
    pub centred: bool,
    /// Factor per channel.
    pub gamma: Vec<f32>,
    /// Term per channel; zeros if the network has none.
    pub beta: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

/// Which values a norm takes a mean and a variance of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormScope {
    /// The whole map: GroupNorm with one group.
    Map,
    /// The channels of each token: LayerNorm.
    Token,
    /// None: `gamma * x + beta`, as BatchNorm is after training, or no norm at all.
    Fixed,
}

impl Norm {
    /// Its trained values: factors and terms.
    pub fn lists(&self) -> [&[f32]; 2] {
        [&self.gamma, &self.beta]
    }
}

/// The norm of a map.
pub fn normalise(norm: &Norm, x: &[f32]) -> Vec<f32> {
    if norm.scope == NormScope::Fixed {
        let parameters = norm.gamma.iter().zip(&norm.beta).cycle();
        let each = x.iter().zip(parameters);
        return each.map(|(x, (gamma, beta))| gamma * x + beta).collect();
    }
    let mut n = Vec::with_capacity(x.len());
    for group in groups(norm, x) {
        let (mean, inverse) = statistics(norm, group);
        let factors: Vec<f32> = norm
            .gamma
            .iter()
            .map(|gamma| (f64::from(*gamma) * inverse) as f32)
            .collect();
        let mean = mean as f32;
        for token in group.chunks_exact(norm.gamma.len().max(1)) {
            let parameters = factors.iter().zip(&norm.beta);
            n.extend(
                token
                    .iter()
                    .zip(parameters)
                    .map(|(x, (factor, beta))| (x - mean) * factor + beta),
            );
        }
    }
    n
}

/// `(x - mean) / sqrt(variance + epsilon)`: the norm without weight and bias.
pub fn centre(norm: &Norm, x: &[f32]) -> Vec<f32> {
    if norm.scope == NormScope::Fixed {
        return x.to_vec();
    }
    let mut n = Vec::with_capacity(x.len());
    for group in groups(norm, x) {
        let (mean, inverse) = statistics(norm, group);
        let (mean, inverse) = (mean as f32, inverse as f32);
        n.extend(group.iter().map(|x| (x - mean) * inverse));
    }
    n
}

/// Values that share a mean and a variance.
fn groups<'a>(norm: &Norm, x: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
    let size = match norm.scope {
        NormScope::Map => x.len(),
        NormScope::Token | NormScope::Fixed => norm.gamma.len(),
    };
    x.chunks_exact(size.max(1))
}

/// The mean of values, or zero if the norm takes none, and one over their deviation from it.
fn statistics(norm: &Norm, x: &[f32]) -> (f64, f64) {
    let count = x.len() as f64;
    let mean = match norm.centred {
        true => sum(x, |x| x) / count,
        false => 0.0,
    };
    let variance = sum(x, |x| (x - mean) * (x - mean)) / count;
    (mean, 1.0 / (variance + f64::from(norm.epsilon)).sqrt())
}

/// The sum of `each` value, in a fixed order of eight lanes: none waits for the one before.
fn sum(x: &[f32], each: impl Fn(f64) -> f64) -> f64 {
    let (eights, rest) = x.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for eight in eights {
        for (lane, &x) in lanes.iter_mut().zip(eight) {
            *lane += each(f64::from(x));
        }
    }
    let rest = rest.iter().map(|&x| each(f64::from(x)));
    lanes.iter().sum::<f64>() + rest.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of values.
    fn moments(values: &[f32]) -> (f32, f32) {
        let count = values.len() as f32;
        let mean = values.iter().sum::<f32>() / count;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / count;
        (mean, variance)
    }

    #[test]
    fn a_norm_has_mean_beta_and_deviation_gamma() {
        let norm = |scope| Norm {
            scope,
            centred: true,
            gamma: vec![2.0, 2.0],
            beta: vec![1.0, 1.0],
            epsilon: 0.0,
        };
        let x = [1.0, 2.0, 3.0, 6.0];
        let map = normalise(&norm(NormScope::Map), &x);
        let tokens = normalise(&norm(NormScope::Token), &x);
        for group in [&map[..], &tokens[..2], &tokens[2..]] {
            let (mean, variance) = moments(group);
            assert!(
                (mean - 1.0).abs() < 1e-6 && (variance - 4.0).abs() < 1e-5,
                "{mean} {variance}"
            );
        }
        assert_ne!(map, tokens);
    }

    #[test]
    fn a_norm_without_mean_divides_by_the_root_of_the_mean_square() {
        let norm = Norm {
            scope: NormScope::Token,
            centred: false,
            gamma: vec![1.0, 2.0],
            beta: vec![0.5, 0.0],
            epsilon: 0.0,
        };
        assert_eq!(normalise(&norm, &[1.0, 7.0]), [0.7, 2.8]);
    }
}
