//! `QuantizeLinear` and `DequantizeLinear`: real values to whole numbers of steps
//! and back.

use super::Contradiction;
use crate::import::graph::{Data, Graph, Node, Tensor, ValueId, element_count};

/// The parameters of a `QuantizeLinear` or `DequantizeLinear` node:
/// `real = scale * (q - zero_point)`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QdqParameters {
    /// Size of a step; one, or one per index of `axis`.
    pub(crate) scales: Vec<f32>,
    /// Whole number that stands for zero; as many as scales.
    pub(crate) zero_points: Vec<i64>,
    /// Axis that the scales belong to.
    pub(crate) axis: usize,
    /// Smallest and largest whole number of the type.
    pub(crate) limits: (i64, i64),
}

impl QdqParameters {
    /// Reads a node; `None` if its scale or zero point depends on the image.
    ///
    /// # Errors
    /// Numbers that contradict each other or that no rounding can have.
    pub(crate) fn of(graph: &Graph, node: &Node) -> Result<Option<Self>, Contradiction> {
        let Some(scales) = node.input(1).and_then(|id| graph.constant(id)) else {
            return Ok(None);
        };
        let Some(values) = scales.as_floats() else {
            return Err(Contradiction::ScaleType);
        };
        let block = node.int("block_size", 0);
        if block != 0 || scales.shape.len() > 1 {
            return Err(Contradiction::Blocks {
                sizes: scales.shape.clone(),
                block,
            });
        }
        if let Some(scale) = values.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return Err(Contradiction::Scale(*scale));
        }
        let (zero_points, limits) = match node.input(2) {
            None => (vec![0; values.len()], default_limits(graph, node)),
            Some(id) => {
                let Some(zero) = graph.constant(id) else {
                    return Ok(None);
                };
                let Some(zeros) = zero.as_ints() else {
                    return Err(Contradiction::ZeroPointType);
                };
                (zeros.to_vec(), stored_limits(graph, id))
            }
        };
        let Some(limits) = limits else {
            return Err(Contradiction::CodeType);
        };
        if zero_points.len() != values.len() {
            return Err(Contradiction::ZeroPoints {
                scales: values.len(),
                zero_points: zero_points.len(),
            });
        }
        let rank = node.input(0).and_then(|id| graph.shape(id)).map(<[_]>::len);
        let axis = match (values.len(), rank) {
            (1, _) | (_, None) => 0,
            (_, Some(rank)) => super::shape::axis(node.int("axis", 1), rank)?,
        };
        Ok(Some(Self {
            scales: values.to_vec(),
            zero_points,
            axis,
            limits,
        }))
    }

    /// Scale and zero point of each element of a tensor of sizes `shape`.
    fn places<'a>(&'a self, shape: &'a [usize]) -> impl Iterator<Item = (f32, i64)> + 'a {
        let channels = self.scales.len().max(1);
        let inner: usize = match channels {
            1 => 1,
            _ => shape[self.axis + 1..].iter().product::<usize>().max(1),
        };
        (0..).map(move |index: usize| {
            let channel = index / inner % channels;
            (self.scales[channel], self.zero_points[channel])
        })
    }
}

/// The result of either node for a constant; `None` if it is none.
///
/// # Errors
/// See [`QdqParameters::of`]; also a channel too many or too few.
pub(super) fn evaluate(
    graph: &Graph,
    node: &Node,
    limit: usize,
) -> Result<Option<Tensor>, Contradiction> {
    let Some(rounding) = QdqParameters::of(graph, node)? else {
        return Ok(None);
    };
    let Some(shape) = node.input(0).and_then(|id| graph.shape(id)) else {
        return Ok(None);
    };
    let channels = rounding.scales.len();
    if channels != 1 && shape[rounding.axis] != channels {
        return Err(Contradiction::Scales {
            scales: channels,
            axis: rounding.axis,
            sizes: shape.to_vec(),
        });
    }
    let Some(input) = node.input(0).and_then(|id| graph.constant(id)) else {
        return Ok(None);
    };
    if element_count(shape).is_none_or(|count| count > limit) {
        return Err(Contradiction::LargeConstant(shape.to_vec()));
    }
    let data = match (&input.data, node.op.as_str()) {
        (Data::Float(values), "QuantizeLinear") => Data::Int(
            values
                .iter()
                .zip(rounding.places(shape))
                .map(|(value, (scale, zero))| {
                    let steps = (value / scale).round_ties_even() as i64;
                    let (lowest, highest) = rounding.limits;
                    steps.saturating_add(zero).clamp(lowest, highest)
                })
                .collect(),
        ),
        (Data::Int(values), "DequantizeLinear") => Data::Float(
            values
                .iter()
                .zip(rounding.places(shape))
                .map(|(&value, (scale, zero))| value.saturating_sub(zero) as f32 * scale)
                .collect(),
        ),
        _ => return Ok(None),
    };
    Ok(Some(Tensor {
        shape: shape.to_vec(),
        data,
    }))
}

/// Limits of the type of a node without a zero point.
fn default_limits(graph: &Graph, node: &Node) -> Option<(i64, i64)> {
    if node.op == "DequantizeLinear" {
        return stored_limits(graph, node.input(0)?);
    }
    match node.int("output_dtype", 0) {
        0 => Some((0, 255)),
        element => dtype_limits(element),
    }
}

/// Limits of an element type by ONNX's number.
fn dtype_limits(element: i64) -> Option<(i64, i64)> {
    match element {
        2 => Some((0, 255)),
        3 => Some((-128, 127)),
        21 => Some((0, 15)),
        22 => Some((-8, 7)),
        _ => None,
    }
}

/// Limits of the type of a value: a stored constant's, or those that a
/// `QuantizeLinear` rounds to.
fn stored_limits(graph: &Graph, mut id: ValueId) -> Option<(i64, i64)> {
    // A chain of nodes is no longer than the list of nodes.
    for _ in 0..=graph.nodes.len() {
        if let Some(limits) = graph.value(id).limits {
            return Some(limits);
        }
        let node = graph.node(graph.value(id).producer?);
        id = match node.op.as_str() {
            "Identity" | "Clip" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => {
                node.input(0)?
            }
            "Cast" => return dtype_limits(node.int("to", 0)),
            "QuantizeLinear" => match node.input(2) {
                Some(zero) => zero,
                None => return default_limits(graph, node),
            },
            _ => return None,
        };
    }
    None
}
