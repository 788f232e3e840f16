//! The depthwise mixer: `x + layer_scale * depthwise(norm(x))`.

use crate::import::recognise::form::{DepthwiseTerm, Term, add_scaled, all, product};
use crate::import::recognise::{Branch, Problem, residual};
use crate::layers::depthwise_mixer::DepthwiseMixer;
use crate::network::{Depthwise, Norm, Op};

/// The layer that adds `branch`, if it is a depthwise mixer: a convolution of each channel
/// of the map or of its norm, and perhaps what it reads with a factor per channel, which
/// the centre of the window takes up.
pub(crate) fn layer(branch: &Branch<'_>) -> Option<Result<Op, Problem>> {
    let mut convolutions = branch
        .terms
        .iter()
        .filter_map(|(term, factors)| match term {
            Term::Depthwise(conv) => Some((conv, factors)),
            _ => None,
        });
    let (Some((conv, layer_scale)), None) = (convolutions.next(), convolutions.next()) else {
        return None;
    };
    let DepthwiseTerm { input, depthwise } = &**conv;
    let (source, norm) = match input {
        Term::Norm(norm) => (&norm.source, Some(norm.norm.clone())),
        Term::Stream(_) => (input, None),
        // The convolution of a separable convolution.
        _ => return None,
    };
    if *source != Term::Stream(branch.source) {
        return Some(Err(Problem::new(
            "the depthwise convolution is added to another feature map than the one it reads",
            REMEDY,
        )));
    }
    let mut depthwise = depthwise.clone();
    let mut layer_scale = layer_scale.clone();
    let beside: Vec<_> = branch
        .terms
        .iter()
        .filter(|(term, _)| !matches!(term, Term::Depthwise(_)))
        .collect();
    if !beside.is_empty() || !all(branch.bias, 0.0) {
        take_in(&mut depthwise, &mut layer_scale, branch.bias);
    }
    for (term, factors) in beside {
        match (term, &norm) {
            (Term::Norm(other), Some(norm))
                if other.source == *source && is_scaled(&other.norm, norm) =>
            {
                add_centre(&mut depthwise, factors, &other.norm, norm);
            }
            _ => {
                return Some(Err(Problem::new(
                    "the depthwise convolution is combined with another branch",
                    REMEDY,
                )));
            }
        }
    }
    Some(Ok(Op::DepthwiseMixer(DepthwiseMixer {
        norm,
        depthwise,
        residual: residual(layer_scale, branch.res_scale),
    })))
}

const REMEDY: &str = "use blocks of the form `x + layer_scale * depthwise(norm(x))`";

/// Folds the layer scale and a bias behind it into the convolution.
fn take_in(depthwise: &mut Depthwise, layer_scale: &mut [f32], bias: &[f32]) {
    for weights in depthwise.weight.chunks_exact_mut(layer_scale.len().max(1)) {
        let scaled = product(weights, layer_scale);
        weights.copy_from_slice(&scaled);
    }
    depthwise.bias = product(&depthwise.bias, layer_scale);
    add_scaled(&mut depthwise.bias, bias, 1.0);
    layer_scale.fill(1.0);
}

/// Whether two norms of the same map differ at most by a factor of each channel.
fn is_scaled(other: &Norm, norm: &Norm) -> bool {
    let gammas = other.gamma.iter().zip(&norm.gamma);
    let betas = other.beta.iter().zip(&norm.beta);
    let mut channels = gammas.zip(betas);
    other.scope == norm.scope
        && other.centred == norm.centred
        && other.epsilon == norm.epsilon
        && channels.all(|((other_gamma, gamma), (other_beta, beta))| {
            let (a, b) = (other_gamma * beta, other_beta * gamma);
            *gamma != 0.0 && (a - b).abs() <= 1e-5 * a.abs().max(b.abs())
        })
}

/// Adds `factors` times `other` to the tap that looks at the window's own token.
fn add_centre(depthwise: &mut Depthwise, factors: &[f32], other: &Norm, norm: &Norm) {
    let [rows, columns] = depthwise.window;
    let centre = rows / 2 * columns + columns / 2;
    let channels = factors.len();
    let taps = depthwise.weight.iter_mut().skip(centre * channels);
    let gammas = other.gamma.iter().zip(&norm.gamma);
    for ((tap, factor), (other, gamma)) in taps.zip(factors).zip(gammas) {
        *tap += factor * other / gamma;
    }
}
