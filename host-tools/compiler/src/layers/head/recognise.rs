//! The head: mean over tokens, perhaps of a norm, perhaps a norm and an MLP of
//! it, and a linear layer.

use std::rc::Rc;

use crate::import::graph::Node;
use crate::import::recognise::Problem;
use crate::import::recognise::form::{
    Form, LinearTerm, NormTerm, Order, Shared, StreamId, Sum, Term,
};
use crate::import::recognise::linear;
use crate::import::recognise::walk::Walk;
use crate::network::{Head, HeadHidden, Linear, Norm, NormScope, Op, Shape};

/// `GlobalAveragePool`, or an average over the whole map.
pub(crate) fn mean(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    match walk.form(node)? {
        Form::Map(sum) => Ok(mean_of(walk, node, &sum)),
        Form::Opaque => Ok(Form::Opaque),
        form => Err(Problem::new(
            format!("a mean of {} belongs to no known layer", form.describe()),
            "take the mean of the last feature map or of its norm",
        )),
    }
}

/// The mean over the tokens of a map.
pub(crate) fn mean_of(walk: &mut Walk<'_>, node: &Node, sum: &Sum) -> Form {
    if sum.is_unknown() {
        return Form::Opaque;
    }
    let shape = Shape {
        height: 1,
        width: 1,
        ..sum.shape
    };
    if let (Some((term @ Term::Stream(_), factors)), None) = (sum.single(), sum.plain()) {
        // The factors of BatchNorm are those of the mean too.
        let mean = Term::Mean(Shared::new(term.clone()));
        return Form::Map(Rc::new(Sum {
            shape,
            order: Order::ChannelsFirst,
            terms: vec![(mean, factors.to_vec())],
            bias: sum.bias.clone(),
        }));
    }
    let term = match sum.absorbed() {
        // The mean of one token is the token.
        Some(term) if term.is_behind_mean() => term,
        Some(term @ Term::Norm(_)) => Term::Mean(Shared::new(term)),
        _ => Term::Mean(Shared::new(Term::Stream(walk.stream(node, sum)))),
    };
    Form::of(term, shape, Order::ChannelsFirst)
}

/// The head whose scores are `sum`, and the feature map that it reads. The mean itself,
/// perhaps normed, is an embedding: scores of a classifier that hands it on.
pub(crate) fn of_scores(sum: &Sum) -> Option<(Op, StreamId)> {
    if let Some(joined) = sum.joined() {
        return layer(&joined.absorbed()?);
    }
    let (term, _) = sum.single()?;
    if !matches!(term, Term::Linear(_)) && term.is_behind_mean() {
        let channels = sum.shape.channels;
        if channels > MAX_EMBEDDING {
            return None;
        }
        let mut weight = vec![0.0; channels * channels];
        weight
            .iter_mut()
            .step_by(channels + 1)
            .for_each(|w| *w = 1.0);
        let same = Linear {
            outputs: channels,
            inputs: channels,
            weight,
            bias: vec![0.0; channels],
        };
        return match linear::apply(sum, same).ok()? {
            Form::Map(sum) => layer(&sum.absorbed()?),
            _ => None,
        };
    }
    layer(&sum.absorbed()?)
}

/// Most channels of an embedding.
const MAX_EMBEDDING: usize = 4096;

/// The linear layer that reads the mean.
fn first_linear(outer: &LinearTerm) -> &Linear {
    match normed(&outer.input).0 {
        Term::Activated(argument, _) => match &**argument {
            Term::Linear(inner) => &inner.linear,
            _ => &outer.linear,
        },
        _ => &outer.linear,
    }
}

/// The head whose scores are `term`, and the feature map that it reads.
pub(crate) fn layer(term: &Term) -> Option<(Op, StreamId)> {
    let Term::Linear(outer) = term else {
        return None;
    };
    let linear = outer.linear.clone();
    let (input, norm) = normed(&outer.input);
    let (mean, mean_norm, hidden) = match input {
        Term::Activated(argument, activation) => {
            let Term::Linear(inner) = &**argument else {
                return None;
            };
            let (mean, mean_norm) = normed(&inner.input);
            let hidden = HeadHidden {
                fc1: inner.linear.clone(),
                activation: *activation,
                norm,
            };
            (mean, mean_norm, Some(hidden))
        }
        mean => (mean, norm, None),
    };
    let (argument, channels) = match mean {
        Term::Mean(argument) => (argument, None),
        Term::Flat(argument) => (argument, Some(first_linear(outer).inputs)),
        _ => return None,
    };
    let (Term::Stream(source), norm) = normed(argument) else {
        return None;
    };
    let norm = match (norm, channels) {
        (Some(norm), Some(_)) if norm.scope == NormScope::Token => return None,
        // The same for each token.
        (Some(norm), Some(channels)) => Some(Norm {
            gamma: norm.gamma.iter().copied().cycle().take(channels).collect(),
            beta: norm.beta.iter().copied().cycle().take(channels).collect(),
            ..norm
        }),
        (norm, _) => norm,
    };
    let head = Head {
        norm,
        mean_norm,
        hidden,
        linear,
    };
    Some((Op::Head(head), *source))
}

/// A norm's input, and the norm; the term itself if it is none.
fn normed(term: &Term) -> (&Term, Option<Norm>) {
    match term {
        Term::Norm(norm) => {
            let NormTerm { source, norm } = &**norm;
            (source, Some(norm.clone()))
        }
        term => (term, None),
    }
}
