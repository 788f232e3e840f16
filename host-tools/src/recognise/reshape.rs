//! Operators that move elements or change their type.

use std::rc::Rc;

use super::Problem;
use super::form::{Form, Sum};
use super::layout;
use super::walk::Walk;
use crate::graph::Node;

/// `Cast`: only to single precision, in which everything is computed.
pub(super) fn cast(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
    match node.int("to", 0) {
        1 => walk.form(node),
        _ => Err(Problem::new(
            "the network computes in another type than float32",
            "export it in float32; the weights may be stored in float16",
        )),
    }
}

/// `Transpose`: between channels first and channels last.
pub(super) fn transpose(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let form = walk.form(node)?;
    let shape = walk.shape(node, 0);
    let torn = || {
        Problem::new(
            "the transposition tears channels and tokens apart",
            "only change between channels first and channels last",
        )
    };
    let order = match node.ints("perm") {
        Some(order) => order
            .iter()
            .map(|&axis| axis.rem_euclid(shape.len() as i64) as usize)
            .collect(),
        None => (0..shape.len()).rev().collect::<Vec<_>>(),
    };
    let wide: Vec<usize> = order
        .iter()
        .copied()
        .filter(|&axis| shape[axis] != 1)
        .collect();
    if wide.is_sorted() {
        return Ok(form);
    }
    match form {
        Form::Map(sum) if sum.is_unknown() => Ok(walk.unknown(node)),
        Form::Map(sum) => {
            let axes = layout::axes(shape, sum.shape.channels, sum.shape.tokens(), sum.order)
                .ok_or_else(torn)?;
            let order = layout::permuted(shape, &axes, sum.order, &order).ok_or_else(torn)?;
            Ok(Form::Map(Rc::new(Sum {
                order,
                ..(*sum).clone()
            })))
        }
        Form::Opaque => Ok(Form::Opaque),
        _ => Err(torn()),
    }
}
