//! The identity token mixer: `x + layer_scale * norm(x)`.

use crate::import::recognise::form::{Term, add_scaled, all, product};
use crate::import::recognise::{Branch, Problem, residual};
use crate::network::{Identity, Op};

/// The layer whose branch is `branch` plus `bias`, if it is an identity mixer.
pub(crate) fn layer(branch: &Branch<'_>) -> Option<Result<Op, Problem>> {
    let &Branch {
        source,
        terms: branch,
        bias,
        res_scale,
    } = branch;
    let [(Term::Norm(term), factors)] = branch else {
        return None;
    };
    if term.source != Term::Stream(source) {
        return Some(Err(Problem::new(
            "the norm is added to another feature map than the one it reads",
            "use blocks of the form `x + layer_scale * norm(x)`",
        )));
    }
    let mut norm = term.norm.clone();
    let mut layer_scale = factors.clone();
    if !all(bias, 0.0) {
        // A term behind the layer scale: no place for it but the norm's own.
        norm.gamma = product(&norm.gamma, &layer_scale);
        norm.beta = product(&norm.beta, &layer_scale);
        add_scaled(&mut norm.beta, bias, 1.0);
        layer_scale.fill(1.0);
    }
    Some(Ok(Op::Identity(Identity {
        norm,
        residual: residual(layer_scale, res_scale),
    })))
}
