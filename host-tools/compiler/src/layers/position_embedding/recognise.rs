//! The position embedding: a constant with a value for each token.

use std::rc::Rc;

use crate::import::graph::{Node, Tensor};
use crate::import::recognise::Problem;
use crate::import::recognise::axes;
use crate::import::recognise::convolution::is_inside;
use crate::import::recognise::form::{Form, Sum, Term};
use crate::import::recognise::walk::Walk;
use crate::layers::position_embedding::PositionEmbedding;
use crate::network::Op;

/// The feature map that the input of `node` at `index` is with `sign` times a constant added
/// to it, if the constant has a value for each token.
pub(crate) fn added(
    walk: &mut Walk<'_>,
    node: &Node,
    index: usize,
    sum: &Sum,
    (constant, sign): (&Tensor, f32),
) -> Option<Result<Form, Problem>> {
    let shape = walk.shape(node, index);
    let positions = axes::per_token(constant, shape, sum.shape, sum.order)?;
    // A norm behind an embedding is a feature map too.
    let is_map = !is_inside(sum) || walk.is_post_norm(sum);
    if !is_map {
        return Some(Err(Problem::new(
            format!(
                "a constant that differs between tokens is added to {}",
                sum.describe()
            ),
            "add position embeddings to the feature map itself, in front of a block",
        )));
    }
    let spent = walk.spend(positions.len());
    let positions: Vec<f32> = positions.iter().map(|value| sign * value).collect();
    if walk.add_positions(node, index, sum, &positions) {
        return Some(spent.map(|()| Form::Map(Rc::new(sum.clone()))));
    }
    let source = walk.stream(node, sum);
    let op = Op::PositionEmbedding(PositionEmbedding { positions });
    let producer = node.output().and_then(|id| walk.graph.value(id).producer);
    let id = walk.push(producer, source, sum.shape, op, None);
    let map = Sum::of(Term::Stream(id), sum.shape, sum.order);
    Some(spent.map(|()| Form::Map(Rc::new(map))))
}
