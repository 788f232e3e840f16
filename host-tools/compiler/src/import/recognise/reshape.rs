//! Operators that move elements or change their type.

use std::rc::Rc;

use super::Problem;
use super::axes;
use super::form::{Form, Sum};
use super::strided::Strided;
use super::walk::Walk;
use crate::import::constant_folding::permutation;
use crate::import::graph::Node;

/// Operators that keep the elements and their order: the meaning stays.
pub(crate) fn view(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let shape = walk.output_shape(node);
    match walk.form(node)? {
        Form::Opaque => Ok(Form::Opaque),
        Form::Strided(strided) => strided.reshaped(shape).map(Strided::form).ok_or_else(torn),
        _ if shape.is_empty() => Err(Problem::new(
            "its sizes are not constant",
            "export with fixed sizes; only the batch may be symbolic",
        )),
        form => Ok(form),
    }
}

/// `Split`: every part.
pub(crate) fn split(walk: &Walk<'_>, node: &Node) -> Result<Vec<Form>, Problem> {
    let shape = walk.shape(node, 0);
    let axis = axis(node.int("axis", 0), shape)?;
    let mut start = 0;
    let mut parts = Vec::new();
    for output in &node.outputs {
        let count = output
            .and_then(|id| walk.graph.shape(id))
            .and_then(|shape| shape.get(axis))
            .copied()
            .unwrap_or(0);
        parts.push(narrowed(walk.form(node)?, shape, axis, start, count)?);
        start += count;
    }
    Ok(parts)
}

/// `Slice` along one axis, with a step of 1.
pub(crate) fn slice(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let (shape, kept) = (walk.shape(node, 0), walk.output_shape(node));
    let ints = |index: usize, name: &str| match walk.constant(node, index) {
        Some(tensor) => tensor.as_ints(),
        None => node.ints(name),
    };
    if shape.is_empty() || kept.len() != shape.len() {
        return Err(torn());
    }
    let mut cut = (0..shape.len()).filter(|&axis| kept[axis] != shape[axis]);
    let (Some(cut), None) = (cut.next(), cut.next()) else {
        return if kept == shape {
            walk.form(node)
        } else {
            Err(torn())
        };
    };
    let place = match ints(3, "axes") {
        Some(axes) => axes
            .iter()
            .position(|&value| axis(value, shape).is_ok_and(|found| found == cut)),
        None => Some(cut),
    };
    let one_step = ints(4, "steps").is_none_or(|steps| steps.iter().all(|&step| step == 1));
    let starts = ints(1, "starts").unwrap_or(&[]);
    match place.and_then(|place| starts.get(place)) {
        Some(&start) if one_step => {
            let size = shape[cut] as i64;
            let start = match start {
                ..0 => start.saturating_add(size),
                _ => start,
            };
            let start = start.clamp(0, size) as usize;
            narrowed(walk.form(node)?, shape, cut, start, kept[cut])
        }
        _ => Err(torn()),
    }
}

/// `Gather` of one place along an axis, or of all in order.
pub(crate) fn gather(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let shape = walk.shape(node, 0);
    let axis = axis(node.int("axis", 0), shape)?;
    let indices = walk.constant(node, 1).ok_or_else(torn)?;
    let places = indices.as_ints().unwrap_or(&[]);
    if shape[axis] > 1 && places.iter().copied().eq(0..shape[axis] as i64) {
        // Every place in order: only a view.
        return view(walk, node);
    }
    let &[place] = places else {
        return Err(torn());
    };
    let place = match place {
        ..0 => place.saturating_add(shape[axis] as i64),
        _ => place,
    };
    let place = usize::try_from(place).map_err(|_| torn())?;
    let form = narrowed(walk.form(node)?, shape, axis, place, 1)?;
    match form {
        Form::Strided(strided) if indices.shape.is_empty() => Ok(strided.without(axis).form()),
        form => Ok(form),
    }
}

/// Places `start` to `start + count` of one axis of a linear layer's output.
fn narrowed(
    form: Form,
    shape: &[usize],
    axis: usize,
    start: usize,
    count: usize,
) -> Result<Form, Problem> {
    let strided = match form {
        Form::Opaque => return Ok(Form::Opaque),
        Form::Map(sum) if sum.is_unknown() => return Ok(Form::Opaque),
        Form::Strided(strided) => strided,
        Form::Map(sum) => Strided::of(&sum, shape).ok_or_else(torn)?,
        _ => return Err(torn()),
    };
    let fits = strided
        .axes
        .get(axis)
        .is_some_and(|&(size, _)| count > 0 && count <= size && start <= size - count);
    match fits {
        true => Ok(strided.narrowed(axis, start, count).form()),
        false => Err(torn()),
    }
}

/// An axis that may count from the end.
fn axis(value: i64, shape: &[usize]) -> Result<usize, Problem> {
    let value = match value {
        ..0 => value.saturating_add(shape.len() as i64),
        _ => value,
    };
    usize::try_from(value)
        .ok()
        .filter(|&axis| axis < shape.len())
        .ok_or_else(torn)
}

fn torn() -> Problem {
    Problem::new(
        "it tears channels and tokens apart",
        "only change between channels first and channels last, and split a linear layer's output \
         into queries, keys and values of heads",
    )
}

/// `Cast` between real numbers: everything is computed in single precision.
pub(crate) fn cast(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
    match node.int("to", 0) {
        1 | 10 | 11 | 16 => walk.form(node),
        _ => Err(Problem::new(
            "the network computes with whole numbers",
            "export it in float32; the weights may be stored in float16",
        )),
    }
}

/// `Dropout`: does nothing, unless the network was exported for training.
pub(crate) fn dropout(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
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

/// `Transpose`: between channels first and channels last, or of heads.
pub(crate) fn transpose(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let shape = walk.shape(node, 0);
    if shape.is_empty() {
        return Ok(walk.unknown(node));
    }
    let order = permutation(node, shape.len())?;
    match walk.form(node)? {
        Form::Map(sum) if sum.is_unknown() => Ok(walk.unknown(node)),
        form => permuted(form, shape, &order),
    }
}

/// A tensor of sizes `shape` with its axes in another order.
pub(crate) fn permuted(form: Form, shape: &[usize], order: &[usize]) -> Result<Form, Problem> {
    let wide = order.iter().filter(|&&axis| shape[axis] != 1);
    match form {
        Form::Opaque => Ok(Form::Opaque),
        Form::Strided(strided) => Ok(strided.permuted(order).form()),
        form if wide.is_sorted() => Ok(form),
        Form::Map(sum) => {
            let (channels, tokens) = (sum.shape.channels, sum.shape.tokens());
            let whole = axes::find(shape, channels, tokens, sum.order)
                .and_then(|axes| axes::permuted(shape, &axes, sum.order, order));
            if let Some(order) = whole {
                let sum = Sum::clone(&sum);
                return Ok(Form::Map(Rc::new(Sum { order, ..sum })));
            }
            let strided = Strided::of(&sum, shape).ok_or_else(torn)?;
            Ok(strided.permuted(order).form())
        }
        _ => Err(torn()),
    }
}
