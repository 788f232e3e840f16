//! Evaluates operators on constants.

use std::sync::Arc;

use super::shape::{self, axis};
use crate::graph::{Attribute, Data, Node, Tensor, element_count};

/// The node's result, if all its inputs are constant and the operator is one
/// that exporters compute constants with; at most `limit` elements.
///
/// # Errors
/// Arguments that contradict each other.
pub(super) fn evaluate(
    node: &Node,
    inputs: &[Option<&Tensor>],
    limit: usize,
) -> Result<Option<Tensor>, String> {
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
        "Size" => Some(scalar(first.len() as i64)),
        "Neg" => Some(map(first, |v| -v, i64::wrapping_neg)),
        "Abs" => Some(map(first, f32::abs, i64::wrapping_abs)),
        "Floor" => Some(map(first, f32::floor, |v| v)),
        "Ceil" => Some(map(first, f32::ceil, |v| v)),
        "Sqrt" => map_float(first, f32::sqrt),
        "Reciprocal" => map_float(first, f32::recip),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" | "Equal" => match input(1) {
            Some(second) => binary(&node.op, first, second, limit)?,
            None => None,
        },
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

fn limited(shape: &[usize], limit: usize) -> Result<usize, String> {
    element_count(shape)
        .filter(|&count| count <= limit)
        .ok_or_else(|| format!("a constant of sizes {shape:?} is too large"))
}

fn binary(op: &str, a: &Tensor, b: &Tensor, limit: usize) -> Result<Option<Tensor>, String> {
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
                "Min" => |a, b| Some(a.min(b)),
                "Max" => |a, b| Some(a.max(b)),
                "Equal" => |a, b| Some((a == b).into()),
                _ => return Ok(None),
            };
            let values = pairs.map(|(a, b)| apply(a, b)).collect::<Option<_>>();
            Data::Int(values.ok_or("its integer arithmetic overflows")?)
        }
        _ => return Ok(None),
    };
    Ok(Some(Tensor { shape, data }))
}

/// For every element of `to`, the index of the element of `from` that is
/// broadcast there. `from` must fit.
fn positions<'a>(from: &'a [usize], to: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    let count: usize = to.iter().product();
    let same = from == to;
    let single = from.iter().all(|&size| size == 1);
    (0..count).map(move |index| {
        if same {
            return index;
        }
        if single {
            return 0;
        }
        let (mut rest, mut at, mut stride) = (index, 0, 1);
        for axis in (0..to.len()).rev() {
            let place = rest % to[axis];
            rest /= to[axis];
            if let Some(axis) = (axis + from.len()).checked_sub(to.len()) {
                if from[axis] != 1 {
                    at += place * stride;
                }
                stride *= from[axis];
            }
        }
        at
    })
}

fn pick(data: &Data, positions: impl Iterator<Item = usize>) -> Data {
    match data {
        Data::Float(values) => Data::Float(positions.map(|at| values[at]).collect()),
        Data::Int(values) => Data::Int(positions.map(|at| values[at]).collect()),
    }
}

fn select(
    condition: &Tensor,
    then: &Tensor,
    other: &Tensor,
    limit: usize,
) -> Result<Option<Tensor>, String> {
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

fn expand(input: &Tensor, target: &[i64], limit: usize) -> Result<Tensor, String> {
    let target: Vec<usize> = target
        .iter()
        .map(|&size| usize::try_from(size).map_err(|_| format!("{target:?} are no sizes")))
        .collect::<Result<_, _>>()?;
    let shape = shape::broadcast(&input.shape, &target)?;
    limited(&shape, limit)?;
    let data = pick(&input.data, positions(&input.shape, &shape));
    Ok(Tensor { shape, data })
}

fn filled(node: &Node, sizes: &Tensor, limit: usize) -> Result<Option<Tensor>, String> {
    let Some(sizes) = sizes.as_ints() else {
        return Ok(None);
    };
    let shape: Vec<usize> = sizes
        .iter()
        .map(|&size| usize::try_from(size).map_err(|_| format!("{sizes:?} are no sizes")))
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

fn transpose(input: &Tensor, order: &[usize]) -> Tensor {
    let rank = order.len();
    let mut strides = vec![1; rank];
    for axis in (1..rank).rev() {
        strides[axis - 1] = strides[axis] * input.shape[axis];
    }
    let shape: Vec<usize> = order.iter().map(|&axis| input.shape[axis]).collect();
    let at = (0..input.len()).map(|index| {
        let mut rest = index;
        let mut at = 0;
        for axis in (0..rank).rev() {
            at += rest % shape[axis] * strides[order[axis]];
            rest /= shape[axis];
        }
        at
    });
    let data = pick(&input.data, at);
    Tensor { shape, data }
}

fn gather(
    node: &Node,
    input: &Tensor,
    indices: &Tensor,
    limit: usize,
) -> Result<Option<Tensor>, String> {
    let Some(places) = indices.as_ints() else {
        return Ok(None);
    };
    let along = axis(node.int("axis", 0), input.shape.len())?;
    let size = input.shape[along];
    let places: Vec<usize> = places
        .iter()
        .map(|&place| axis(place, size))
        .collect::<Result<_, _>>()?;
    let outer: usize = input.shape[..along].iter().product();
    let inner: usize = input.shape[along + 1..].iter().product();
    let mut shape = input.shape[..along].to_vec();
    shape.extend(&indices.shape);
    shape.extend(&input.shape[along + 1..]);
    limited(&shape, limit)?;
    let at = (0..outer).flat_map(|o| {
        places
            .iter()
            .flat_map(move |&place| (0..inner).map(move |i| (o * size + place) * inner + i))
    });
    let data = pick(&input.data, at);
    Ok(Some(Tensor { shape, data }))
}

fn slice(
    input: &Tensor,
    starts: &[i64],
    ends: &[i64],
    axes: Option<&[i64]>,
    steps: Option<&[i64]>,
) -> Result<Tensor, String> {
    let mut result = input.clone();
    for (index, (&start, &end)) in starts.iter().zip(ends).enumerate() {
        let along = match axes {
            Some(axes) => *axes.get(index).ok_or("starts and axes differ in length")?,
            None => index as i64,
        };
        let along = axis(along, result.shape.len())?;
        let step = steps
            .and_then(|steps| steps.get(index))
            .copied()
            .unwrap_or(1);
        let step = usize::try_from(step)
            .ok()
            .filter(|&step| step > 0)
            .ok_or_else(|| format!("a step of {step} is not read"))?;
        let size = result.shape[along] as i64;
        let clamp = |v: i64| (if v < 0 { v.saturating_add(size) } else { v }).clamp(0, size);
        let kept: Vec<i64> = (clamp(start)..clamp(end)).step_by(step).collect();
        let node = Node {
            name: String::new(),
            op: String::new(),
            inputs: vec![],
            outputs: vec![],
            attributes: [("axis".to_owned(), Attribute::Int(along as i64))].into(),
        };
        result = gather(&node, &result, &Tensor::ints(kept), usize::MAX)?.unwrap_or(result);
    }
    Ok(result)
}

fn concat(node: &Node, inputs: &[Option<&Tensor>], limit: usize) -> Result<Option<Tensor>, String> {
    let Some(parts) = inputs.iter().copied().collect::<Option<Vec<&Tensor>>>() else {
        return Ok(None);
    };
    let Some(first) = parts.first() else {
        return Ok(None);
    };
    let along = axis(node.int("axis", 0), first.shape.len())?;
    let fits = |part: &&Tensor| {
        part.shape.len() == first.shape.len()
            && (0..part.shape.len()).all(|a| a == along || part.shape[a] == first.shape[a])
    };
    if !parts.iter().all(fits) {
        return Err("its inputs do not fit together".to_owned());
    }
    let mut shape = first.shape.clone();
    shape[along] = parts.iter().map(|part| part.shape[along]).sum();
    let count = limited(&shape, limit)?;
    let outer: usize = shape[..along].iter().product();
    let run = |part: &Tensor| part.shape[along..].iter().product::<usize>();
    let data = if let Some(parts) = parts
        .iter()
        .map(|p| Some((p.as_floats()?, run(p))))
        .collect::<Option<Vec<_>>>()
    {
        Data::Float(interleave(&parts, outer, count))
    } else if let Some(parts) = parts
        .iter()
        .map(|p| Some((p.as_ints()?, run(p))))
        .collect::<Option<Vec<_>>>()
    {
        Data::Int(interleave(&parts, outer, count))
    } else {
        return Ok(None);
    };
    Ok(Some(Tensor { shape, data }))
}

/// Takes a run of every part in turn.
fn interleave<T: Copy>(parts: &[(&[T], usize)], outer: usize, count: usize) -> Vec<T> {
    let mut values = Vec::with_capacity(count);
    for index in 0..outer {
        for (part, run) in parts {
            values.extend_from_slice(&part[index * run..][..*run]);
        }
    }
    values
}
