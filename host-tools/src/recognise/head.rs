//! The head: mean over tokens, perhaps of a norm, and a linear layer.

use std::rc::Rc;

use super::Problem;
use super::form::{Form, Scores, Sum, Term, add_scaled, all};
use super::walk::Walk;
use crate::graph::Node;
use crate::ir::{Head, Linear, Op};

/// `GlobalAveragePool`, or an average over the whole map.
pub(super) fn mean(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    match walk.form(node)? {
        Form::Map(sum) => Ok(mean_of(walk, node, &sum)),
        // The mean of one token is the token.
        Form::Mean(sum) => Ok(Form::Mean(sum)),
        Form::Opaque => Ok(Form::Opaque),
        form => Err(Problem::new(
            format!("a mean of {} belongs to no known layer", form.describe()),
            "take the mean of the last feature map or of its norm",
        )),
    }
}

/// The mean over the tokens of a map.
pub(super) fn mean_of(walk: &mut Walk<'_>, node: &Node, sum: &Rc<Sum>) -> Form {
    if sum.is_unknown() {
        return Form::Opaque;
    }
    if matches!(sum.single(), Some((Term::Norm(_) | Term::Stream(_), _))) {
        return Form::Mean(sum.clone());
    }
    let id = walk.stream(node, sum);
    Form::Mean(Rc::new(Sum::of(Term::Stream(id), sum.shape, sum.order)))
}

/// A linear layer on the mean of a norm or of a feature map.
pub(super) fn scores(mean: &Sum, mut linear: Linear) -> Result<Scores, Problem> {
    if let Some(norm) = mean.as_norm() {
        return Ok(Scores {
            source: norm.source,
            norm: Some(norm.norm.clone()),
            linear,
        });
    }
    let Some((Term::Stream(source), factors)) = mean.single() else {
        return Err(Problem::new(
            format!("the head reads the mean of {}", mean.describe()),
            "let the head read the mean of the last feature map or of its norm",
        ));
    };
    if !all(&mean.bias, 0.0) {
        let offset = linear.product(&mean.bias);
        add_scaled(&mut linear.bias, &offset, 1.0);
    }
    if !all(factors, 1.0) {
        linear.scale_columns(factors);
    }
    Ok(Scores {
        source: *source,
        norm: None,
        linear,
    })
}

/// The head as a layer.
pub(super) fn layer(scores: &Scores) -> Op {
    Op::Head(Head {
        norm: scores.norm.clone(),
        linear: scores.linear.clone(),
    })
}
