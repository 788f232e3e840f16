//! The depthwise mixer: `x + layer_scale * depthwise(norm(x))`.

use crate::import::recognise::form::{DepthwiseTerm, Term, add_scaled, all, product};
use crate::import::recognise::{Branch, Problem, residual};
use crate::layers::depthwise_mixer::DepthwiseMixer;
use crate::network::{Depthwise, Norm, Op};

/// The layer that adds `branch`, if it is a depthwise mixer: a convolution of each channel
/// of the map or of its norm, or the sum of several, as a network that is to be joined after
/// training has them; and perhaps what it reads with a factor per channel, which the centre
/// of the window takes up.
pub(crate) fn layer(branch: &Branch<'_>) -> Option<Result<Op, Problem>> {
    let mut convolutions = branch
        .terms
        .iter()
        .filter_map(|(term, factors)| match term {
            Term::Depthwise(conv) => Some((conv, factors)),
            _ => None,
        });
    let (conv, layer_scale) = convolutions.next()?;
    let others: Vec<_> = convolutions.collect();
    let DepthwiseTerm { input, depthwise } = &**conv;
    let (source, norm) = match input {
        Term::Norm(norm) => (&norm.source, Some(norm.norm.clone())),
        Term::Stream(_) => (input, None),
        // The convolution of a separable convolution.
        _ => return None,
    };
    let refuse = |what: &str| Some(Err(Problem::new(what, REMEDY)));
    if *source != Term::Stream(branch.source) {
        return refuse(
            "the depthwise convolution is added to another feature map than the one it reads",
        );
    }
    let mut depthwise = depthwise.clone();
    let mut layer_scale = layer_scale.clone();
    let beside: Vec<_> = branch
        .terms
        .iter()
        .filter(|(term, _)| !matches!(term, Term::Depthwise(_)))
        .collect();
    if !beside.is_empty() || !others.is_empty() || !all(branch.bias, 0.0) {
        take_in(&mut depthwise, &mut layer_scale, branch.bias);
    }
    for (other, factors) in others {
        if other.input != *input || !add(&mut depthwise, &other.depthwise, factors) {
            return refuse("it adds depthwise convolutions of different maps or large windows");
        }
    }
    for (term, factors) in beside {
        match (term, &norm) {
            (Term::Norm(other), Some(norm))
                if other.source == *source && is_scaled(&other.norm, norm) =>
            {
                add_centre(&mut depthwise, factors, &other.norm, norm);
            }
            _ => {
                return refuse("the depthwise convolution is combined with another branch");
            }
        }
    }
    Some(Ok(Op::DepthwiseMixer(DepthwiseMixer {
        norm,
        depthwise,
        residual: residual(layer_scale, branch.res_scale),
    })))
}

/// Most rows or columns of the window of a sum of convolutions.
const LARGEST_JOINED: usize = 31;

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

/// Adds `factors` times another convolution of the same map, whose window may have another
/// size; not if the window over both is larger than any that is supported.
fn add(depthwise: &mut Depthwise, other: &Depthwise, factors: &[f32]) -> bool {
    let channels = factors.len();
    let window = [0, 1].map(|axis| depthwise.window[axis].max(other.window[axis]));
    if window.iter().any(|&size| size > LARGEST_JOINED) {
        return false;
    }
    widen(depthwise, window, channels);
    let mut other = other.clone();
    widen(&mut other, window, channels);
    let taps = depthwise.weight.chunks_exact_mut(channels.max(1));
    for (taps, others) in taps.zip(other.weight.chunks_exact(channels.max(1))) {
        add_scaled(taps, &product(others, factors), 1.0);
    }
    add_scaled(&mut depthwise.bias, &product(&other.bias, factors), 1.0);
    true
}

/// Gives a convolution a window that is no smaller, with zeros around its own.
fn widen(depthwise: &mut Depthwise, window: [usize; 2], channels: usize) {
    let before = depthwise.window;
    if before == window {
        return;
    }
    let margin = [0, 1].map(|axis| (window[axis] - before[axis]) / 2);
    let mut weight = vec![0.0; window[0] * window[1] * channels];
    for row in 0..before[0] {
        let from = row * before[1] * channels;
        let to = ((row + margin[0]) * window[1] + margin[1]) * channels;
        let length = before[1] * channels;
        weight[to..][..length].copy_from_slice(&depthwise.weight[from..][..length]);
    }
    *depthwise = Depthwise {
        window,
        weight,
        bias: std::mem::take(&mut depthwise.bias),
    };
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
