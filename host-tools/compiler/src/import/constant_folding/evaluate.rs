//! Evaluates operators on constants.

use std::sync::Arc;

use super::moves::{concat, expand, gather, positions, slice, transpose};
use super::{Contradiction, shape};
use crate::import::graph::{Attribute, Data, Node, Tensor, element_count};

/// The node's result, if all its inputs are constant and the operator is one
/// that exporters compute constants with; at most `limit` elements.
///
/// # Errors
/// Arguments that contradict each other.
pub(super) fn evaluate(
    node: &Node,
    inputs: &[Option<&Tensor>],
    limit: usize,
) -> Result<Option<Tensor>, Contradiction> {
    if node.op == "Constant" {
        return Ok(constant(node));
    }
    let input = |index: usize| inputs.get(index).copied().flatten();
    let Some(first) = input(0) else {
        return Ok(None);
    };
    let ints = |index: usize, name: &str| match input(index) {
        Some(tensor) => tensor.as_ints(),
        None => node.ints(name),
    };
    Ok(match node.op.as_str() {
        "Identity" | "Dropout" => Some(first.clone()),
        "Cast" => cast(first, node.int("to", 0)),
        "CastLike" => match input(1) {
            Some(like) if like.as_floats().is_none() => cast(first, 7),
            _ => cast(first, 1),
        },
        "Range" => match (input(1), input(2)) {
            (Some(limit_at), Some(step)) => range(first, limit_at, step, limit)?,
            _ => None,
        },
        "Size" => Some(scalar(first.len() as i64)),
        "Neg" => Some(map(first, |v| -v, i64::wrapping_neg)),
        "Abs" => Some(map(first, f32::abs, i64::wrapping_abs)),
        "Floor" => Some(map(first, f32::floor, |v| v)),
        "Ceil" => Some(map(first, f32::ceil, |v| v)),
        "Sqrt" => map_float(first, f32::sqrt),
        "Reciprocal" => map_float(first, f32::recip),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" | "Mod" | "Equal" => match input(1) {
            Some(second) => binary(&node.op, first, second, limit)?,
            None => None,
        },
        "Clip" => clip(node, first, input(1), input(2)),
        "Where" => match (input(1), input(2)) {
            (Some(then), Some(other)) => select(first, then, other, limit)?,
            _ => None,
        },
        "Expand" => match ints(1, "") {
            Some(target) => Some(expand(first, target, limit)?),
            None => None,
        },
        "ConstantOfShape" => filled(node, first, limit)?,
        "Reshape" => match ints(1, "shape") {
            Some(target) => {
                let keep_zero = node.int("allowzero", 0) != 0;
                Some(with_shape(
                    first,
                    shape::reshape(&first.shape, target, keep_zero)?,
                ))
            }
            None => None,
        },
        "Flatten" => Some(with_shape(
            first,
            shape::flatten(&first.shape, node.int("axis", 1))?,
        )),
        "Squeeze" => Some(with_shape(
            first,
            shape::squeeze(&first.shape, ints(1, "axes"))?,
        )),
        "Unsqueeze" => match ints(1, "axes") {
            Some(axes) => Some(with_shape(first, shape::unsqueeze(&first.shape, axes)?)),
            None => None,
        },
        "Transpose" => Some(transpose(
            first,
            &shape::permutation(node, first.shape.len())?,
        )),
        "Gather" => match input(1) {
            Some(indices) => gather(node, first, indices, limit)?,
            None => None,
        },
        "Slice" => match (ints(1, "starts"), ints(2, "ends")) {
            (Some(starts), Some(ends)) => Some(slice(
                first,
                starts,
                ends,
                ints(3, "axes"),
                ints(4, "steps"),
            )?),
            _ => None,
        },
        "Concat" => concat(node, inputs, limit)?,
        "ReduceProd" => first.as_ints().map(|values| {
            scalar(
                values
                    .iter()
                    .fold(1i64, |product, &v| product.wrapping_mul(v)),
            )
        }),
        _ => None,
    })
}

/// Result of a `Shape` node.
pub(super) fn shape_of(node: &Node, shape: &[usize]) -> Tensor {
    let rank = shape.len() as i64;
    let clamp = |value: i64| {
        (if value < 0 {
            value.saturating_add(rank)
        } else {
            value
        })
        .clamp(0, rank)
    };
    let (start, end) = (clamp(node.int("start", 0)), clamp(node.int("end", rank)));
    let kept = shape.get(start as usize..end as usize).unwrap_or(&[]);
    Tensor::ints(kept.iter().map(|&size| size as i64).collect())
}

fn scalar(value: i64) -> Tensor {
    Tensor {
        shape: vec![],
        data: Data::Int(vec![value]),
    }
}

fn constant(node: &Node) -> Option<Tensor> {
    let (_, attribute) = node
        .attributes
        .iter()
        .find(|(name, _)| name.starts_with("value"))?;
    match attribute {
        Attribute::Tensor(tensor) => Some(Arc::unwrap_or_clone(tensor.clone())),
        Attribute::Int(value) => Some(scalar(*value)),
        Attribute::Ints(values) => Some(Tensor::ints(values.clone())),
        Attribute::Float(value) => Some(Tensor {
            shape: vec![],
            data: Data::Float(vec![*value]),
        }),
        Attribute::Floats(values) => Some(Tensor {
            shape: vec![values.len()],
            data: Data::Float(values.clone()),
        }),
        Attribute::Text(_) | Attribute::Other => None,
    }
}

/// Element types by ONNX's numbers: floats become floats, the rest integers.
fn cast(input: &Tensor, to: i64) -> Option<Tensor> {
    let data = match (to, &input.data) {
        (1 | 10 | 11 | 16, Data::Float(values)) => Data::Float(values.clone()),
        (1 | 10 | 11 | 16, Data::Int(values)) => {
            Data::Float(values.iter().map(|&v| v as f32).collect())
        }
        (9, Data::Float(values)) => Data::Int(values.iter().map(|&v| (v != 0.0).into()).collect()),
        (9, Data::Int(values)) => Data::Int(values.iter().map(|&v| (v != 0).into()).collect()),
        (6 | 7, Data::Float(values)) => Data::Int(values.iter().map(|&v| v as i64).collect()),
        (6 | 7, Data::Int(values)) => Data::Int(values.clone()),
        // Zero points, which exporters store wider than they are.
        (2 | 3, Data::Int(values)) => {
            let (lowest, highest) = if to == 2 { (0, 255) } else { (-128, 127) };
            let fits = values.iter().all(|v| (lowest..=highest).contains(v));
            fits.then(|| Data::Int(values.clone()))?
        }
        _ => return None,
    };
    Some(Tensor {
        shape: input.shape.clone(),
        data,
    })
}

fn map(input: &Tensor, float: fn(f32) -> f32, int: fn(i64) -> i64) -> Tensor {
    let data = match &input.data {
        Data::Float(values) => Data::Float(values.iter().map(|&v| float(v)).collect()),
        Data::Int(values) => Data::Int(values.iter().map(|&v| int(v)).collect()),
    };
    Tensor {
        shape: input.shape.clone(),
        data,
    }
}

/// `Clip`; older versions of it have their bounds in attributes.
fn clip(
    node: &Node,
    input: &Tensor,
    lowest: Option<&Tensor>,
    highest: Option<&Tensor>,
) -> Option<Tensor> {
    let data = match &input.data {
        Data::Float(values) => {
            let bound = |tensor: Option<&Tensor>, name, none| match tensor {
                Some(tensor) => tensor.as_scalar(),
                None => Some(node.float(name, none)),
            };
            let lowest = bound(lowest, "min", f32::NEG_INFINITY)?;
            let highest = bound(highest, "max", f32::INFINITY)?;
            Data::Float(values.iter().map(|v| v.max(lowest).min(highest)).collect())
        }
        Data::Int(values) => {
            let bound = |tensor: Option<&Tensor>, none| match tensor {
                Some(tensor) => match tensor.as_ints() {
                    Some(&[bound]) => Some(bound),
                    _ => None,
                },
                None => Some(none),
            };
            let (lowest, highest) = (bound(lowest, i64::MIN)?, bound(highest, i64::MAX)?);
            Data::Int(values.iter().map(|&v| v.max(lowest).min(highest)).collect())
        }
    };
    Some(Tensor {
        shape: input.shape.clone(),
        data,
    })
}

fn map_float(input: &Tensor, apply: fn(f32) -> f32) -> Option<Tensor> {
    let values = input.as_floats()?;
    Some(Tensor {
        shape: input.shape.clone(),
        data: Data::Float(values.iter().map(|&v| apply(v)).collect()),
    })
}

fn with_shape(input: &Tensor, shape: Vec<usize>) -> Tensor {
    Tensor {
        shape,
        data: input.data.clone(),
    }
}

pub(super) fn limited(shape: &[usize], limit: usize) -> Result<usize, Contradiction> {
    element_count(shape)
        .filter(|&count| count <= limit)
        .ok_or_else(|| Contradiction::LargeConstant(shape.to_vec()))
}

fn binary(op: &str, a: &Tensor, b: &Tensor, limit: usize) -> Result<Option<Tensor>, Contradiction> {
    let shape = shape::broadcast(&a.shape, &b.shape)?;
    limited(&shape, limit)?;
    let (left, right) = (positions(&a.shape, &shape), positions(&b.shape, &shape));
    let data = match (&a.data, &b.data) {
        (Data::Float(a), Data::Float(b)) => {
            let pairs = left.zip(right).map(|(i, j)| (a[i], b[j]));
            match op {
                "Add" => Data::Float(pairs.map(|(a, b)| a + b).collect()),
                "Sub" => Data::Float(pairs.map(|(a, b)| a - b).collect()),
                "Mul" => Data::Float(pairs.map(|(a, b)| a * b).collect()),
                "Div" => Data::Float(pairs.map(|(a, b)| a / b).collect()),
                "Pow" => Data::Float(pairs.map(|(a, b)| a.powf(b)).collect()),
                "Min" => Data::Float(pairs.map(|(a, b)| a.min(b)).collect()),
                "Max" => Data::Float(pairs.map(|(a, b)| a.max(b)).collect()),
                "Equal" => Data::Int(pairs.map(|(a, b)| (a == b).into()).collect()),
                _ => return Ok(None),
            }
        }
        (Data::Int(a), Data::Int(b)) => {
            let pairs = left.zip(right).map(|(i, j)| (a[i], b[j]));
            let apply: fn(i64, i64) -> Option<i64> = match op {
                "Add" => i64::checked_add,
                "Sub" => i64::checked_sub,
                "Mul" => i64::checked_mul,
                "Div" => i64::checked_div,
                // With the divisor's sign; as in C only if asked for.
                "Mod" => |a, b| match a.checked_rem(b)? {
                    0 => Some(0),
                    rest if (rest < 0) != (b < 0) => Some(rest + b),
                    rest => Some(rest),
                },
                "Min" => |a, b| Some(a.min(b)),
                "Max" => |a, b| Some(a.max(b)),
                "Equal" => |a, b| Some((a == b).into()),
                _ => return Ok(None),
            };
            let values = pairs.map(|(a, b)| apply(a, b)).collect::<Option<_>>();
            Data::Int(values.ok_or(Contradiction::Overflow)?)
        }
        _ => return Ok(None),
    };
    Ok(Some(Tensor { shape, data }))
}

/// Whole numbers from `start` to before `end`.
fn range(
    start: &Tensor,
    end: &Tensor,
    step: &Tensor,
    limit: usize,
) -> Result<Option<Tensor>, Contradiction> {
    let (Some(&[start]), Some(&[end]), Some(&[step])) =
        (start.as_ints(), end.as_ints(), step.as_ints())
    else {
        return Ok(None);
    };
    let (distance, step) = (i128::from(end) - i128::from(start), i128::from(step));
    if step == 0 {
        return Err(Contradiction::NoStep);
    }
    let count = if (distance > 0) == (step > 0) {
        (distance.unsigned_abs()).div_ceil(step.unsigned_abs())
    } else {
        0
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    limited(&[count], limit)?;
    let values = (0..count as i128).map(|index| (i128::from(start) + index * step) as i64);
    Ok(Some(Tensor::ints(values.collect())))
}

fn select(
    condition: &Tensor,
    then: &Tensor,
    other: &Tensor,
    limit: usize,
) -> Result<Option<Tensor>, Contradiction> {
    let shape = shape::broadcast(
        &condition.shape,
        &shape::broadcast(&then.shape, &other.shape)?,
    )?;
    limited(&shape, limit)?;
    let (Data::Int(c), Data::Int(a), Data::Int(b)) = (&condition.data, &then.data, &other.data)
    else {
        return Ok(None);
    };
    let values = positions(&condition.shape, &shape)
        .zip(positions(&then.shape, &shape).zip(positions(&other.shape, &shape)))
        .map(|(i, (j, k))| if c[i] != 0 { a[j] } else { b[k] })
        .collect();
    Ok(Some(Tensor {
        shape,
        data: Data::Int(values),
    }))
}

fn filled(node: &Node, sizes: &Tensor, limit: usize) -> Result<Option<Tensor>, Contradiction> {
    let Some(sizes) = sizes.as_ints() else {
        return Ok(None);
    };
    let shape: Vec<usize> = sizes
        .iter()
        .map(|&size| usize::try_from(size).map_err(|_| Contradiction::NoSizes(sizes.to_vec())))
        .collect::<Result<_, _>>()?;
    let count = limited(&shape, limit)?;
    let data = match node.attributes.get("value") {
        Some(Attribute::Tensor(value)) => match &value.data {
            Data::Float(values) => Data::Float(vec![values.first().copied().unwrap_or(0.0); count]),
            Data::Int(values) => Data::Int(vec![values.first().copied().unwrap_or(0); count]),
        },
        _ => Data::Float(vec![0.0; count]),
    };
    Ok(Some(Tensor { shape, data }))
}
