//! The separable convolution:
//! `x + layer_scale * fc2(act2(depthwise(act1(fc1(norm(x))))))`.

use crate::import::recognise::form::Term;
use crate::import::recognise::{Branch, Problem, residual};
use crate::network::{Activation, Op, SepConv};

/// The layer whose branch is `branch` plus `bias`, if it is a separable
/// convolution.
pub(crate) fn layer(branch: &Branch<'_>) -> Option<Result<Op, Problem>> {
    let &Branch {
        source,
        terms: branch,
        bias,
        res_scale,
    } = branch;
    let [(Term::Linear(outer), factors)] = branch else {
        return None;
    };
    let (argument, act2) = activated(&outer.input);
    let Term::Depthwise(conv) = argument else {
        return None;
    };
    let (argument, act1) = activated(&conv.input);
    let Term::Linear(inner) = argument else {
        return None;
    };
    let Term::Norm(norm) = &inner.input else {
        return None;
    };
    if norm.source != Term::Stream(source) {
        return Some(Err(Problem::new(
            "the separable convolution is added to another feature map than the one it reads",
            "use blocks of the form `x + layer_scale * sep_conv(norm(x))`",
        )));
    }
    let (fc2, layer_scale) = outer.linear.last_of_branch(factors, bias);
    Some(Ok(Op::SepConv(SepConv {
        norm: norm.norm.clone(),
        fc1: inner.linear.clone(),
        act1,
        depthwise: conv.depthwise.clone(),
        act2,
        fc2,
        residual: residual(layer_scale, res_scale),
    })))
}

/// An activation's input, and the activation; the term itself if it is none.
fn activated(term: &Term) -> (&Term, Option<Activation>) {
    match term {
        Term::Activated(argument, activation) => (argument, Some(*activation)),
        term => (term, None),
    }
}
