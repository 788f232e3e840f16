//! The meaning of a value of the graph, in terms of the network's feature maps.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use super::strided::Strided;
pub(crate) use crate::import::normalise::Order;
use crate::layers::attention::recognise::{Attended, Weights};
use crate::network::{Activation, Depthwise, Linear, Norm, NormScope, Shape};

/// A feature map that layers read and write; counted from the image on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId(pub(crate) usize);

/// The meaning of a value.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// One value per token and channel; means and scores have one token.
    Map(Rc<Sum>),
    /// A step of a norm that is written out.
    Statistic(Statistic),
    /// Some channels of a map, in another order than any map's.
    Strided(Strided),
    /// Products of queries and keys.
    Weights(Shared<Weights>),
    /// Behind something that was reported.
    Opaque,
}

/// A sum of terms with a factor per channel, and a term per channel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sum {
    pub(crate) shape: Shape,
    pub(crate) order: Order,
    pub(crate) terms: Vec<(Term, Vec<f32>)>,
    pub(crate) bias: Vec<f32>,
}

/// A map that is not a sum of others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Term {
    /// A feature map between layers.
    Stream(StreamId),
    /// A norm.
    Norm(Shared<NormTerm>),
    /// The mean over a window of a norm; the window's side.
    Pool(Shared<NormTerm>, usize),
    /// A fixed matrix over the tokens of a norm.
    Mixed(Shared<NormTerm>, Shared<Vec<f32>>),
    /// A linear layer of each token.
    Linear(Shared<LinearTerm>),
    /// A convolution of each channel.
    Depthwise(Shared<DepthwiseTerm>),
    /// A whole power, above the first, of a linear layer's output.
    Power(Shared<Term>, u32),
    /// `erf(u / sqrt 2)`.
    Erf(Shared<Term>),
    /// `tanh(sqrt(2 / pi) (u + 0.044715 u^3))`.
    Tanh(Shared<Term>),
    /// `activation(u)`.
    Activated(Shared<Term>, Activation),
    /// Attention's weighted sums of the values.
    Attended(Shared<Attended>),
    /// The mean over all tokens.
    Mean(Shared<Term>),
    /// All of a map, or of its norm, as one token: token by token, channels innermost.
    Flat(Shared<Term>),
    /// Something that was reported.
    Unknown,
}

#[derive(Debug, PartialEq)]
pub(crate) struct NormTerm {
    /// A feature map, the mean of one, or the hidden layer of an MLP head.
    pub(crate) source: Term,
    pub(crate) norm: Norm,
}

#[derive(Debug, PartialEq)]
pub(crate) struct LinearTerm {
    pub(crate) input: Term,
    pub(crate) linear: Linear,
}

#[derive(Debug, PartialEq)]
pub(crate) struct DepthwiseTerm {
    pub(crate) input: Term,
    pub(crate) depthwise: Depthwise,
}

/// A step of a norm.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statistic {
    pub(crate) kind: StatisticKind,
    pub(crate) scope: NormScope,
    /// The value that is normalised.
    pub(crate) source: Term,
    pub(crate) shape: Shape,
    pub(crate) order: Order,
    /// What the variance was multiplied with: `n / (n - 1)` if it is the unbiased one.
    pub(crate) factor: f32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum StatisticKind {
    /// `mean(x)`.
    Mean,
    /// `x - mean(x)`.
    Centred,
    /// `(x - mean(x))^2`.
    Square,
    /// `mean((x - mean(x))^2)`.
    Variance,
    /// The variance, with its factor, plus epsilon.
    Raised(f32),
    /// `sqrt(factor * variance + epsilon)`.
    Deviation(f32),
    /// `1 / sqrt(factor * variance + epsilon)`.
    Inverse(f32),
}

/// A shared value; two are equal if they are the same or look the same.
#[derive(Debug)]
pub(crate) struct Shared<T>(Rc<T>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Rc::new(value))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Sum {
    /// Number of weights of the layer that the sum is the output of.
    pub(crate) fn weights(&self) -> usize {
        match self.single() {
            Some((Term::Linear(linear), _)) => linear.linear.weight.len(),
            Some((Term::Depthwise(conv), _)) => conv.depthwise.weight.len(),
            _ => 0,
        }
    }

    /// One term, factor 1.
    pub(crate) fn of(term: Term, shape: Shape, order: Order) -> Self {
        Self {
            shape,
            order,
            terms: vec![(term, vec![1.0; shape.channels])],
            bias: vec![0.0; shape.channels],
        }
    }

    /// The only term and its factors.
    pub(crate) fn single(&self) -> Option<(&Term, &[f32])> {
        match &self.terms[..] {
            [(term, factors)] => Some((term, factors)),
            _ => None,
        }
    }

    /// The only term, if it stands alone with factor 1.
    pub(crate) fn plain(&self) -> Option<&Term> {
        let (term, factors) = self.single()?;
        (all(factors, 1.0) && all(&self.bias, 0.0)).then_some(term)
    }

    /// Whether something in it was reported already.
    pub(crate) fn is_unknown(&self) -> bool {
        self.terms.iter().any(|(term, _)| *term == Term::Unknown)
    }

    /// Whether it is the same map, in whatever order of elements.
    pub(crate) fn same_map(&self, other: &Self) -> bool {
        self.shape == other.shape && self.terms == other.terms && self.bias == other.bias
    }

    /// Whether elements at the same place are the same token and channel.
    pub(crate) fn same_layout(&self, other: &Self) -> bool {
        self.shape == other.shape && (self.order == other.order || self.has_one_axis())
    }

    /// Whether both orders of elements are the same.
    pub(crate) fn has_one_axis(&self) -> bool {
        self.shape.tokens() == 1 || self.shape.channels == 1
    }

    /// `self + sign * other`; both in the same shape and order.
    pub(crate) fn plus(&self, other: &Self, sign: f32) -> Self {
        let mut sum = self.clone();
        add_scaled(&mut sum.bias, &other.bias, sign);
        for (term, factors) in &other.terms {
            match sum.terms.iter_mut().find(|(known, _)| known == term) {
                Some((_, known)) => add_scaled(known, factors, sign),
                None => sum
                    .terms
                    .push((term.clone(), factors.iter().map(|f| sign * f).collect())),
            }
        }
        sum.terms.retain(|(_, factors)| !all(factors, 0.0));
        sum
    }

    /// Every factor and the bias changed by a function of value and channel.
    pub(crate) fn scaled(&self, apply: impl Fn(f32, usize) -> f32) -> Self {
        let each = |values: &[f32]| {
            values
                .iter()
                .enumerate()
                .map(|(c, &v)| apply(v, c))
                .collect()
        };
        Self {
            terms: self
                .terms
                .iter()
                .map(|(term, factors)| (term.clone(), each(factors)))
                .collect(),
            bias: each(&self.bias),
            ..self.clone()
        }
    }

    /// The only term with the factors and the bias of this sum in it, if it has
    /// a place for them.
    pub(crate) fn absorbed(&self) -> Option<Term> {
        if let Some(term) = self.plain() {
            return Some(term.clone());
        }
        let (term, factors) = self.single()?;
        absorb(term, factors, &self.bias)
    }

    /// The feature map with a factor and a term of each channel, as a norm with fixed
    /// statistics.
    pub(crate) fn as_fixed(&self) -> Option<Shared<NormTerm>> {
        let (source @ Term::Stream(_), factors) = self.single()? else {
            return None;
        };
        let norm = Norm {
            scope: NormScope::Fixed,
            centred: true,
            gamma: factors.to_vec(),
            beta: self.bias.clone(),
            epsilon: 0.0,
        };
        let source = source.clone();
        Some(Shared::new(NormTerm { source, norm }))
    }

    /// The terms as one linear layer, if all are linear layers of one input: the average of
    /// several heads.
    pub(crate) fn joined(&self) -> Option<Self> {
        let [(Term::Linear(first), _), ..] = &self.terms[..] else {
            return None;
        };
        let mut linear = first.linear.clone();
        linear.weight.fill(0.0);
        linear.bias = self.bias.clone();
        for (term, factors) in &self.terms {
            let Term::Linear(part) = term else {
                return None;
            };
            let fits = (part.linear.outputs, part.linear.inputs) == (linear.outputs, linear.inputs);
            if !fits || part.input != first.input {
                return None;
            }
            let mut part = part.linear.clone();
            part.scale_rows(factors);
            add_scaled(&mut linear.weight, &part.weight, 1.0);
            add_scaled(&mut linear.bias, &part.bias, 1.0);
        }
        let input = first.input.clone();
        let term = Term::Linear(Shared::new(LinearTerm { input, linear }));
        Some(Self::of(term, self.shape, self.order))
    }

    /// The norm that this sum is, with all factors and terms in it.
    pub(crate) fn as_norm(&self) -> Option<Shared<NormTerm>> {
        match self.absorbed()? {
            Term::Norm(norm) => Some(norm),
            _ => None,
        }
    }

    /// The name of the sum, for error texts.
    pub(crate) fn describe(&self) -> String {
        let names: Vec<_> = self
            .terms
            .iter()
            .map(|(term, _)| term.to_string())
            .collect();
        match names.is_empty() {
            true => "a constant".to_owned(),
            false => names.join(" and "),
        }
    }
}

/// `factors * term + bias` as one term, if it has a place for them.
fn absorb(term: &Term, factors: &[f32], bias: &[f32]) -> Option<Term> {
    Some(match term {
        Term::Norm(inner) => {
            let mut beta = product(&inner.norm.beta, factors);
            add_scaled(&mut beta, bias, 1.0);
            let norm = Norm {
                scope: inner.norm.scope,
                centred: inner.norm.centred,
                gamma: product(&inner.norm.gamma, factors),
                beta,
                epsilon: inner.norm.epsilon,
            };
            let source = inner.source.clone();
            Term::Norm(Shared::new(NormTerm { source, norm }))
        }
        Term::Linear(inner) => {
            let mut linear = inner.linear.clone();
            linear.scale_rows(factors);
            add_scaled(&mut linear.bias, bias, 1.0);
            let input = inner.input.clone();
            Term::Linear(Shared::new(LinearTerm { input, linear }))
        }
        Term::Depthwise(inner) => {
            let mut depthwise = inner.depthwise.clone();
            for weights in depthwise.weight.chunks_exact_mut(factors.len().max(1)) {
                let scaled = product(weights, factors);
                weights.copy_from_slice(&scaled);
            }
            depthwise.bias = product(&depthwise.bias, factors);
            add_scaled(&mut depthwise.bias, bias, 1.0);
            let input = inner.input.clone();
            Term::Depthwise(Shared::new(DepthwiseTerm { input, depthwise }))
        }
        Term::Mean(inner) => Term::Mean(Shared::new(absorb(inner, factors, bias)?)),
        Term::Activated(inner, Activation::SquaredRelu) => {
            let (&scale, &bias) = (uniform(factors)?, uniform(bias)?);
            Term::Activated(inner.clone(), Activation::StarRelu { scale, bias })
        }
        _ => return None,
    })
}

/// The value that all are, if they are.
fn uniform(values: &[f32]) -> Option<&f32> {
    let (first, rest) = values.split_first()?;
    all(rest, *first).then_some(first)
}

impl Term {
    /// Number of terms that it is made from, one inside the other.
    pub(crate) fn depth(&self) -> usize {
        1 + match self {
            Self::Stream(_) | Self::Unknown => 0,
            Self::Norm(norm) | Self::Pool(norm, _) | Self::Mixed(norm, _) => norm.source.depth(),
            Self::Linear(linear) => linear.input.depth(),
            Self::Depthwise(conv) => conv.input.depth(),
            Self::Power(inner, _)
            | Self::Erf(inner)
            | Self::Tanh(inner)
            | Self::Activated(inner, _)
            | Self::Mean(inner)
            | Self::Flat(inner) => inner.depth(),
            Self::Attended(attended) => attended.norm.source.depth() + 2,
        }
    }

    /// Whether it is computed from the mean over all tokens.
    pub(crate) fn is_behind_mean(&self) -> bool {
        match self {
            Self::Mean(_) | Self::Flat(_) => true,
            Self::Norm(norm) => norm.source.is_behind_mean(),
            Self::Linear(linear) => linear.input.is_behind_mean(),
            Self::Activated(inner, _) => inner.is_behind_mean(),
            _ => false,
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream(_) => "the feature map",
            Self::Norm(_) => "its norm",
            Self::Pool(..) => "its pooled norm",
            Self::Mixed(..) => "its mixed norm",
            Self::Linear(linear) => match &linear.input {
                Term::Norm(_) => "the output of fc1",
                Term::Attended(_) => "the output of an attention",
                input if input.is_behind_mean() => "the class scores",
                _ => "the output of a branch",
            },
            Self::Depthwise(_) => "the output of a depthwise convolution",
            Self::Power(..) => "a power of a linear layer's output",
            Self::Erf(_) => "the error function of a linear layer's output",
            Self::Tanh(_) => "the tanh of a linear layer's output",
            Self::Activated(..) => "the hidden layer of a branch",
            Self::Attended(_) => "what attention makes of the values",
            Self::Mean(_) => "the mean over all tokens",
            Self::Flat(_) => "all of the feature map",
            Self::Unknown => "something unsupported",
        })
    }
}

impl Form {
    /// Values that the form itself holds, without the weights of its terms.
    pub(crate) fn elements(&self) -> usize {
        match self {
            Self::Map(sum) => (sum.terms.len() + 1) * sum.shape.channels,
            Self::Statistic(_) | Self::Strided(_) | Self::Weights(_) | Self::Opaque => 0,
        }
    }

    /// The name of the form, for error texts.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Map(sum) => sum.describe(),
            Self::Statistic(_) => "a part of a norm".to_owned(),
            Self::Strided(_) => "a part of a linear layer's output".to_owned(),
            Self::Weights(_) => "the weights of an attention".to_owned(),
            Self::Opaque => "something unsupported".to_owned(),
        }
    }

    /// A map of one term.
    pub(crate) fn of(term: Term, shape: Shape, order: Order) -> Self {
        Self::Map(Rc::new(Sum::of(term, shape, order)))
    }
}

/// Whether all values are `expected`.
pub(crate) fn all(values: &[f32], expected: f32) -> bool {
    values.iter().all(|&value| value == expected)
}

/// `values += sign * other`.
pub(crate) fn add_scaled(values: &mut [f32], other: &[f32], sign: f32) {
    for (value, other) in values.iter_mut().zip(other) {
        *value += sign * other;
    }
}

/// Products of pairs.
pub(crate) fn product(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// Whether two lists agree up to rounding in single precision.
pub(crate) fn close(a: &[f32], b: &[f32]) -> bool {
    agree(a, b, 1e-5)
}

/// Whether two lists agree up to rounding in half precision: the constants of a formula,
/// which half a unit in the last place of bfloat16 may move by `2^-9`, twice.
pub(crate) fn near(a: &[f32], b: &[f32]) -> bool {
    agree(a, b, 1.0 / 256.0)
}

fn agree(a: &[f32], b: &[f32], part: f32) -> bool {
    let size = a.iter().chain(b).fold(0.0f32, |size, v| size.max(v.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= part * size)
}
