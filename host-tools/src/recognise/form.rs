//! What a value of the graph means, in terms of the network's feature maps.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use crate::ir::{Activation, Linear, Norm, Shape};

/// A feature map that layers read and write; counted from the image on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamId(pub(super) usize);

/// Order of a map's elements in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// `channels x height x width`.
    ChannelsFirst,
    /// `height x width x channels`.
    ChannelsLast,
}

/// The meaning of a value.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// One value per token and channel.
    Map(Rc<Sum>),
    /// A step of a norm that is written out.
    Statistic(Statistic),
    /// The mean over all tokens of a map.
    Mean(Rc<Sum>),
    /// The class scores.
    Scores(Shared<Scores>),
    /// Behind something that was reported.
    Opaque,
}

/// A sum of terms with a factor per channel, and a term per channel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sum {
    pub(super) shape: Shape,
    pub(super) order: Order,
    pub(super) terms: Vec<(Term, Vec<f32>)>,
    pub(super) bias: Vec<f32>,
}

/// A map that is not a sum of others.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    /// A feature map between layers.
    Stream(StreamId),
    /// The norm of a feature map.
    Norm(Shared<NormTerm>),
    /// The mean over a window of the norm; the window's side.
    Pool(Shared<NormTerm>, usize),
    /// `u = fc1(norm)`.
    Hidden(Shared<Hidden>),
    /// `erf(u / sqrt 2)`.
    Erf(Shared<Hidden>),
    /// `activation(u)`.
    Activated(Shared<Hidden>, Activation),
    /// `fc2(activation(u))`.
    Branch(Shared<Branch>),
    /// Something that was reported.
    Unknown,
}

#[derive(Debug, PartialEq)]
pub(super) struct NormTerm {
    pub(super) source: StreamId,
    pub(super) norm: Norm,
}

#[derive(Debug, PartialEq)]
pub(super) struct Hidden {
    pub(super) norm: Shared<NormTerm>,
    pub(super) fc1: Linear,
}

#[derive(Debug, PartialEq)]
pub(super) struct Branch {
    pub(super) hidden: Shared<Hidden>,
    pub(super) activation: Activation,
    pub(super) fc2: Linear,
}

/// `linear(mean)`; without a norm the mean is that of the feature map itself.
#[derive(Debug, PartialEq, Clone)]
pub(super) struct Scores {
    pub(super) source: StreamId,
    pub(super) norm: Option<Norm>,
    pub(super) linear: Linear,
}

/// A step of a norm over the whole feature map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Statistic {
    pub(super) kind: StatisticKind,
    pub(super) source: StreamId,
    pub(super) order: Order,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum StatisticKind {
    /// `mean(x)`.
    Mean,
    /// `x - mean(x)`.
    Centred,
    /// `(x - mean(x))^2`.
    Square,
    /// `mean((x - mean(x))^2)`.
    Variance,
    /// The variance plus epsilon.
    Raised(f32),
    /// `sqrt(variance + epsilon)`.
    Deviation(f32),
    /// `1 / sqrt(variance + epsilon)`.
    Inverse(f32),
}

/// A shared value; two are equal if they are the same or look the same.
#[derive(Debug)]
pub(super) struct Shared<T>(Rc<T>);

impl<T> Shared<T> {
    pub(super) fn new(value: T) -> Self {
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
    /// Number of weights of the linear layer that the sum is the output of.
    pub(super) fn weights(&self) -> usize {
        match self.single() {
            Some((Term::Hidden(hidden), _)) => hidden.fc1.weight.len(),
            Some((Term::Branch(branch), _)) => branch.fc2.weight.len(),
            _ => 0,
        }
    }

    /// One term, factor 1.
    pub(super) fn of(term: Term, shape: Shape, order: Order) -> Self {
        Self {
            shape,
            order,
            terms: vec![(term, vec![1.0; shape.channels])],
            bias: vec![0.0; shape.channels],
        }
    }

    /// The only term and its factors.
    pub(super) fn single(&self) -> Option<(&Term, &[f32])> {
        match &self.terms[..] {
            [(term, factors)] => Some((term, factors)),
            _ => None,
        }
    }

    /// The only term, if it stands alone with factor 1.
    pub(super) fn plain(&self) -> Option<&Term> {
        let (term, factors) = self.single()?;
        (all(factors, 1.0) && all(&self.bias, 0.0)).then_some(term)
    }

    /// Whether something in it was reported already.
    pub(super) fn is_unknown(&self) -> bool {
        self.terms.iter().any(|(term, _)| *term == Term::Unknown)
    }

    /// Whether it is the same map, in whatever order of elements.
    pub(super) fn same_map(&self, other: &Self) -> bool {
        self.shape == other.shape && self.terms == other.terms && self.bias == other.bias
    }

    /// `self + sign * other`; both in the same shape and order.
    pub(super) fn plus(&self, other: &Self, sign: f32) -> Self {
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
    pub(super) fn scaled(&self, apply: impl Fn(f32, usize) -> f32) -> Self {
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

    /// A norm with all factors and terms of this sum in it, if it is one.
    pub(super) fn as_norm(&self) -> Option<Shared<NormTerm>> {
        let (Term::Norm(inner), factors) = self.single()? else {
            return None;
        };
        if self.plain().is_some() {
            return Some(inner.clone());
        }
        let gamma = product(&inner.norm.gamma, factors);
        let mut beta = product(&inner.norm.beta, factors);
        add_scaled(&mut beta, &self.bias, 1.0);
        let norm = Norm {
            gamma,
            beta,
            epsilon: inner.norm.epsilon,
        };
        Some(Shared::new(NormTerm {
            source: inner.source,
            norm,
        }))
    }

    /// What the sum is, for error texts.
    pub(super) fn describe(&self) -> String {
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

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream(_) => "the feature map",
            Self::Norm(_) => "its norm",
            Self::Pool(..) => "its pooled norm",
            Self::Hidden(_) => "the output of fc1",
            Self::Erf(_) => "the error function of fc1's output",
            Self::Activated(..) => "the hidden layer of a channel MLP",
            Self::Branch(_) => "the output of a channel MLP",
            Self::Unknown => "something unsupported",
        })
    }
}

impl Form {
    /// Values that the form itself holds, without the weights of its terms.
    pub(super) fn elements(&self) -> usize {
        match self {
            Self::Map(sum) | Self::Mean(sum) => (sum.terms.len() + 1) * sum.shape.channels,
            Self::Scores(scores) => scores.linear.weight.len(),
            Self::Statistic(_) | Self::Opaque => 0,
        }
    }

    /// What the form is, for error texts.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Map(sum) => sum.describe(),
            Self::Statistic(_) => "a part of a norm".to_owned(),
            Self::Mean(_) => "the mean over all tokens".to_owned(),
            Self::Scores(_) => "the class scores".to_owned(),
            Self::Opaque => "something unsupported".to_owned(),
        }
    }
}

/// Whether all values are `expected`.
pub(super) fn all(values: &[f32], expected: f32) -> bool {
    values.iter().all(|&value| value == expected)
}

/// `values += sign * other`.
pub(super) fn add_scaled(values: &mut [f32], other: &[f32], sign: f32) {
    for (value, other) in values.iter_mut().zip(other) {
        *value += sign * other;
    }
}

/// Products of pairs.
pub(super) fn product(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// Whether two lists agree up to rounding in single precision.
pub(super) fn close(a: &[f32], b: &[f32]) -> bool {
    let size = a.iter().chain(b).fold(0.0f32, |size, v| size.max(v.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * size)
}
