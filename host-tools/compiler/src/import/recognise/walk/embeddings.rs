//! The operators behind an embedding that become part of it: factors, biases, activations.

use super::Walk;
use super::layers::is_finite;
use crate::import::graph::Node;
use crate::import::recognise::Problem;
use crate::import::recognise::form::{Form, Order, StreamId, Sum, Term, add_scaled, product};
use crate::layers::Part;
use crate::network::{Activation, DepthwiseEmbedding, LayerName, Op, PatchEmbedding, Reduction};

impl Walk<'_> {
    /// Takes a factor and a term of each channel into the convolution that writes `sum`, if
    /// nothing else reads what it writes.
    pub(crate) fn absorb(
        &mut self,
        node: &Node,
        index: usize,
        sum: &Sum,
        factors: &[f32],
        terms: &[f32],
    ) -> bool {
        let Some(op) = self.embedding(node, index, sum) else {
            return false;
        };
        let bias = match op {
            Op::PatchEmbedding(PatchEmbedding { linear, .. }) => {
                linear.scale_rows(factors);
                &mut linear.bias
            }
            Op::DepthwiseEmbedding(DepthwiseEmbedding {
                reduction: Reduction::Sum { weight, bias },
                ..
            }) => {
                for weights in weight.chunks_exact_mut(factors.len().max(1)) {
                    let scaled = product(weights, factors);
                    weights.copy_from_slice(&scaled);
                }
                *bias = product(bias, factors);
                bias
            }
            _ => return false,
        };
        add_scaled(bias, terms, 1.0);
        if !is_finite(op) {
            self.report(
                node,
                Problem::new(
                    "a parameter of its layer is infinite or not a number",
                    "train again, with a lower learning rate",
                ),
            );
        }
        true
    }

    /// Takes a ReLU or ReLU6 into the convolution or pool that writes `sum`, if nothing else
    /// reads what it writes.
    pub(crate) fn rectify(&mut self, node: &Node, sum: &Sum, activation: Activation) -> bool {
        match self.embedding(node, 0, sum) {
            Some(
                Op::PatchEmbedding(PatchEmbedding { rectifier, .. })
                | Op::DepthwiseEmbedding(DepthwiseEmbedding { rectifier, .. }),
            ) => {
                *rectifier = Some(activation);
                true
            }
            _ => false,
        }
    }

    /// Takes further positions into the position embedding that writes `sum`, if nothing else
    /// reads what it writes: those of rows and of columns, one after the other.
    pub(crate) fn add_positions(
        &mut self,
        node: &Node,
        index: usize,
        sum: &Sum,
        positions: &[f32],
    ) -> bool {
        match self.written_for(node, index, sum) {
            Some(Op::PositionEmbedding(embedding)) => {
                add_scaled(&mut embedding.positions, positions, 1.0);
                true
            }
            _ => false,
        }
    }

    /// The embedding that writes `sum`, if it ends without a rectifier and only `node` reads
    /// what it writes, at `index`.
    fn embedding(&mut self, node: &Node, index: usize, sum: &Sum) -> Option<&mut Op> {
        let op = self.written_for(node, index, sum)?;
        (op.part() == Part::Embedding && op.rectifier().is_none()).then_some(op)
    }

    /// The layer that writes `sum`, if it is the newest and only `node` reads what it writes,
    /// at `index`.
    fn written_for(&mut self, node: &Node, index: usize, sum: &Sum) -> Option<&mut Op> {
        let alone = node.input(index).is_some_and(|id| self.uses[id.0] == 1);
        let (true, Some(Term::Stream(id))) = (alone, sum.plain()) else {
            return None;
        };
        let newest = id.0 + 1 == self.streams.len();
        let layer = self.writer(*id).filter(|_| newest)?;
        Some(&mut self.layers.get_mut(layer)?.op)
    }

    /// The feature map behind an activation of its own: in a stem.
    pub(crate) fn activate(
        &mut self,
        node: &Node,
        source: StreamId,
        activation: Activation,
    ) -> Option<Form> {
        let shape = *self.streams.get(source.0)?;
        let behind = self.layers.get(self.writer(source)?)?;
        if !matches!(
            behind.op.part(),
            Part::Embedding | Part::Norm | Part::Position
        ) || !matches!(
            behind.name,
            LayerName::Embedding { .. }
                | LayerName::EmbeddingNorm { .. }
                | LayerName::Position { .. }
        ) {
            return None;
        }
        let producer = node.output().and_then(|id| self.graph.value(id).producer);
        let id = self.push(producer, source, shape, Op::Activation(activation), None);
        Some(Form::of(Term::Stream(id), shape, Order::ChannelsFirst))
    }
}
