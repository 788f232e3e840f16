//! `Einsum` of two operands, as a matrix product.
//!
//! Every label is one of: batch (in both operands and the result), contracted
//! (in both operands only), of the left or of the right alone. Axes are put in
//! the order of a matrix product, and the product's axes back.

use std::sync::Arc;

use super::form::Form;
use super::walk::{Operand, Walk};
use super::{Problem, linear, reshape};
use crate::import::constant_folding::transpose;
use crate::import::graph::{Node, Tensor};
use crate::layers::attention::recognise as attention;
use crate::network::Linear;

/// The meaning of an `Einsum`.
pub(crate) fn lower(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let equation = node.text("equation").unwrap_or_default().replace(' ', "");
    let refuse = || {
        Problem::new(
            format!("the sum `{equation}` belongs to no known layer"),
            "use matrix products of linear layers, attention or random mixing only",
        )
    };
    let (Some(left), Some(right), true) = (
        walk.operand(node, 0),
        walk.operand(node, 1),
        node.inputs.len() == 2,
    ) else {
        return Err(refuse());
    };
    let labels = Labels::parse(&equation).ok_or_else(refuse)?;
    let (a_shape, b_shape) = (walk.shape(node, 0), walk.shape(node, 1));
    if a_shape.len() != labels.left.len() || b_shape.len() != labels.right.len() {
        return Err(refuse());
    }
    let plan = labels.plan().ok_or_else(refuse)?;
    let picked = |shape: &[usize], order: &[usize]| -> Vec<usize> {
        order.iter().map(|&axis| shape[axis]).collect()
    };
    let product = match (left, right) {
        (Operand::Form(form), Operand::Constant(matrix)) => {
            let form = reshape::permuted(form, a_shape, &plan.left)?;
            walk.spend(matrix.len())?;
            let linear = matrix_linear(&matrix, &plan.right).ok_or_else(refuse)?;
            linear::from_right(walk, node, form, linear, &picked(a_shape, &plan.left))?
        }
        (Operand::Constant(matrix), Operand::Form(form)) => {
            let form = reshape::permuted(form, b_shape, &plan.right)?;
            walk.spend(matrix.len())?;
            let matrix = Arc::new(transpose(&matrix, &plan.left));
            let shape = picked(b_shape, &plan.right);
            linear::from_left(walk, &matrix, form, &shape, plan.batch)?
        }
        (Operand::Form(left), Operand::Form(right)) => {
            let left = reshape::permuted(left, a_shape, &plan.left)?;
            let right = reshape::permuted(right, b_shape, &plan.right)?;
            attention::product(walk, left, right)?
        }
        (Operand::Constant(_), Operand::Constant(_)) => return Err(refuse()),
    };
    // Back to the order of the equation: sizes in the order of the product.
    let output = walk.output_shape(node);
    if output.len() != plan.result.len() {
        return Err(refuse());
    }
    let mut shape = vec![1; output.len()];
    for (&axis, &size) in plan.result.iter().zip(output) {
        shape[axis] = size;
    }
    reshape::permuted(product, &shape, &plan.result)
}

/// A constant from the right as the weights of a linear layer.
fn matrix_linear(matrix: &Tensor, order: &[usize]) -> Option<Linear> {
    // Outputs outermost.
    let (&last, rest) = order.split_last()?;
    let (&inner, outer) = rest.split_last()?;
    let turned: Vec<usize> = outer.iter().copied().chain([last, inner]).collect();
    let matrix = transpose(matrix, &turned);
    let (ones, &[outputs, inputs]) = matrix.shape.split_last_chunk::<2>()?;
    ones.iter().all(|&size| size == 1).then_some(())?;
    Some(Linear {
        outputs,
        inputs,
        weight: matrix.as_floats()?.to_vec(),
        bias: vec![0.0; outputs],
    })
}

/// A letter an axis.
struct Labels {
    left: Vec<char>,
    right: Vec<char>,
    result: Vec<char>,
}

/// Orders of axes for a matrix product.
#[derive(Debug, PartialEq)]
struct Plan {
    /// Number of batch axes.
    batch: usize,
    /// Batch, then rows, then the contracted axis.
    left: Vec<usize>,
    /// Batch, then the contracted axis, then columns.
    right: Vec<usize>,
    /// Places in batch, rows, columns of the result's axes.
    result: Vec<usize>,
}

impl Labels {
    fn parse(equation: &str) -> Option<Self> {
        let (operands, result) = equation.split_once("->")?;
        let (left, right) = operands.split_once(',')?;
        let letters = |text: &str| -> Option<Vec<char>> {
            let letters: Vec<char> = text.chars().collect();
            let is_plain = letters.iter().all(char::is_ascii_alphabetic);
            let is_distinct = (1..letters.len()).all(|i| !letters[..i].contains(&letters[i]));
            (is_plain && is_distinct).then_some(letters)
        };
        Some(Self {
            left: letters(left)?,
            right: letters(right)?,
            result: letters(result)?,
        })
    }

    fn plan(&self) -> Option<Plan> {
        let of = |labels: &[char], kept: &dyn Fn(char) -> bool| -> Vec<char> {
            labels
                .iter()
                .copied()
                .filter(|&label| kept(label))
                .collect()
        };
        let (left, right, result) = (&self.left, &self.right, &self.result);
        let batch = of(result, &|l| left.contains(&l) && right.contains(&l));
        let rows = of(result, &|l| left.contains(&l) && !right.contains(&l));
        let columns = of(result, &|l| !left.contains(&l) && right.contains(&l));
        let summed = of(left, &|l| right.contains(&l) && !result.contains(&l));
        let order = |labels: &[char], wanted: [&[char]; 3]| -> Option<Vec<usize>> {
            let wanted = wanted.concat();
            let places: Vec<usize> = wanted
                .iter()
                .map(|label| labels.iter().position(|l| l == label))
                .collect::<Option<_>>()?;
            (places.len() == labels.len()).then_some(places)
        };
        let product = [&batch[..], &rows, &columns].concat();
        let result = order(&product, [result, &[], &[]])?;
        (summed.len() == 1).then_some(())?;
        Some(Plan {
            batch: batch.len(),
            left: order(left, [&batch, &rows, &summed])?,
            right: order(right, [&batch, &summed, &columns])?,
            result,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(equation: &str) -> Option<Plan> {
        Labels::parse(equation)?.plan()
    }

    #[test]
    fn products_of_queries_and_keys_are_turned() {
        let found = plan("bhid,bhjd->bhij").unwrap();
        assert_eq!(found.left, [0, 1, 2, 3]);
        assert_eq!(found.right, [0, 1, 3, 2]);
        assert_eq!(found.result, [0, 1, 2, 3]);
    }

    #[test]
    fn the_result_may_have_another_order() {
        let found = plan("mn,bnc->bmc").unwrap();
        assert_eq!(found.left, [0, 1]);
        assert_eq!(found.right, [1, 0, 2]);
        // The product is m, b, c.
        assert_eq!(found.result, [1, 0, 2]);
    }

    #[test]
    fn other_sums_are_refused() {
        for equation in [
            "ij->ji",
            "ii,ij->j",
            "ij,jk->i",
            "ab,cd->abcd",
            "i...,j->ij",
            "ab,abc->c",
        ] {
            assert_eq!(plan(equation), None, "{equation}");
        }
    }
}
