//! Pre-processing of the image inside the graph, which the firmware does with the first
//! convolution.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::file_input::{FileInput, Order};
use crate::import::constant_folding::QdqParameters;
use crate::import::graph::{Data, Element, Graph, Node, Tensor, Value, ValueId};

/// Factors below are of pixels from 0 to 255: the usual ones are 1 / 255 over a deviation
/// near 0.2, and 1 over one.
const LARGEST_OF_BYTES: f32 = 0.25;
/// Means above are of pixels from 0 to 255.
const LARGEST_MEAN: f32 = 2.0;

/// Takes the operators between the graph's input and its first convolution out of the
/// graph, as far as they are such pre-processing.
pub(super) fn take(graph: &mut Graph) -> FileInput {
    let chain = Chain::of(graph);
    let channels = match graph.shape(graph.input) {
        Some(&[_, channels, _, _]) => channels,
        _ => 0,
    };
    let plain = FileInput {
        element: graph.element,
        batch: graph.batch,
        of_bytes: graph.element == Element::Byte,
        ..FileInput::plain(channels)
    };
    chain.and_then(|chain| chain.apply(graph)).unwrap_or(plain)
}

/// A chain of operators from the graph's input on.
struct Chain {
    /// The value that it ends with.
    end: ValueId,
    /// Axis of the channels.
    axis: usize,
    /// Axis of the channels in the file.
    first_axis: usize,
    /// For each channel of `end` the channel of the file.
    order: Vec<usize>,
    /// Of each channel of `end`.
    scale: Vec<f64>,
    /// Of each channel of `end`.
    offset: Vec<f64>,
    /// Whether elements change their type.
    casts: bool,
}

impl Chain {
    fn of(graph: &Graph) -> Option<Self> {
        let shape = graph.shape(graph.input)?;
        let axis = channel_axis(graph, shape)?;
        let channels = shape[axis];
        let mut chain = Self {
            end: graph.input,
            axis,
            first_axis: axis,
            order: (0..channels).collect(),
            scale: vec![1.0; channels],
            offset: vec![0.0; channels],
            casts: false,
        };
        let mut end = chain.end;
        while let Some(rounds) = chain.step(graph) {
            if !rounds {
                end = chain.end;
            }
        }
        // A rounding of what the first convolution reads stays.
        chain.end = end;
        (chain.does_something() && chain.axis == 1).then_some(chain)
    }

    fn does_something(&self) -> bool {
        let is_plain = self.scale.iter().all(|&scale| scale == 1.0)
            && self.offset.iter().all(|&offset| offset == 0.0);
        !is_plain || self.reorders() || self.first_axis != 1 || self.casts
    }

    fn reorders(&self) -> bool {
        !self.order.iter().copied().eq(0..self.order.len())
    }

    /// Follows the only reader of the end, if it is a step of pre-processing; whether it
    /// only rounds.
    fn step(&mut self, graph: &Graph) -> Option<bool> {
        let mut readers = graph
            .nodes
            .iter()
            .filter(|node| node.inputs.contains(&Some(self.end)));
        let (node, None) = (readers.next()?, readers.next()) else {
            return None;
        };
        let output = node.output()?;
        let shape = graph.shape(output)?;
        match node.op.as_str() {
            "Identity" => {}
            // A rounding, unless it is a ReLU of values that may be negative.
            "QuantizeLinear" => {
                let parameters = QdqParameters::of(graph, node).ok().flatten()?;
                let cuts = parameters.zero_points.contains(&parameters.limits.0);
                let mut all = self.scale.iter().chain(&self.offset);
                (!cuts || all.all(|&value| value >= 0.0)).then_some(())?;
            }
            "DequantizeLinear" if producer(graph, node)?.op == "QuantizeLinear" => {}
            "Cast" if is_float(node.int("to", 0)) => self.casts |= graph.element == Element::Byte,
            "Transpose" => {
                let order = node.ints("perm")?;
                match (self.axis, order) {
                    (3, [0, 3, 1, 2]) => self.axis = 1,
                    (1, [0, 2, 3, 1]) => self.axis = 3,
                    _ => return None,
                }
            }
            // Between the two orders of an image of one channel.
            "Reshape" if self.order.len() == 1 => {
                let before = graph.shape(self.end)?;
                match (self.axis, before, shape) {
                    (3, &[1, h, w, 1], &[1, 1, y, x]) if [h, w] == [y, x] => self.axis = 1,
                    (1, &[1, 1, h, w], &[1, y, x, 1]) if [h, w] == [y, x] => self.axis = 3,
                    _ => return None,
                }
            }
            "Gather" => {
                let rank = shape.len() as i64;
                let axis = node.int("axis", 0);
                let axis = if axis < 0 { axis + rank } else { axis };
                let indices = graph.constant(node.input(1)?)?;
                (axis == self.axis as i64 && indices.shape.len() == 1).then_some(())?;
                self.reorder(indices.as_ints()?)?;
            }
            "Slice" => {
                let reversed = reversed_axis(graph, node)?;
                (reversed == self.axis).then_some(())?;
                let count = self.order.len() as i64;
                self.reorder(&(0..count).rev().collect::<Vec<_>>())?;
            }
            "Add" | "Sub" | "Mul" | "Div" => self.affine(graph, node)?,
            _ => return None,
        }
        self.end = output;
        Some(matches!(
            node.op.as_str(),
            "QuantizeLinear" | "DequantizeLinear"
        ))
    }

    fn reorder(&mut self, indices: &[i64]) -> Option<()> {
        let count = self.order.len();
        let places: Vec<usize> = indices
            .iter()
            .map(|&index| {
                usize::try_from(if index < 0 {
                    index + count as i64
                } else {
                    index
                })
                .ok()
            })
            .collect::<Option<_>>()?;
        let mut sorted = places.clone();
        sorted.sort_unstable();
        sorted.iter().copied().eq(0..count).then_some(())?;
        self.order = places.iter().map(|&place| self.order[place]).collect();
        self.scale = places.iter().map(|&place| self.scale[place]).collect();
        self.offset = places.iter().map(|&place| self.offset[place]).collect();
        Some(())
    }

    fn affine(&mut self, graph: &Graph, node: &Node) -> Option<()> {
        let (a, b) = (node.input(0)?, node.input(1)?);
        let (constant, swapped) = match (a == self.end, b == self.end) {
            (true, false) => (b, false),
            (false, true) => (a, true),
            _ => return None,
        };
        let values = self.per_channel(graph.constant(constant)?)?;
        for ((value, scale), offset) in values.iter().zip(&mut self.scale).zip(&mut self.offset) {
            let value = f64::from(*value);
            match (node.op.as_str(), swapped) {
                ("Add", _) => *offset += value,
                ("Sub", false) => *offset -= value,
                ("Sub", true) => (*scale, *offset) = (-*scale, value - *offset),
                ("Mul", _) => (*scale, *offset) = (*scale * value, *offset * value),
                ("Div", false) => (*scale, *offset) = (*scale / value, *offset / value),
                _ => return None,
            }
        }
        Some(())
    }

    /// The element of a constant that meets each channel.
    fn per_channel(&self, constant: &Tensor) -> Option<Vec<f32>> {
        let (count, values) = (self.order.len(), constant.to_floats());
        if let [value] = values[..] {
            return Some(vec![value; count]);
        }
        let skipped = 4usize.checked_sub(constant.shape.len())?;
        let fits = constant
            .shape
            .iter()
            .enumerate()
            .all(|(axis, &size)| size == 1 || (axis + skipped == self.axis && size == count));
        fits.then_some(values)
    }

    /// Lets the graph begin behind the chain, with channels in the file's order.
    fn apply(self, graph: &mut Graph) -> Option<FileInput> {
        let count = self.order.len();
        let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
        if !finite(&self.scale) || !finite(&self.offset) || self.scale.contains(&0.0) {
            return None;
        }
        if self.reorders() || self.scale.iter().any(|&scale| scale < 0.0) {
            self.turn_weights(graph)?;
        }
        let (mut scale, mut offset) = (vec![0.0; count], vec![0.0; count]);
        for (channel, &of_file) in self.order.iter().enumerate() {
            let sign = self.scale[channel].signum();
            scale[of_file] = (sign * self.scale[channel]) as f32;
            offset[of_file] = (sign * self.offset[channel]) as f32;
        }
        let input = FileInput {
            order: match self.first_axis {
                1 => Order::ChannelsFirst,
                _ => Order::ChannelsLast,
            },
            element: graph.element,
            batch: graph.batch,
            of_bytes: of_bytes(graph.element, &scale, &offset),
            scale,
            offset,
            reorders: self.reorders(),
        };
        // What the chain ends with is the image from here on.
        if let Some(producer) = graph.value(self.end).producer {
            let id = producer.0;
            graph.nodes[id].outputs.clear();
            graph.values[self.end.0].producer = None;
        }
        graph.input = self.end;
        graph.prune();
        Some(input)
    }

    /// Gives every convolution that reads the end its inputs in the file's order and with
    /// factors above zero; none if something else reads it.
    fn turn_weights(&self, graph: &mut Graph) -> Option<()> {
        let readers: Vec<usize> = (0..graph.nodes.len())
            .filter(|&index| graph.nodes[index].inputs.contains(&Some(self.end)))
            .collect();
        let mut turned = BTreeMap::new();
        for &reader in &readers {
            let node = &graph.nodes[reader];
            let is_reader =
                node.op == "Conv" && node.int("group", 1) == 1 && node.input(0) == Some(self.end);
            let weight = graph.constant(node.input(1)?)?;
            let &[outputs, inputs, height, width] = &weight.shape[..] else {
                return None;
            };
            if !is_reader || inputs != self.order.len() {
                return None;
            }
            let (values, window) = (weight.as_floats()?, height * width);
            let mut result = vec![0.0; values.len()];
            for output in 0..outputs {
                for (channel, &of_file) in self.order.iter().enumerate() {
                    let sign = self.scale[channel].signum() as f32;
                    let from = &values[(output * inputs + channel) * window..][..window];
                    let to = &mut result[(output * inputs + of_file) * window..][..window];
                    to.iter_mut()
                        .zip(from)
                        .for_each(|(to, from)| *to = sign * from);
                }
            }
            let tensor = Tensor {
                shape: weight.shape.clone(),
                data: Data::Float(result),
            };
            turned.insert(reader, tensor);
        }
        for (reader, tensor) in turned {
            let id = ValueId(graph.values.len());
            graph.values.push(Value {
                shape: Some(tensor.shape.clone()),
                constant: Some(Arc::new(tensor)),
                ..Value::default()
            });
            graph.nodes[reader].inputs[1] = Some(id);
        }
        Some(())
    }
}

fn producer<'a>(graph: &'a Graph, node: &Node) -> Option<&'a Node> {
    let id = graph.value(node.input(0)?).producer?;
    Some(graph.node(id))
}

/// Whether pixels from 0 to 255 are what the file takes.
fn of_bytes(element: Element, scale: &[f32], offset: &[f32]) -> bool {
    let largest = scale.iter().copied().fold(0.0, f32::max);
    let mean = |(scale, offset): (&f32, &f32)| (offset / scale).abs();
    let mean = scale.iter().zip(offset).map(mean).fold(0.0, f32::max);
    element == Element::Byte || largest < LARGEST_OF_BYTES || mean > LARGEST_MEAN
}

/// The axis that holds an image's channels: the second one, unless the last one is small
/// and the second one is not, or the image is turned first.
fn channel_axis(graph: &Graph, shape: &[usize]) -> Option<usize> {
    let &[_, second, _, last] = shape else {
        return None;
    };
    let is_channels = |size: usize| matches!(size, 1..=4);
    match (is_channels(second), is_channels(last)) {
        (false, true) => Some(3),
        (true, true) => {
            let turns = |node: &Node| {
                node.op == "Transpose" && node.ints("perm") == Some(&[0, 3, 1, 2][..])
            };
            let first = graph.nodes.iter().take(8).any(turns);
            Some(if first { 3 } else { 1 })
        }
        _ => Some(1),
    }
}

/// The axis that a `Slice` reverses, if that is all it does.
fn reversed_axis(graph: &Graph, node: &Node) -> Option<usize> {
    let ints = |index: usize| graph.constant(node.input(index)?)?.as_ints();
    let (&[start], &[end], &[axis], &[-1]) = (ints(1)?, ints(2)?, ints(3)?, ints(4)?) else {
        return None;
    };
    let shape = graph.shape(node.input(0)?)?;
    let axis = usize::try_from(if axis < 0 {
        axis + shape.len() as i64
    } else {
        axis
    })
    .ok()?;
    let size = *shape.get(axis)? as i64;
    let all = (start == -1 || start >= size - 1) && end < -size;
    all.then_some(axis)
}

/// Whether ONNX's number of an element type is one of real numbers.
fn is_float(element: i64) -> bool {
    matches!(element, 1 | 10 | 11 | 16)
}
