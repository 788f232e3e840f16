//! The activation of a channel MLP, as one operator or written out.

use std::rc::Rc;

use super::Problem;
use super::form::{Form, Hidden, Shared, Sum, Term, all, close};
use super::walk::Walk;
use crate::graph::Node;
use crate::ir::Activation;

const OUTSIDE: &str =
    "use activations between the two linear layers of a channel MLP only; a norm must precede them";

/// `Relu` or `Gelu`.
pub(super) fn lower(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let activation = match node.op.as_str() {
        "Relu" => Activation::Relu,
        _ => Activation::Gelu,
    };
    if let Some(mode @ "tanh") = node.text("approximate") {
        walk.report(
            node,
            Problem::new(
                format!(
                    "GELU is approximated (`approximate` is `{mode}`), which is another function"
                ),
                "train with exact GELU (`GELU()` without approximation), or export with \
                 `approximate` = `none` and check the accuracy",
            ),
        );
    }
    match walk.form(node)? {
        Form::Opaque => Ok(Form::Opaque),
        Form::Map(sum) if sum.is_unknown() => Ok(walk.unknown(node)),
        Form::Map(sum) => match walk.spend(sum.weights()).map(|()| hidden(&sum))? {
            Some(hidden) => {
                let term = Term::Activated(hidden, activation);
                Ok(Form::Map(Rc::new(Sum::of(term, sum.shape, sum.order))))
            }
            None => Err(outside(&sum.describe())),
        },
        form => Err(outside(&form.describe())),
    }
}

/// `Erf` of `u / sqrt 2`, the first step of a GELU that is written out.
pub(super) fn erf(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let sum = match walk.form(node)? {
        Form::Opaque => return Ok(Form::Opaque),
        Form::Map(sum) if sum.is_unknown() => return Ok(walk.unknown(node)),
        Form::Map(sum) => sum,
        form => return Err(outside(&form.describe())),
    };
    let half = vec![std::f32::consts::FRAC_1_SQRT_2; sum.shape.channels];
    match sum.single() {
        Some((Term::Hidden(hidden), factors)) if all(&sum.bias, 0.0) && close(factors, &half) => {
            let term = Term::Erf(hidden.clone());
            Ok(Form::Map(Rc::new(Sum::of(term, sum.shape, sum.order))))
        }
        _ => Err(Problem::new(
            format!(
                "the error function of {}, where GELU takes that of `u / sqrt 2`",
                sum.describe()
            ),
            "use exact GELU (`GELU()` without approximation)",
        )),
    }
}

/// `a u * (b erf(u / sqrt 2) + b) = 2 a b gelu(u)`.
pub(super) fn gelu_product(outer: &Sum, inner: &Sum) -> Option<Sum> {
    let (Term::Hidden(hidden), outer_factors) = outer.single()? else {
        return None;
    };
    let (Term::Erf(argument), inner_factors) = inner.single()? else {
        return None;
    };
    let fits = hidden == argument && all(&outer.bias, 0.0) && close(inner_factors, &inner.bias);
    fits.then(|| {
        let term = Term::Activated(hidden.clone(), Activation::Gelu);
        Sum::of(term, outer.shape, outer.order)
            .scaled(|v, c| v * 2.0 * outer_factors[c] * inner_factors[c])
    })
}

/// `fc1`'s output with all factors in its weights.
fn hidden(sum: &Sum) -> Option<Shared<Hidden>> {
    match super::linear::absorb_factors(sum).plain()? {
        Term::Hidden(hidden) => Some(hidden.clone()),
        _ => None,
    }
}

fn outside(what: &str) -> Problem {
    Problem::new(
        format!("an activation of {what} belongs to no known layer"),
        OUTSIDE,
    )
}
