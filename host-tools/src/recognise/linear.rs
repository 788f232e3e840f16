//! Linear layers: 1x1 convolutions, `MatMul` and `Gemm` alike.

use std::rc::Rc;

use super::Problem;
use super::form::{Branch, Form, Hidden, Order, Shared, Sum, Term, add_scaled, all};
use super::head;
use super::walk::Walk;
use crate::graph::Node;
use crate::ir::Linear;

/// `MatMul` or `Gemm`.
pub(super) fn lower(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let form = walk.form(node)?;
    if matches!(form, Form::Opaque) {
        return Ok(Form::Opaque);
    }
    walk.spend(walk.constant(node, 1).map_or(0, |weight| weight.len()))?;
    let linear = weights(walk, node)?;
    match form {
        Form::Map(sum) if sum.is_unknown() => Ok(walk.unknown(node)),
        Form::Map(sum) => {
            // Rows are tokens only if channels are innermost.
            let tokens: usize = walk.shape(node, 0).iter().rev().skip(1).product();
            if sum.order != Order::ChannelsLast || tokens != sum.shape.tokens() {
                return Err(Problem::new(
                    "the matrix product mixes tokens",
                    "use pooling or identity as token mixer, and a global mean in the head",
                ));
            }
            pointwise(&sum, linear)
        }
        form => apply(form, linear),
    }
}

/// A linear layer on each token, or on the mean over tokens.
pub(super) fn apply(form: Form, linear: Linear) -> Result<Form, Problem> {
    match form {
        Form::Map(sum) => pointwise(&sum, linear),
        Form::Mean(sum) => head::scores(&sum, linear).map(|s| Form::Scores(Shared::new(s))),
        Form::Opaque => Ok(Form::Opaque),
        form => Err(Problem::new(
            format!(
                "a linear layer of {} belongs to no known layer",
                form.describe()
            ),
            "use linear layers in channel MLPs and in the head only, one in the head",
        )),
    }
}

/// `fc1` behind a norm, `fc2` behind an activation.
fn pointwise(sum: &Sum, mut linear: Linear) -> Result<Form, Problem> {
    let shape = crate::ir::Shape {
        channels: linear.outputs,
        ..sum.shape
    };
    let term = match sum.single() {
        Some((Term::Norm(_), _)) => match sum.as_norm() {
            Some(norm) => Term::Hidden(Shared::new(Hidden { norm, fc1: linear })),
            None => return Err(stray(sum)),
        },
        Some((Term::Activated(hidden, activation), factors)) => {
            let offset = linear.product(&sum.bias);
            add_scaled(&mut linear.bias, &offset, 1.0);
            linear.scale_columns(factors);
            let (hidden, activation) = (hidden.clone(), *activation);
            Term::Branch(Shared::new(Branch {
                hidden,
                activation,
                fc2: linear,
            }))
        }
        _ => return Err(stray(sum)),
    };
    Ok(Form::Map(Rc::new(Sum::of(term, shape, sum.order))))
}

fn stray(sum: &Sum) -> Problem {
    Problem::new(
        format!(
            "a linear layer of {} belongs to no known layer",
            sum.describe()
        ),
        "use channel MLPs of norm, linear, activation, linear",
    )
}

/// Weights and bias of a `MatMul` or `Gemm` from the right.
fn weights(walk: &Walk<'_>, node: &Node) -> Result<Linear, Problem> {
    let refuse = |what: &str| {
        Err(Problem::new(
            what,
            "use linear layers with trained weights only",
        ))
    };
    let Some(matrix) = walk.constant(node, 1) else {
        return refuse(
            "a product of two values that depend on the image (attention) is not supported",
        );
    };
    let (Some(values), &[first, second]) = (matrix.as_floats(), &matrix.shape[..]) else {
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

/// Moves factors and bias of a lone linear layer's output into its weights.
pub(super) fn absorb_factors(sum: &Sum) -> Sum {
    let Some((term, factors)) = sum.single() else {
        return sum.clone();
    };
    if sum.plain().is_some() {
        return sum.clone();
    }
    let changed = |linear: &Linear| {
        let mut linear = linear.clone();
        linear.scale_rows(factors);
        add_scaled(&mut linear.bias, &sum.bias, 1.0);
        linear
    };
    let term = match term {
        Term::Hidden(hidden) => Term::Hidden(Shared::new(Hidden {
            norm: hidden.norm.clone(),
            fc1: changed(&hidden.fc1),
        })),
        Term::Branch(branch) => Term::Branch(Shared::new(Branch {
            hidden: branch.hidden.clone(),
            activation: branch.activation,
            fc2: changed(&branch.fc2),
        })),
        _ => return sum.clone(),
    };
    Sum::of(term, sum.shape, sum.order)
}

/// Like [`absorb_factors`], where only a bias was added.
pub(super) fn absorb_bias(sum: &Sum) -> Sum {
    match sum.single() {
        Some((_, factors)) if all(factors, 1.0) => absorb_factors(sum),
        _ => sum.clone(),
    }
}

impl Linear {
    /// `weight * values`, without the bias.
    pub(super) fn product(&self, values: &[f32]) -> Vec<f32> {
        self.weight
            .chunks_exact(self.inputs.max(1))
            .map(|row| row.iter().zip(values).map(|(w, v)| w * v).sum())
            .collect()
    }

    /// Multiplies what each input contributes.
    pub(super) fn scale_columns(&mut self, factors: &[f32]) {
        for row in self.weight.chunks_exact_mut(self.inputs.max(1)) {
            for (weight, factor) in row.iter_mut().zip(factors) {
                *weight *= factor;
            }
        }
    }

    /// Multiplies each output.
    pub(super) fn scale_rows(&mut self, factors: &[f32]) {
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
}
