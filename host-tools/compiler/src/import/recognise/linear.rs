//! Linear layers: 1x1 convolutions, `MatMul`, `Gemm` and `Einsum` alike.

use std::sync::Arc;

use super::Problem;
use super::axes;
use super::convolution::is_inside;
use super::form::{Form, LinearTerm, Order, Shared, Sum, Term, add_scaled, all};
use super::strided::Strided;
use super::walk::{Operand, Walk};
use crate::import::graph::{Node, Tensor};
use crate::layers::attention::recognise as attention;
use crate::network::{Linear, NormScope, Shape};

/// Most terms one inside the other; the family needs 8.
const MAX_DEPTH: usize = 12;

/// `MatMul` or `Gemm`.
pub(crate) fn lower(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let missing = || Problem::new("an input is missing", "export the network again");
    let left = walk.operand(node, 0).ok_or_else(missing)?;
    let right = walk.operand(node, 1).ok_or_else(missing)?;
    match (left, right) {
        (Operand::Constant(matrix), Operand::Form(form)) if node.op == "MatMul" => {
            let shape = walk.shape(node, 1);
            match shape.len().checked_sub(2) {
                Some(axis) => from_left(walk, &matrix, form, shape, axis),
                None => Err(mixes()),
            }
        }
        (Operand::Form(form), Operand::Constant(_)) => {
            walk.spend(walk.constant(node, 1).map_or(0, |weight| weight.len()))?;
            let linear = weights(walk, node)?;
            from_right(walk, node, form, linear, walk.shape(node, 0))
        }
        (Operand::Form(Form::Map(sum)), Operand::Form(_)) if sum.is_unknown() => {
            Ok(walk.unknown(node))
        }
        (Operand::Form(left), Operand::Form(right)) if node.op == "MatMul" => {
            // One head needs no axis of its own.
            let single = |form: Form, index: usize| match &form {
                Form::Map(sum) => {
                    let part = Strided::of(sum, walk.shape(node, index));
                    part.map_or(form, Form::Strided)
                }
                _ => form,
            };
            let (left, right) = (single(left, 0), single(right, 1));
            attention::product(walk, left, right)
        }
        _ => Err(Problem::new(
            "the product of a constant from the left belongs to no known layer",
            "use linear layers with trained weights from the right",
        )),
    }
}

/// The product with a matrix from the right: a linear layer of the last axis.
pub(crate) fn from_right(
    walk: &mut Walk<'_>,
    node: &Node,
    form: Form,
    linear: Linear,
    shape: &[usize],
) -> Result<Form, Problem> {
    let sum = match form {
        Form::Map(sum) if sum.is_unknown() => return Ok(Form::Opaque),
        Form::Map(sum) => sum,
        Form::Opaque => return Ok(Form::Opaque),
        form => return Err(stray(&form.describe())),
    };
    if let Some(flat) = flattened(walk, node, &sum, shape, &linear) {
        return apply(&flat.0, flat.1);
    }
    let last = shape.len().checked_sub(1);
    match last.and_then(|last| axes::alone(shape, &sum, last)) {
        Some(Order::ChannelsLast) => apply(&sum, linear),
        Some(Order::ChannelsFirst) if linear.bias.iter().all(|b| *b == 0.0) => {
            mixed(walk, &sum, linear.weight)
        }
        _ => Err(mixes()),
    }
}

/// All of a map as one token, and the linear layer of it in that order: the head of a
/// network that takes no mean.
fn flattened(
    walk: &mut Walk<'_>,
    node: &Node,
    sum: &Sum,
    shape: &[usize],
    linear: &Linear,
) -> Option<(Sum, Linear)> {
    let (channels, tokens) = (sum.shape.channels, sum.shape.tokens());
    let elements = channels * tokens;
    let is_flat = shape.iter().product::<usize>() == elements && shape.last() == Some(&elements);
    if !is_flat || tokens == 1 || channels == 1 || linear.inputs != elements {
        return None;
    }
    walk.spend(linear.weight.len()).ok()?;
    let term = match sum.absorbed() {
        Some(Term::Norm(norm)) if norm.norm.scope == NormScope::Token => {
            Term::Stream(walk.normed(node, sum)?)
        }
        Some(term @ Term::Norm(_)) => term,
        // A feature map, perhaps one that a layer is still to be found for.
        _ if !is_inside(sum) => Term::Stream(walk.stream(node, sum)),
        _ => return None,
    };
    let mut linear = linear.clone();
    if sum.order == Order::ChannelsFirst {
        for row in linear.weight.chunks_exact_mut(elements) {
            let token = |at: usize| row[at % channels * tokens + at / channels];
            let turned: Vec<f32> = (0..elements).map(token).collect();
            row.copy_from_slice(&turned);
        }
    }
    let one = Shape {
        height: 1,
        width: 1,
        channels: elements,
    };
    let term = Term::Flat(Shared::new(term));
    Some((Sum::of(term, one, Order::ChannelsFirst), linear))
}

/// The product with a matrix from the left, of one axis of the map.
pub(crate) fn from_left(
    walk: &mut Walk<'_>,
    matrix: &Arc<Tensor>,
    form: Form,
    shape: &[usize],
    axis: usize,
) -> Result<Form, Problem> {
    let sum = match form {
        Form::Map(sum) if sum.is_unknown() => return Ok(Form::Opaque),
        Form::Map(sum) => sum,
        Form::Opaque => return Ok(Form::Opaque),
        form => return Err(stray(&form.describe())),
    };
    let (Some(values), Some((outputs, inputs))) = (matrix.as_floats(), sizes(matrix)) else {
        return Err(Problem::new(
            "the weights are no matrix of floats",
            "use linear layers with trained weights only",
        ));
    };
    walk.spend(values.len())?;
    match axes::alone(shape, &sum, axis) {
        Some(Order::ChannelsLast) => {
            let linear = Linear {
                outputs,
                inputs,
                weight: values.to_vec(),
                bias: vec![0.0; outputs],
            };
            apply(&sum, linear)
        }
        Some(Order::ChannelsFirst) => mixed(walk, &sum, values.to_vec()),
        None => Err(mixes()),
    }
}

/// A fixed matrix over the tokens of a norm.
fn mixed(walk: &mut Walk<'_>, sum: &Sum, matrix: Vec<f32>) -> Result<Form, Problem> {
    let tokens = sum.shape.tokens();
    walk.spend(matrix.len())?;
    match sum.as_norm().or_else(|| sum.as_fixed()) {
        Some(norm) if matrix.len() == tokens * tokens => {
            let term = Term::Mixed(norm, Shared::new(matrix));
            Ok(Form::of(term, sum.shape, sum.order))
        }
        _ => Err(mixes()),
    }
}

/// A linear layer of each token of a map.
pub(crate) fn apply(sum: &Sum, mut linear: Linear) -> Result<Form, Problem> {
    if linear.inputs != sum.shape.channels {
        return Err(stray(&sum.describe()));
    }
    let input = match (sum.absorbed(), sum.single()) {
        (_, Some((Term::Stream(_), _))) => match sum.as_fixed() {
            Some(norm) => Term::Norm(norm),
            None => return Err(stray(&sum.describe())),
        },
        (Some(input), _) => input,
        // What an activation has no place for goes into the weights behind it.
        (None, Some((term @ (Term::Activated(..) | Term::Mean(_)), factors))) => {
            let offset = linear.product(&sum.bias);
            add_scaled(&mut linear.bias, &offset, 1.0);
            linear.scale_columns(factors);
            term.clone()
        }
        _ => return Err(stray(&sum.describe())),
    };
    let fits = matches!(
        input,
        Term::Norm(_)
            | Term::Activated(..)
            | Term::Depthwise(_)
            | Term::Attended(_)
            | Term::Mean(_)
            | Term::Flat(_)
    );
    if !fits || input.depth() > MAX_DEPTH {
        return Err(stray(&sum.describe()));
    }
    let shape = Shape {
        channels: linear.outputs,
        ..sum.shape
    };
    let term = Term::Linear(Shared::new(LinearTerm { input, linear }));
    Ok(Form::of(term, shape, sum.order))
}

fn stray(what: &str) -> Problem {
    Problem::new(
        format!("a linear layer of {what} belongs to no known layer"),
        "use channel MLPs of norm, linear, activation, linear, and linear layers in the other \
         token mixers and the head as the papers have them",
    )
}

/// The problem with a matrix over the tokens that is no random mixing.
pub(super) fn mixes() -> Problem {
    Problem::new(
        "a linear layer mixes the tokens, as a token MLP (MLP-Mixer, gMLP) does, which is not \
         supported",
        "use pooling, convolutions, attention, or one matrix over the tokens of a norm (random \
         mixing) as token mixer",
    )
}

/// Rows and columns of a matrix, which may have axes of size 1 before them.
fn sizes(matrix: &Tensor) -> Option<(usize, usize)> {
    let (outer, &[rows, columns]) = matrix.shape.split_last_chunk::<2>()?;
    outer
        .iter()
        .all(|&size| size == 1)
        .then_some((rows, columns))
}

/// Weights and bias of a `MatMul` or `Gemm` from the right.
fn weights(walk: &Walk<'_>, node: &Node) -> Result<Linear, Problem> {
    let refuse = |what: &str| {
        Err(Problem::new(
            what,
            "use linear layers with trained weights only",
        ))
    };
    let found = walk
        .constant(node, 1)
        .and_then(|matrix| matrix.as_floats().zip(sizes(matrix)));
    let Some((values, (first, second))) = found else {
        return refuse("the weights are no matrix of floats");
    };
    if node.int("transA", 0) != 0 {
        return refuse("the input of the linear layer is transposed");
    }
    let alpha = if node.op == "Gemm" {
        node.float("alpha", 1.0)
    } else {
        1.0
    };
    let transposed = node.int("transB", 0) != 0;
    let (outputs, inputs) = if transposed {
        (first, second)
    } else {
        (second, first)
    };
    let mut weight = Vec::with_capacity(values.len());
    for output in 0..outputs {
        weight.extend((0..inputs).map(|input| {
            alpha
                * values[if transposed {
                    output * inputs + input
                } else {
                    input * outputs + output
                }]
        }));
    }
    let bias = match (
        node.input(2),
        walk.constant(node, 2).and_then(|bias| bias.as_floats()),
    ) {
        (None, _) => vec![0.0; outputs],
        (_, Some(&[value])) => vec![node.float("beta", 1.0) * value; outputs],
        (_, Some(values)) if values.len() == outputs => {
            values.iter().map(|v| node.float("beta", 1.0) * v).collect()
        }
        _ => return refuse("the bias does not have one value per output"),
    };
    Ok(Linear {
        outputs,
        inputs,
        weight,
        bias,
    })
}

impl Linear {
    /// `weight * values`, without the bias.
    pub(crate) fn product(&self, values: &[f32]) -> Vec<f32> {
        self.weight
            .chunks_exact(self.inputs.max(1))
            .map(|row| row.iter().zip(values).map(|(w, v)| w * v).sum())
            .collect()
    }

    /// Multiplies what each input contributes.
    pub(crate) fn scale_columns(&mut self, factors: &[f32]) {
        for row in self.weight.chunks_exact_mut(self.inputs.max(1)) {
            for (weight, factor) in row.iter_mut().zip(factors) {
                *weight *= factor;
            }
        }
    }

    /// Multiplies each output.
    pub(crate) fn scale_rows(&mut self, factors: &[f32]) {
        for (row, factor) in self
            .weight
            .chunks_exact_mut(self.inputs.max(1))
            .zip(factors)
        {
            row.iter_mut().for_each(|weight| *weight *= factor);
        }
        for (bias, factor) in self.bias.iter_mut().zip(factors) {
            *bias *= factor;
        }
    }

    /// The last layer of a branch and its layer scale, where the branch is this
    /// layer's output times `layer_scale` plus `bias`: a term behind the layer scale
    /// has no place but the layer's own bias.
    pub(crate) fn last_of_branch(&self, layer_scale: &[f32], bias: &[f32]) -> (Self, Vec<f32>) {
        let (mut linear, mut layer_scale) = (self.clone(), layer_scale.to_vec());
        if !all(bias, 0.0) {
            linear.scale_rows(&layer_scale);
            add_scaled(&mut linear.bias, bias, 1.0);
            layer_scale.fill(1.0);
        }
        (linear, layer_scale)
    }
}
