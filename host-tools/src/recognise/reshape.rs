//! Operators that move elements or change their type.

use std::rc::Rc;

use super::Problem;
use super::form::{Form, Sum};
use super::layout;
use super::walk::Walk;
use crate::fold::permutation;
use crate::graph::Node;

/// Operators that keep the elements and their order: the meaning stays.
pub(super) fn view(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let form = walk.form(node)?;
    let known = !walk.output_shape(node).is_empty();
    match known || matches!(form, Form::Opaque) {
        true => Ok(form),
        false => Err(Problem::new(
            "its sizes are not constant",
            "export with fixed sizes; only the batch may be symbolic",
        )),
    }
}

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

/// `Dropout`: does nothing, unless the network was exported for training.
pub(super) fn dropout(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let training = match (node.input(2), walk.constant(node, 2)) {
        (None, _) => false,
        (Some(_), flag) => flag.and_then(|flag| flag.as_ints()) != Some(&[0]),
    };
    match training {
        false => walk.form(node),
        true => Err(Problem::new(
            "dropout is active",
            "export the network in inference mode (`model.eval()`)",
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
    if shape.is_empty() {
        return Ok(walk.unknown(node));
    }
    let order = permutation(node, shape.len())
        .map_err(|what| Problem::new(what, "export the network again"))?;
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
