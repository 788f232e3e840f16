//! The channel MLP: `x + layer_scale * fc2(activation(fc1(norm(x))))`.

use crate::import::recognise::form::Term;
use crate::import::recognise::{Branch, Problem, residual};
use crate::network::{ChannelMlp, Op};

/// The layer whose branch is `branch` plus `bias`, if it is a channel MLP.
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
    let Term::Activated(argument, activation) = &outer.input else {
        return None;
    };
    let Term::Linear(inner) = &**argument else {
        return None;
    };
    let Term::Norm(norm) = &inner.input else {
        return None;
    };
    if norm.source != Term::Stream(source) {
        return Some(Err(Problem::new(
            "the channel MLP is added to another feature map than the one it reads",
            "use blocks of the form `x + layer_scale * mlp(norm(x))`",
        )));
    }
    let (fc2, layer_scale) = outer.linear.last_of_branch(factors, bias);
    Some(Ok(Op::ChannelMlp(ChannelMlp {
        norm: norm.norm.clone(),
        fc1: inner.linear.clone(),
        activation: *activation,
        fc2,
        residual: residual(layer_scale, res_scale),
    })))
}
