//! `Pad`: how far each axis grows, and with what.

use super::Contradiction;
use super::shape::axis;
use crate::import::graph::{Graph, Node};

/// The values that a `Pad` adds.
#[derive(Debug)]
pub(crate) struct Pads {
    /// Elements before each axis; fewer than none are cut off.
    pub(crate) before: Vec<i64>,
    /// Elements after each axis.
    pub(crate) after: Vec<i64>,
    /// Whether all that is added is zero.
    pub(crate) is_zeros: bool,
}

impl Pads {
    /// Reads a node; `None` if what it says depends on the image.
    ///
    /// # Errors
    /// Numbers that do not fit the input.
    pub(crate) fn of(graph: &Graph, node: &Node) -> Result<Option<Self>, Contradiction> {
        let Some(input) = node.input(0).and_then(|id| graph.shape(id)) else {
            return Ok(None);
        };
        let ints = |index: usize| graph.constant(node.input(index)?)?.as_ints();
        let pads = match node.input(1) {
            Some(_) => ints(1),
            None => node.ints("pads").or_else(|| node.ints("paddings")),
        };
        let Some(pads) = pads else {
            return Ok(None);
        };
        let rank = input.len();
        let axes: Vec<usize> = match node.input(3) {
            Some(_) => match ints(3) {
                Some(axes) => axes
                    .iter()
                    .map(|&value| axis(value, rank))
                    .collect::<Result<_, _>>()?,
                None => return Ok(None),
            },
            None => (0..rank).collect(),
        };
        let misfit = || Contradiction::Pads {
            pads: pads.to_vec(),
            rank,
        };
        if pads.len() != 2 * axes.len() || pads.iter().any(|size| size.abs() >= 1 << 20) {
            return Err(misfit());
        }
        let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
        for (index, &axis) in axes.iter().enumerate() {
            before[axis] = pads[index];
            after[axis] = pads[index + axes.len()];
        }
        let value = match node.input(2) {
            Some(id) => graph.constant(id).and_then(|value| value.as_number()),
            None => Some(node.float("value", 0.0)),
        };
        let is_constant = matches!(node.text("mode").unwrap_or("constant"), "constant");
        Ok(Some(Self {
            before,
            after,
            is_zeros: is_constant && value == Some(0.0),
        }))
    }

    /// The sizes of a tensor of sizes `input` that was padded.
    ///
    /// # Errors
    /// More is cut off than there is.
    pub(super) fn shape(&self, input: &[usize]) -> Result<Vec<usize>, Contradiction> {
        let sides = self.before.iter().zip(&self.after);
        input
            .iter()
            .zip(sides)
            .map(|(&size, (before, after))| {
                usize::try_from(size as i64 + before + after).map_err(|_| Contradiction::Cropped {
                    size,
                    before: *before,
                    after: *after,
                })
            })
            .collect()
    }
}
