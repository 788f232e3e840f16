//! What operators at the begin of a file make of the channels of its image.

use std::collections::BTreeMap;

use crate::import::constant_folding::{QdqParameters, Window, sliced_places};
use crate::import::graph::{Element, Graph, Node, Tensor, ValueId};

/// Most channels of all values together: a file names many values in few bytes, and may join what
/// it has again and again.
const MAX_CHANNELS: usize = 1 << 16;

/// Channels of the image, each with a factor and a term.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planes {
    /// Axis of the channels; none where the one channel has no axis of its own.
    pub(super) axis: Option<usize>,
    pub(super) channels: Vec<Plane>,
    /// Whether elements changed their type.
    pub(super) casts: bool,
    /// The value before it was rounded, if it is.
    pub(super) before_rounding: Option<ValueId>,
}

/// One channel: `scale * x + offset` of a channel of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plane {
    pub(super) of_file: usize,
    pub(super) scale: f64,
    pub(super) offset: f64,
}

/// Every value that is made of channels of the image, no more than the image has, in execution
/// order: the first ones where they are many.
pub(super) fn all(graph: &Graph, axis: usize, channels: usize) -> Vec<(ValueId, Planes)> {
    let Some(mut budget) = MAX_CHANNELS.checked_sub(channels) else {
        return Vec::new();
    };
    let plane = |of_file| Plane {
        of_file,
        scale: 1.0,
        offset: 0.0,
    };
    let image = Planes {
        axis: Some(axis),
        channels: (0..channels).map(plane).collect(),
        casts: false,
        before_rounding: None,
    };
    let mut known = BTreeMap::from([(graph.input, image.clone())]);
    let mut order = vec![(graph.input, image)];
    for node in &graph.nodes {
        let mut inputs = node.inputs.iter().flatten();
        if !inputs.any(|input| known.contains_key(input)) {
            continue;
        }
        for (output, planes) in made(graph, node, &known).unwrap_or_default() {
            let count = planes.channels.len();
            if count > channels {
                continue;
            }
            let Some(left) = budget.checked_sub(count) else {
                return order;
            };
            budget = left;
            known.insert(output, planes.clone());
            order.push((output, planes));
        }
    }
    order
}

/// What a node makes of such values.
fn made(
    graph: &Graph,
    node: &Node,
    known: &BTreeMap<ValueId, Planes>,
) -> Option<Vec<(ValueId, Planes)>> {
    match node.op.as_str() {
        "Split" => split(graph, node, known.get(&node.input(0)?)?),
        "Concat" => {
            let parts = node.inputs.iter().map(|input| known.get(&(*input)?));
            let parts = parts.collect::<Option<Vec<_>>>()?;
            let output = node.output()?;
            let axis = axis_of(node, "axis", graph.shape(output)?.len())?;
            let all = parts.iter().map(|part| part.channels.len()).sum::<usize>();
            let (first, rest) = parts.split_first()?;
            (all <= known.get(&graph.input)?.channels.len()).then_some(())?;
            let mut joined = Planes::clone(first);
            for part in rest {
                joined.channels.extend(&part.channels);
                joined.casts |= part.casts;
            }
            joined.before_rounding = None;
            let fits = parts.iter().all(|part| part.axis == Some(axis));
            fits.then(|| vec![(output, joined)])
        }
        _ => {
            let (at, planes) = node
                .inputs
                .iter()
                .enumerate()
                .find_map(|(at, input)| Some((at, known.get(&(*input)?)?)))?;
            let output = node.output()?;
            let planes = step(graph, node, at, planes)?;
            Some(vec![(output, planes)])
        }
    }
}

/// What a node with one output makes of its input `at`.
fn step(graph: &Graph, node: &Node, at: usize, before: &Planes) -> Option<Planes> {
    let input = node.input(at)?;
    let (from, to) = (graph.shape(input)?, graph.shape(node.output()?)?);
    let mut planes = Planes {
        before_rounding: None,
        ..before.clone()
    };
    let operands = node.inputs.iter().flatten().filter(|&&id| id != input);
    let mut operands = operands.filter(|&&id| graph.constant(id).is_none());
    if operands.next().is_some() {
        return None;
    }
    match node.op.as_str() {
        "Identity" => planes.before_rounding = before.before_rounding,
        // A rounding, unless it is a ReLU of values that may be negative.
        "QuantizeLinear" => {
            let parameters = QdqParameters::of(graph, node).ok().flatten()?;
            let cuts = parameters.zero_points.contains(&parameters.limits.0);
            let is_positive = |plane: &Plane| plane.scale >= 0.0 && plane.offset >= 0.0;
            (!cuts || planes.channels.iter().all(is_positive)).then_some(())?;
            planes.before_rounding = before.before_rounding.or(Some(input));
        }
        "DequantizeLinear" => planes.before_rounding = Some(before.before_rounding?),
        "Cast" if is_float(node.int("to", 0)) => planes.casts |= graph.element == Element::Byte,
        "Transpose" => {
            let order = node.ints("perm")?;
            let axis = planes.axis?;
            match (axis, order) {
                (3, [0, 3, 1, 2]) => planes.axis = Some(1),
                (1, [0, 2, 3, 1]) => planes.axis = Some(3),
                _ => return None,
            }
        }
        // Of one channel, which comes to another place or loses its axis.
        "Reshape" | "Squeeze" | "Unsqueeze" if planes.channels.len() == 1 => {
            planes.axis = moved(from, to)?;
        }
        "Gather" => {
            let axis = planes.axis?;
            (axis_of(node, "axis", from.len())? == axis).then_some(())?;
            let indices = graph.constant(node.input(1)?)?;
            planes.pick(indices.as_ints()?)?;
            match indices.shape.len() {
                0 => planes.axis = None,
                1 => {}
                _ => return None,
            }
        }
        "Slice" => {
            let ints = |index: usize| graph.constant(node.input(index)?)?.as_ints();
            let (&[start], &[end]) = (ints(1)?, ints(2)?) else {
                return None;
            };
            let along = match node.input(3) {
                Some(_) => *ints(3)?.first()?,
                None => 0,
            };
            let step = match node.input(4) {
                Some(_) => *ints(4)?.first()?,
                None => 1,
            };
            let axis = planes.axis?;
            (from_end(along, from.len())? == axis).then_some(())?;
            planes.pick(&sliced_places(from[axis], start, end, step).ok()?)?;
        }
        "Add" | "Sub" | "Mul" | "Div" => {
            let constant = graph.constant(node.input(1 - at.min(1))?)?;
            planes.affine(&node.op, at == 1, constant, to.len())?;
        }
        // Of each channel for itself, with a window of one pixel.
        "Conv" if at == 0 && planes.axis == Some(1) => planes.filter(graph, node, from)?,
        // Between the ends of the pixels' range.
        "Clip" if node.inputs.len() == 1 => {
            let ends = if graph.element == Element::Byte {
                255.0
            } else {
                1.0
            };
            let (lowest, highest) = (node.float("min", f32::MIN), node.float("max", f32::MAX));
            let is_plain = |plane: &Plane| plane.scale == 1.0 && plane.offset == 0.0;
            let keeps = lowest <= 0.0 && highest >= ends;
            (keeps && planes.channels.iter().all(is_plain)).then_some(())?;
        }
        _ => return None,
    }
    Some(planes)
}

fn split(graph: &Graph, node: &Node, planes: &Planes) -> Option<Vec<(ValueId, Planes)>> {
    let rank = graph.shape(node.input(0)?)?.len();
    let axis = planes.axis?;
    (axis_of(node, "axis", rank)? == axis).then_some(())?;
    let mut rest = &planes.channels[..];
    let mut parts = Vec::new();
    for output in &node.outputs {
        let output = (*output)?;
        let (part, others) = rest.split_at_checked(*graph.shape(output)?.get(axis)?)?;
        rest = others;
        let channels = part.to_vec();
        let part = Planes {
            channels,
            before_rounding: None,
            ..planes.clone()
        };
        parts.push((output, part));
    }
    Some(parts)
}

impl Planes {
    /// Takes these channels, in this order.
    fn pick(&mut self, places: &[i64]) -> Option<()> {
        let count = self.channels.len();
        let each = places.iter().map(|&place| from_end(place, count));
        let places = each.collect::<Option<Vec<_>>>()?;
        let channels = places
            .iter()
            .map(|&place| self.channels.get(place).copied());
        self.channels = channels.collect::<Option<_>>()?;
        Some(())
    }

    /// Takes in a factor or a term; `swapped` if the constant stands first.
    fn affine(&mut self, op: &str, swapped: bool, constant: &Tensor, rank: usize) -> Option<()> {
        let values = self.per_channel(constant, rank)?;
        for (value, plane) in values.iter().zip(&mut self.channels) {
            let value = f64::from(*value);
            let Plane { scale, offset, .. } = *plane;
            (plane.scale, plane.offset) = match (op, swapped) {
                ("Add", _) => (scale, offset + value),
                ("Sub", false) => (scale, offset - value),
                ("Sub", true) => (-scale, value - offset),
                ("Mul", _) => (scale * value, offset * value),
                ("Div", false) => (scale / value, offset / value),
                _ => return None,
            }
        }
        Some(())
    }

    /// The element of a constant that meets each channel of a value of `rank` axes.
    fn per_channel(&self, constant: &Tensor, rank: usize) -> Option<Vec<f32>> {
        let (count, values) = (self.channels.len(), constant.to_floats());
        let skipped = rank.checked_sub(constant.shape.len())?;
        if let [value] = values[..] {
            return Some(vec![value; count]);
        }
        let fits =
            constant.shape.iter().enumerate().all(|(axis, &size)| {
                size == 1 || (Some(axis + skipped) == self.axis && size == count)
            });
        fits.then_some(values)
    }

    fn filter(&mut self, graph: &Graph, node: &Node, from: &[usize]) -> Option<()> {
        let count = self.channels.len();
        let weight = graph.constant(node.input(1)?)?;
        let groups = usize::try_from(node.int("group", 1)).ok()?;
        let window = Window::of(node, &[1, 1], from.get(2..)?).ok()?;
        let is_plain = window.strides == [1, 1] && window.padding.iter().all(|&size| size == 0);
        if weight.shape != [count, 1, 1, 1] || groups != count || !is_plain {
            return None;
        }
        self.affine("Mul", false, &row(weight.as_floats()?), 4)?;
        match node.input(2) {
            Some(bias) => self.affine("Add", false, &row(graph.constant(bias)?.as_floats()?), 4),
            None => Some(()),
        }
    }
}

/// One value a channel, as it meets a map with channels first.
fn row(values: &[f32]) -> Tensor {
    Tensor::floats(vec![values.len(), 1, 1], values.to_vec())
}

/// The axis that an axis of size one has where `from` is seen as `to`; none if it is gone.
fn moved(from: &[usize], to: &[usize]) -> Option<Option<usize>> {
    let plane = |shape: &[usize]| match *shape {
        [1, height, width] => Some((None, [height, width])),
        [1, 1, height, width] => Some((Some(1), [height, width])),
        [1, height, width, 1] => Some((Some(3), [height, width])),
        _ => None,
    };
    let ((_, before), (axis, after)) = (plane(from)?, plane(to)?);
    (before == after).then_some(axis)
}

fn axis_of(node: &Node, name: &str, rank: usize) -> Option<usize> {
    from_end(node.int(name, 0), rank)
}

/// A place that may count from the end.
fn from_end(place: i64, count: usize) -> Option<usize> {
    let place = if place < 0 {
        place + count as i64
    } else {
        place
    };
    usize::try_from(place).ok().filter(|&place| place < count)
}

/// Whether ONNX's number of an element type is one of real numbers.
fn is_float(element: i64) -> bool {
    matches!(element, 1 | 10 | 11 | 16)
}
