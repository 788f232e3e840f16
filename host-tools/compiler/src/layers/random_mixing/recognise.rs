//! Random mixing: `x + layer_scale * (matrix * norm(x))`, over the tokens.

use crate::import::recognise::form::{Term, all};
use crate::import::recognise::{Branch, Problem, residual};
use crate::network::{Op, RandomMixing};

/// The layer whose branch is `branch` plus `bias`, if it is a random mixing.
pub(crate) fn layer(branch: &Branch<'_>) -> Option<Result<Op, Problem>> {
    let &Branch {
        source,
        terms: branch,
        bias,
        res_scale,
    } = branch;
    let [(Term::Mixed(norm, matrix), layer_scale)] = branch else {
        return None;
    };
    let refuse = |what: &str| {
        Some(Err(Problem::new(
            what,
            "use blocks of the form `x + layer_scale * (matrix * norm(x))`",
        )))
    };
    if norm.source != Term::Stream(source) {
        return refuse("the mixed norm is added to another feature map than the one it reads");
    }
    if !all(bias, 0.0) {
        return refuse("a constant is added to the random mixing");
    }
    Some(Ok(Op::RandomMixing(RandomMixing {
        norm: norm.norm.clone(),
        matrix: (**matrix).clone(),
        residual: residual(layer_scale.clone(), res_scale),
    })))
}
