//! The shape of a node's first output.

use super::Contradiction;
use super::moves::sliced_places;
use super::pads::Pads;
use super::window::{self, sizes};
use crate::import::graph::{Graph, Node, ValueId};
use crate::import::onnx::MAX_RANK;

type Shape = Vec<usize>;

/// Shape of the first output; `None` if an input's shape or the operator is not
/// known.
///
/// # Errors
/// Arguments that contradict each other.
pub(super) fn infer(graph: &Graph, node: &Node) -> Result<Option<Shape>, Contradiction> {
    let Some(input) = node.input(0).and_then(|id| graph.shape(id)) else {
        return Ok(None);
    };
    let other = node.input(1).and_then(|id| graph.shape(id));
    let ints = |index: usize, name: &str| -> Option<Vec<i64>> {
        match node.input(index) {
            Some(id) => graph.constant(id)?.as_ints().map(<[_]>::to_vec),
            None => node.ints(name).map(<[_]>::to_vec),
        }
    };
    Ok(match node.op.as_str() {
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" | "Greater" | "GreaterOrEqual"
        | "Less" | "LessOrEqual" => match other {
            Some(other) => Some(broadcast(input, other)?),
            None => None,
        },
        "Where" => match (other, node.input(2).and_then(|id| graph.shape(id))) {
            (Some(yes), Some(no)) => Some(broadcast(&broadcast(input, yes)?, no)?),
            _ => None,
        },
        "Concat" => {
            let at = axis(node.int("axis", 0), input.len())?;
            let mut shape = input.to_vec();
            shape[at] = 0;
            for id in &node.inputs {
                let part = id.and_then(|id| graph.shape(id));
                let Some(size) = part.and_then(|part| part.get(at)) else {
                    return Ok(None);
                };
                shape[at] = shape[at].checked_add(*size).ok_or(Contradiction::Concat)?;
            }
            Some(shape)
        }
        "Conv" => other
            .map(|weight| window::conv(node, input, weight))
            .transpose()?,
        "AveragePool" | "MaxPool" => {
            let kernel_shape = node.ints("kernel_shape").ok_or(Contradiction::NoKernel)?;
            Some(window::pool(
                node,
                input,
                &sizes(kernel_shape)?,
                input.get(1).copied().unwrap_or(1),
            )?)
        }
        "GlobalAveragePool" | "GlobalMaxPool" => Some(
            input
                .iter()
                .enumerate()
                .map(|(axis, &n)| if axis < 2 { n } else { 1 })
                .collect(),
        ),
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceL2" | "ReduceSumSquare" => {
            match (node.input(1), ints(1, "axes")) {
                (Some(_), None) => None,
                (_, axes) => Some(reduce(node, input, axes.as_deref())?),
            }
        }
        "MatMul" => other.map(|other| matmul(input, other)).transpose()?,
        "Gemm" => other.map(|other| gemm(node, input, other)).transpose()?,
        "Reshape" => match ints(1, "shape") {
            Some(mut target) => {
                of_one_image(&mut target, graph.batch);
                Some(reshape(input, &target, node.int("allowzero", 0) != 0)?)
            }
            None => None,
        },
        "Flatten" => Some(flatten(input, node.int("axis", 1))?),
        "Squeeze" => match (node.input(1), ints(1, "axes")) {
            (Some(_), None) => None,
            (_, axes) => Some(squeeze(input, axes.as_deref())?),
        },
        "Unsqueeze" => match ints(1, "axes") {
            Some(axes) => Some(unsqueeze(input, &axes)?),
            None => None,
        },
        "Sum" | "Mean" => {
            let mut shape = input.to_vec();
            for id in node.inputs.iter().flatten() {
                match graph.shape(*id) {
                    Some(other) => shape = broadcast(&shape, other)?,
                    None => return Ok(None),
                }
            }
            Some(shape)
        }
        "Pad" => match Pads::of(graph, node)? {
            Some(pads) => Some(pads.shape(input)?),
            None => None,
        },
        "Transpose" => Some(
            permutation(node, input.len())?
                .iter()
                .map(|&a| input[a])
                .collect(),
        ),
        "Gather" => match other {
            Some(indices) => {
                let at = axis(node.int("axis", 0), input.len())?;
                Some([&input[..at], indices, &input[at + 1..]].concat())
            }
            None => None,
        },
        "GatherND" => match other.and_then(|indices| indices.split_last()) {
            Some((&depth, places)) if node.int("batch_dims", 0) == 0 => {
                input.get(depth..).map(|rest| [places, rest].concat())
            }
            _ => None,
        },
        "Slice" => match (ints(1, "starts"), ints(2, "ends")) {
            (Some(starts), Some(ends)) => {
                let (axes, steps) = (ints(3, "axes"), ints(4, "steps"));
                Some(sliced(
                    input,
                    &starts,
                    &ends,
                    axes.as_deref(),
                    steps.as_deref(),
                )?)
            }
            _ => None,
        },
        "Einsum" => match (other, node.inputs.len()) {
            (Some(other), 2) => Some(einsum(node, input, other)?),
            _ => None,
        },
        "Attention" => match node.input(2).and_then(|id| graph.shape(id)) {
            Some(values) => Some(attention(node, input, values)?),
            None => None,
        },
        op if keeps_shape(op) => Some(input.to_vec()),
        _ => None,
    })
}

/// The target of a `Reshape` for one image, in a file for `batch` of them: its first axis
/// counts images, perhaps together with their tokens.
fn of_one_image(target: &mut [i64], batch: usize) {
    let batch = batch as i64;
    let counts = |first: &i64| *first > 0 && batch > 1 && first % batch == 0;
    if let Some(first) = target.first_mut()
        && counts(first)
    {
        *first /= batch;
    }
}

/// Shapes of all outputs of a `Split`; none if they are not known.
///
/// # Errors
/// Sizes that do not add up.
pub(super) fn split(graph: &Graph, node: &Node) -> Result<Vec<(ValueId, Shape)>, Contradiction> {
    let Some(input) = node.input(0).and_then(|id| graph.shape(id)) else {
        return Ok(Vec::new());
    };
    let at = axis(node.int("axis", 0), input.len())?;
    let count = node.outputs.len();
    let given = match node.input(1) {
        Some(id) => match graph.constant(id).and_then(|sizes| sizes.as_ints()) {
            Some(given) => Some(given),
            None => return Ok(Vec::new()),
        },
        None => node.ints("split"),
    };
    let parts = match given {
        Some(given) => sizes(given)?,
        None => {
            let part = input[at].div_ceil(count);
            let rest = input[at].saturating_sub(part * (count - 1));
            let mut parts = vec![part; count - 1];
            parts.push(rest);
            parts
        }
    };
    let total = parts
        .iter()
        .try_fold(0usize, |sum, &part| sum.checked_add(part));
    if parts.len() != count || total != Some(input[at]) || parts.contains(&0) {
        return Err(Contradiction::Split {
            count,
            parts,
            axis: at,
            input: input.to_vec(),
        });
    }
    let outputs = node.outputs.iter().zip(parts);
    Ok(outputs
        .filter_map(|(output, part)| {
            let mut shape = input.to_vec();
            shape[at] = part;
            output.map(|output| (output, shape))
        })
        .collect())
}

/// Shape after `Slice`.
fn sliced(
    input: &[usize],
    starts: &[i64],
    ends: &[i64],
    axes: Option<&[i64]>,
    steps: Option<&[i64]>,
) -> Result<Shape, Contradiction> {
    let fits = |list: Option<&[i64]>| list.is_none_or(|list| list.len() == starts.len());
    if starts.len() != ends.len() || !fits(axes) || !fits(steps) {
        return Err(Contradiction::Slice {
            starts: starts.to_vec(),
            ends: ends.to_vec(),
        });
    }
    let mut shape = input.to_vec();
    for (index, (&start, &end)) in starts.iter().zip(ends).enumerate() {
        let at = axis(axes.map_or(index as i64, |axes| axes[index]), input.len())?;
        let step = steps.map_or(1, |steps| steps[index]);
        shape[at] = sliced_places(input[at], start, end, step)?.len();
    }
    Ok(shape)
}

/// Shape after an `Attention`: the queries' with the size of the values.
fn attention(node: &Node, queries: &[usize], values: &[usize]) -> Result<Shape, Contradiction> {
    match (queries, values) {
        (&[batch, heads, tokens, _], &[.., size]) if values.len() == 4 => {
            Ok(vec![batch, heads, tokens, size])
        }
        (&[batch, tokens, _], &[.., size]) if values.len() == 3 => {
            let heads = ["q_num_heads", "kv_num_heads"].map(|name| node.int(name, 0));
            let [queries, values] = heads.map(|count| usize::try_from(count).unwrap_or(0));
            let size = size
                .checked_div(values)
                .and_then(|size| size.checked_mul(queries));
            Ok(vec![batch, tokens, size.ok_or(Contradiction::Heads)?])
        }
        _ => Err(Contradiction::Attention {
            queries: queries.to_vec(),
            values: values.to_vec(),
        }),
    }
}

/// Shape after an `Einsum` of two operands.
fn einsum(node: &Node, a: &[usize], b: &[usize]) -> Result<Shape, Contradiction> {
    let equation = node.text("equation").unwrap_or_default().replace(' ', "");
    let mismatch = || Contradiction::Equation {
        equation: equation.clone(),
        a: a.to_vec(),
        b: b.to_vec(),
    };
    let (operands, result) = equation.split_once("->").ok_or_else(mismatch)?;
    let (left, right) = operands.split_once(',').ok_or_else(mismatch)?;
    if left.chars().count() != a.len() || right.chars().count() != b.len() {
        return Err(mismatch());
    }
    let sizes: Vec<(char, usize)> = left
        .chars()
        .zip(a.iter().copied())
        .chain(right.chars().zip(b.iter().copied()))
        .collect();
    let size = |label: char| sizes.iter().find(|(l, _)| *l == label).map(|(_, s)| *s);
    if sizes
        .iter()
        .any(|&(label, found)| size(label) != Some(found))
    {
        return Err(mismatch());
    }
    result
        .chars()
        .map(|label| size(label).ok_or_else(mismatch))
        .collect()
}

/// Operators whose first output has the shape of the first input.
fn keeps_shape(op: &str) -> bool {
    let name = op.rsplit('.').next().unwrap_or(op);
    matches!(
        name,
        "Identity"
            | "Dropout"
            | "Cast"
            | "Erf"
            | "Sqrt"
            | "Reciprocal"
            | "Neg"
            | "Abs"
            | "Exp"
            | "Log"
            | "Relu"
            | "Gelu"
            | "FastGelu"
            | "QuickGelu"
            | "LeakyRelu"
            | "PRelu"
            | "Elu"
            | "Selu"
            | "Celu"
            | "Clip"
            | "QuantizeLinear"
            | "DequantizeLinear"
            | "Sigmoid"
            | "HardSigmoid"
            | "HardSwish"
            | "Mish"
            | "Tanh"
            | "Swish"
            | "Softplus"
            | "Softsign"
            | "Softmax"
            | "LogSoftmax"
            | "Hardmax"
            | "CastLike"
            | "ThresholdedRelu"
            | "Floor"
            | "Ceil"
            | "Round"
            | "LRN"
            | "BatchNormalization"
            | "InstanceNormalization"
            | "GroupNormalization"
            | "LayerNormalization"
            | "RMSNormalization"
            | "SimplifiedLayerNormalization"
            | "LpNormalization"
            | "MeanVarianceNormalization"
    )
}

/// An axis that may count from the end.
pub(super) fn axis(value: i64, rank: usize) -> Result<usize, Contradiction> {
    let shifted = if value < 0 {
        value.saturating_add(rank as i64)
    } else {
        value
    };
    usize::try_from(shifted)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or(Contradiction::Axis { axis: value, rank })
}

/// Order in which a `Transpose` takes its input's axes.
pub(crate) fn permutation(node: &Node, rank: usize) -> Result<Vec<usize>, Contradiction> {
    let Some(order) = node.ints("perm") else {
        return Ok((0..rank).rev().collect());
    };
    let order: Vec<usize> = order
        .iter()
        .map(|&a| axis(a, rank))
        .collect::<Result<_, _>>()?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    match sorted.iter().copied().eq(0..rank) {
        true => Ok(order),
        false => Err(Contradiction::Order { order, rank }),
    }
}

/// The common shape of two operands.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Shape, Contradiction> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => 1,
    };
    (0..rank)
        .map(|axis| match (size(a, axis), size(b, axis)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(Contradiction::Broadcast {
                a: a.to_vec(),
                b: b.to_vec(),
            }),
        })
        .collect()
}

/// Shape after `Reshape`: 0 keeps a size, -1 takes what is left.
pub(super) fn reshape(
    input: &[usize],
    target: &[i64],
    allow_zero: bool,
) -> Result<Shape, Contradiction> {
    if target.len() > MAX_RANK {
        return Err(Contradiction::Rank(target.len()));
    }
    let mismatch = || Contradiction::Reshape {
        input: input.to_vec(),
        target: target.to_vec(),
    };
    let total: usize = input.iter().product();
    let mut shape = Vec::new();
    let mut open = None;
    for (index, &size) in target.iter().enumerate() {
        shape.push(match size {
            -1 if open.is_none() => {
                open = Some(index);
                1
            }
            0 if !allow_zero => *input.get(index).ok_or_else(mismatch)?,
            _ => usize::try_from(size).map_err(|_| mismatch())?,
        });
    }
    let known = crate::import::graph::element_count(&shape).ok_or_else(mismatch)?;
    if let Some(index) = open {
        if known == 0 || !total.is_multiple_of(known) {
            return Err(mismatch());
        }
        shape[index] = total / known;
    } else if known != total {
        return Err(mismatch());
    }
    Ok(shape)
}

/// Shape after `Flatten`: two axes, split before `axis`.
pub(super) fn flatten(input: &[usize], value: i64) -> Result<Shape, Contradiction> {
    let at = match value == input.len() as i64 {
        true => input.len(),
        false => axis(value, input.len())?,
    };
    Ok(vec![
        input[..at].iter().product(),
        input[at..].iter().product(),
    ])
}

/// Shape without the given axes of size 1, or without all of them.
pub(super) fn squeeze(input: &[usize], axes: Option<&[i64]>) -> Result<Shape, Contradiction> {
    let dropped: Vec<usize> = match axes {
        Some(axes) => axes
            .iter()
            .map(|&a| axis(a, input.len()))
            .collect::<Result<_, _>>()?,
        None => (0..input.len()).filter(|&a| input[a] == 1).collect(),
    };
    if let Some(&wide) = dropped.iter().find(|&&a| input[a] != 1) {
        return Err(Contradiction::WideAxis {
            axis: wide,
            size: input[wide],
        });
    }
    Ok((0..input.len())
        .filter(|a| !dropped.contains(a))
        .map(|a| input[a])
        .collect())
}

/// Shape with axes of size 1 at the given places of the result.
pub(super) fn unsqueeze(input: &[usize], axes: &[i64]) -> Result<Shape, Contradiction> {
    let rank = input.len() + axes.len();
    if rank > MAX_RANK {
        return Err(Contradiction::Rank(rank));
    }
    let mut added: Vec<usize> = axes
        .iter()
        .map(|&a| axis(a, rank))
        .collect::<Result<_, _>>()?;
    added.sort_unstable();
    added.dedup();
    if added.len() != axes.len() {
        return Err(Contradiction::RepeatedAxes(axes.to_vec()));
    }
    let mut rest = input.iter();
    Ok((0..rank)
        .map(|a| {
            if added.contains(&a) {
                1
            } else {
                rest.next().copied().unwrap_or(1)
            }
        })
        .collect())
}

fn reduce(node: &Node, input: &[usize], axes: Option<&[i64]>) -> Result<Shape, Contradiction> {
    let axes = reduced_axes(node, input.len(), axes)?;
    let keep = node.int("keepdims", 1) != 0;
    Ok((0..input.len())
        .filter_map(|a| match axes.contains(&a) {
            true if keep => Some(1),
            true => None,
            false => Some(input[a]),
        })
        .collect())
}

/// Axes that a reduction removes; all of them if none are given.
pub(crate) fn reduced_axes(
    node: &Node,
    rank: usize,
    axes: Option<&[i64]>,
) -> Result<Vec<usize>, Contradiction> {
    match axes {
        Some(axes) if !axes.is_empty() => axes.iter().map(|&a| axis(a, rank)).collect(),
        _ if node.int("noop_with_empty_axes", 0) != 0 => Ok(Vec::new()),
        _ => Ok((0..rank).collect()),
    }
}

fn matmul(a: &[usize], b: &[usize]) -> Result<Shape, Contradiction> {
    let mismatch = || Contradiction::Product {
        a: a.to_vec(),
        b: b.to_vec(),
    };
    // A vector from the left is a matrix of one row, whose axis is not kept.
    if let &[inner] = a {
        let mut shape = matmul(&[1, inner], b)?;
        shape.remove(shape.len() - 2);
        return Ok(shape);
    }
    let ([a_batch @ .., rows, inner], [b_batch @ .., other, columns]) = (a, b) else {
        return Err(mismatch());
    };
    if inner != other {
        return Err(mismatch());
    }
    let mut shape = broadcast(a_batch, b_batch)?;
    shape.extend([*rows, *columns]);
    Ok(shape)
}

fn gemm(node: &Node, a: &[usize], b: &[usize]) -> Result<Shape, Contradiction> {
    let turned = |shape: &[usize], name: &str| match (shape, node.int(name, 0)) {
        (&[rows, columns], 0) => Some((rows, columns)),
        (&[rows, columns], _) => Some((columns, rows)),
        _ => None,
    };
    match (turned(a, "transA"), turned(b, "transB")) {
        (Some((rows, inner)), Some((other, columns))) if inner == other => Ok(vec![rows, columns]),
        _ => Err(Contradiction::Product {
            a: a.to_vec(),
            b: b.to_vec(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_keeps_zeros_and_fills_minus_one() {
        assert_eq!(reshape(&[2, 3, 4], &[0, -1], false), Ok(vec![2, 12]));
        assert_eq!(reshape(&[2, 3, 4], &[4, 6], false), Ok(vec![4, 6]));
        for target in [
            &[-1, -1][..],
            &[5, -1],
            &[-2, 12],
            &[0, 0, 0, 0],
            &[25],
            &[0, -1, 0],
        ] {
            let allow_zero = target == [0, -1, 0];
            assert!(
                reshape(&[2, 3, 4], target, allow_zero).is_err(),
                "{target:?}"
            );
        }
        assert!(reshape(&[2], &[i64::MAX, i64::MAX], false).is_err());
    }

    #[test]
    fn broadcast_aligns_the_last_axes() {
        assert_eq!(broadcast(&[2, 1, 4], &[3, 1]), Ok(vec![2, 3, 4]));
        assert_eq!(broadcast(&[], &[3]), Ok(vec![3]));
        assert!(broadcast(&[2, 3], &[2]).is_err());
    }

    #[test]
    fn axes_come_and_go() {
        assert_eq!(unsqueeze(&[5], &[0, -1]), Ok(vec![1, 5, 1]));
        assert_eq!(squeeze(&[1, 5, 1], Some(&[-1])), Ok(vec![1, 5]));
        assert_eq!(squeeze(&[1, 5, 1], None), Ok(vec![5]));
        assert_eq!(flatten(&[2, 3, 4], 3), Ok(vec![24, 1]));
        assert_eq!(matmul(&[1, 6, 3], &[3, 5]), Ok(vec![1, 6, 5]));
        assert!(unsqueeze(&[5], &[0, 0]).is_err());
        assert!(squeeze(&[2], Some(&[0])).is_err());
        assert!(flatten(&[2], i64::MIN).is_err());
        assert_eq!(matmul(&[3], &[2, 3, 5]), Ok(vec![2, 5]));
        assert!(matmul(&[4], &[3, 5]).is_err());
        assert!(matmul(&[3], &[3]).is_err());
    }
}
