//! Pre-processing of the image inside the graph, which the firmware does with the first
//! convolution.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::file_input::{FileInput, Order};
use super::planes::{self, Plane, Planes};
use crate::import::graph::{Data, Element, Graph, Node, Tensor, Value, ValueId};

/// Factors below are of pixels from 0 to 255: the usual ones are 1 / 255 over a deviation
/// near 0.2, and 1 over one.
const LARGEST_OF_BYTES: f32 = 0.25;
/// Means above are of pixels from 0 to 255.
const LARGEST_MEAN: f32 = 2.0;
/// Most values that are tried as the end of the pre-processing, from the last one on.
const MAX_ENDS: usize = 32;

/// Takes the operators between the graph's input and its first convolution out of the
/// graph, as far as they are such pre-processing.
pub(super) fn take(graph: &mut Graph) -> FileInput {
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
    let ends = Prepared::of(graph);
    let mut ends = ends.into_iter();
    ends.find_map(|end| end.apply(graph)).unwrap_or(plain)
}

/// A value that everything reads the image through.
struct Prepared {
    end: ValueId,
    /// Axis of the channels in the file.
    first_axis: usize,
    channels: Vec<Plane>,
}

impl Prepared {
    /// Those that the graph may begin with, the last ones first.
    fn of(graph: &Graph) -> Vec<Self> {
        let find = || {
            let shape = graph.shape(graph.input)?;
            let axis = channel_axis(graph, shape)?;
            Some((axis, shape[axis]))
        };
        let Some((axis, count)) = find() else {
            return Vec::new();
        };
        let known = planes::all(graph, axis, count);
        let image = known.first().map(|(_, image)| image.clone());
        let places: BTreeMap<ValueId, usize> =
            (0..).zip(&known).map(|(at, (id, _))| (*id, at)).collect();
        let mut ends = Vec::new();
        for (end, planes) in known.iter().rev().take(MAX_ENDS) {
            let is_known = |value: ValueId| places.contains_key(&value);
            if !is_whole(planes, count) || !is_cut(graph, *end, is_known) {
                continue;
            }
            // A rounding of what the first convolution reads stays, if it can.
            let before = planes.before_rounding;
            for end in before.into_iter().chain([*end]) {
                let Some((_, planes)) = places.get(&end).and_then(|&at| known.get(at)) else {
                    continue;
                };
                if image.as_ref() != Some(planes) && planes.axis == Some(1) {
                    ends.push(Self {
                        end,
                        first_axis: axis,
                        channels: planes.channels.clone(),
                    });
                }
            }
        }
        ends
    }

    fn reorders(&self) -> bool {
        let mut places = self.channels.iter().map(|plane| plane.of_file);
        !places.by_ref().eq(0..self.channels.len())
    }

    /// Lets the graph begin with the value, with channels in the file's order.
    fn apply(self, graph: &mut Graph) -> Option<FileInput> {
        let count = self.channels.len();
        let is_usable = |plane: &Plane| {
            plane.scale.is_finite() && plane.offset.is_finite() && plane.scale != 0.0
        };
        if !self.channels.iter().all(is_usable) {
            return None;
        }
        if self.reorders() || self.channels.iter().any(|plane| plane.scale < 0.0) {
            self.turn_weights(graph)?;
        }
        let (mut scale, mut offset) = (vec![0.0; count], vec![0.0; count]);
        for plane in &self.channels {
            let sign = plane.scale.signum();
            scale[plane.of_file] = (sign * plane.scale) as f32;
            offset[plane.of_file] = (sign * plane.offset) as f32;
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
        // The value is the image from here on.
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
            if !is_reader || inputs != self.channels.len() {
                return None;
            }
            let (values, window) = (weight.as_floats()?, height * width);
            let mut result = vec![0.0; values.len()];
            for output in 0..outputs {
                for (channel, plane) in self.channels.iter().enumerate() {
                    let sign = plane.scale.signum() as f32;
                    let from = &values[(output * inputs + channel) * window..][..window];
                    let to = &mut result[(output * inputs + plane.of_file) * window..][..window];
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

/// Whether a value is all of the image, each channel once.
fn is_whole(planes: &Planes, count: usize) -> bool {
    let mut places: Vec<_> = planes.channels.iter().map(|plane| plane.of_file).collect();
    places.sort_unstable();
    places.into_iter().eq(0..count)
}

/// Whether nothing reads the image but through `end`: of what is computed beside it from
/// values that are known, nothing is read by a node whose result is not.
fn is_cut(graph: &Graph, end: ValueId, is_known: impl Fn(ValueId) -> bool) -> bool {
    let mut beside = vec![false; graph.values.len()];
    beside[graph.input.0] = end != graph.input;
    for node in &graph.nodes {
        let mut inputs = node.inputs.iter().flatten();
        if !inputs.any(|input| beside[input.0]) {
            continue;
        }
        for output in node.outputs.iter().flatten() {
            if !is_known(*output) {
                return false;
            }
            beside[output.0] = *output != end;
        }
    }
    !beside[graph.output.0]
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
