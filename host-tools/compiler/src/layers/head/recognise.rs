//! The head: mean over tokens, perhaps of a norm, perhaps a norm and an MLP of
//! it, and a linear layer.

use crate::import::graph::Node;
use crate::import::recognise::Problem;
use crate::import::recognise::form::{Form, NormTerm, Order, Shared, StreamId, Sum, Term};
use crate::import::recognise::walk::Walk;
use crate::network::{Head, HeadHidden, Norm, Op, Shape};

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
    let term = match sum.absorbed() {
        // The mean of one token is the token.
        Some(term) if term.is_behind_mean() => term,
        Some(term @ Term::Norm(_)) => Term::Mean(Shared::new(term)),
        _ => Term::Mean(Shared::new(Term::Stream(walk.stream(node, sum)))),
    };
    Form::of(term, shape, Order::ChannelsFirst)
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
    let Term::Mean(argument) = mean else {
        return None;
    };
    let (Term::Stream(source), norm) = normed(argument) else {
        return None;
    };
    let head = Head {
        norm,
        mean_norm,
        hidden,
        linear,
    };
    Some((Op::Head(head), *source))
}

/// What a norm reads, and the norm; the term itself if it is none.
fn normed(term: &Term) -> (&Term, Option<Norm>) {
    match term {
        Term::Norm(norm) => {
            let NormTerm { source, norm } = &**norm;
            (source, Some(norm.clone()))
        }
        term => (term, None),
    }
}
