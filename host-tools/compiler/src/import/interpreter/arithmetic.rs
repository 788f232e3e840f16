//! Operators on elements, axes and matrices.

use std::sync::Arc;

use super::Array;
use super::Unevaluated;
use crate::import::graph::Node;

pub(super) fn binary(op: &str, a: &Array, b: &Array) -> Result<Array, Unevaluated> {
    let apply: fn(f64, f64) -> f64 = match op {
        "Add" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "Div" => |a, b| a / b,
        "Pow" => f64::powf,
        "Max" => f64::max,
        "Min" => f64::min,
        _ => return Err(Unevaluated::Operator),
    };
    let rank = a.shape.len().max(b.shape.len());
    let (a, b) = (raised(a, rank), raised(b, rank));
    let shape: Vec<usize> = a
        .shape
        .iter()
        .zip(&b.shape)
        .map(|(&a, &b)| if a == 1 { b } else { a })
        .collect();
    let count: usize = shape.iter().product();
    let (left, right) = (steps(&a, &shape), steps(&b, &shape));
    let mut values = Vec::with_capacity(count);
    let mut at = vec![0; rank];
    for _ in 0..count {
        let place = |steps: &[usize]| at.iter().zip(steps).map(|(i, s)| i * s).sum::<usize>();
        values.push(apply(a.values[place(&left)], b.values[place(&right)]));
        advance(&mut at, &shape);
    }
    Ok(Array {
        shape,
        values: Arc::new(values),
    })
}

/// The same elements with axes of size 1 in front.
fn raised(array: &Array, rank: usize) -> Array {
    let mut shape = vec![1; rank - array.shape.len()];
    shape.extend(&array.shape);
    Array {
        shape,
        values: array.values.clone(),
    }
}

/// Elements to move per step of each axis of `shape`; none where it repeats.
fn steps(array: &Array, shape: &[usize]) -> Vec<usize> {
    (0..shape.len())
        .map(|axis| match array.shape[axis] {
            1 => 0,
            _ => array.stride(axis),
        })
        .collect()
}

/// The next place in row-major order.
fn advance(at: &mut [usize], shape: &[usize]) {
    for (at, &size) in at.iter_mut().zip(shape).rev() {
        *at += 1;
        if *at < size {
            return;
        }
        *at = 0;
    }
}

pub(super) fn unary(node: &Node, input: &Array) -> Result<Array, Unevaluated> {
    let by_tanh = match node.text("approximate") {
        None | Some("none") => false,
        Some("tanh") => true,
        Some(_) => return Err(Unevaluated::Gelu),
    };
    let usual = match node.op.as_str() {
        "LeakyRelu" => 0.01,
        "Swish" | "Elu" | "Celu" => 1.0,
        "Selu" => 1.673_263_2,
        _ => 0.2,
    };
    let alpha = f64::from(node.float("alpha", usual));
    let beta = f64::from(node.float("beta", 0.5));
    let gamma = f64::from(node.float("gamma", 1.050_701));
    let softplus = |x: f64| x.max(0.0) + libm::log1p(libm::exp(-x.abs()));
    let apply = |x: f64| match node.op.as_str() {
        "Sqrt" => x.sqrt(),
        "Reciprocal" => x.recip(),
        "Erf" => libm::erf(x),
        "Relu" => x.max(0.0),
        "Neg" => -x,
        "Sigmoid" => 1.0 / (1.0 + libm::exp(-x)),
        "Tanh" => libm::tanh(x),
        "HardSigmoid" => (alpha * x + beta).clamp(0.0, 1.0),
        "HardSwish" => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        "LeakyRelu" => x.max(0.0) + alpha * x.min(0.0),
        "Softplus" => softplus(x),
        "Mish" => x * libm::tanh(softplus(x)),
        "Swish" => x / (1.0 + libm::exp(-alpha * x)),
        "Elu" => x.max(0.0) + alpha * libm::expm1(x.min(0.0)),
        "Selu" => gamma * (x.max(0.0) + alpha * libm::expm1(x.min(0.0))),
        "Celu" => x.max(0.0) + alpha * libm::expm1(x.min(0.0) / alpha),
        "Exp" => libm::exp(x),
        "Log" => libm::log(x),
        "Abs" => x.abs(),
        _ if by_tanh => {
            let argument = std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + libm::tanh(argument))
        }
        _ => 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt())),
    };
    Ok(Array {
        shape: input.shape.clone(),
        values: Arc::new(input.values.iter().map(|&value| apply(value)).collect()),
    })
}

pub(super) fn transpose(input: &Array, node: &Node) -> Result<Array, Unevaluated> {
    let rank = input.shape.len();
    let order: Vec<usize> = match node.ints("perm") {
        Some(order) => order.iter().map(|&axis| axis as usize).collect(),
        None => (0..rank).rev().collect(),
    };
    let shape: Vec<usize> = order.iter().map(|&axis| input.shape[axis]).collect();
    let strides: Vec<usize> = order.iter().map(|&axis| input.stride(axis)).collect();
    let mut at = vec![0; rank];
    let mut values = Vec::with_capacity(input.values.len());
    for _ in 0..input.values.len() {
        let place: usize = at.iter().zip(&strides).map(|(i, s)| i * s).sum();
        values.push(input.values[place]);
        advance(&mut at, &shape);
    }
    Ok(Array {
        shape,
        values: Arc::new(values),
    })
}

pub(super) fn mean(input: &Array, node: &Node, axes: Option<&[i64]>) -> Result<Array, Unevaluated> {
    let rank = input.shape.len();
    let reduced: Vec<usize> = match axes {
        Some(axes) if !axes.is_empty() => axes
            .iter()
            .map(|&axis| (if axis < 0 { axis + rank as i64 } else { axis }) as usize)
            .collect(),
        _ if node.int("noop_with_empty_axes", 0) != 0 => return Ok(input.clone()),
        _ => (0..rank).collect(),
    };
    let kept: Vec<usize> = (0..rank)
        .map(|axis| {
            if reduced.contains(&axis) {
                1
            } else {
                input.shape[axis]
            }
        })
        .collect();
    let target = Array {
        shape: kept.clone(),
        values: Arc::default(),
    };
    let steps = steps(&target, &input.shape);
    let mut sums = vec![0.0; kept.iter().product()];
    let mut at = vec![0; rank];
    for value in input.values.iter() {
        let place: usize = at.iter().zip(&steps).map(|(i, s)| i * s).sum();
        sums[place] += value;
        advance(&mut at, &input.shape);
    }
    let count = input.values.len() as f64 / sums.len().max(1) as f64;
    let shape = match node.int("keepdims", 1) {
        0 => (0..rank)
            .filter(|axis| !reduced.contains(axis))
            .map(|axis| kept[axis])
            .collect(),
        _ => kept,
    };
    Ok(Array {
        shape,
        values: Arc::new(sums.iter().map(|sum| sum / count).collect()),
    })
}

/// The three norms: a mean and a variance for each run of elements.
pub(super) fn normalise(
    opset: i64,
    node: &Node,
    input: &Array,
    [scale, bias]: &[Array; 2],
) -> Result<Array, Unevaluated> {
    let channels = input.shape.get(1).copied().unwrap_or(1);
    let rank = input.shape.len();
    // Elements that share a mean, and which factor an element takes.
    let (run, factor): (usize, Box<dyn Fn(usize) -> usize>) = match node.op.as_str() {
        "LayerNormalization" => {
            let axis = node.int("axis", -1);
            let axis = (if axis < 0 { axis + rank as i64 } else { axis }) as usize;
            let run = input.shape[axis..].iter().product();
            (run, Box::new(move |index| index % run))
        }
        "InstanceNormalization" => {
            let run = input.stride(1);
            (run, Box::new(move |index| index / run % channels))
        }
        _ => {
            let groups = node.int("num_groups", 1) as usize;
            let (plane, size) = (input.stride(1), channels / groups.max(1));
            // Up to opset 20 there is a factor per group, later per channel.
            let per = if opset < 21 { size } else { 1 };
            let factor = move |index: usize| index / plane % channels / per;
            (size * plane, Box::new(factor))
        }
    };
    let epsilon = f64::from(node.float("epsilon", 1e-5));
    let mut values = Vec::with_capacity(input.values.len());
    for part in input.values.chunks(run.max(1)) {
        let count = part.len() as f64;
        let mean = part.iter().sum::<f64>() / count;
        let variance = part.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let deviation = (variance + epsilon).sqrt();
        for x in part {
            let factor = factor(values.len());
            let bias = bias.values.get(factor).copied().unwrap_or(0.0);
            let scale = scale.values.get(factor).ok_or(Unevaluated::Factor)?;
            values.push((x - mean) / deviation * scale + bias);
        }
    }
    Ok(Array {
        shape: input.shape.clone(),
        values: Arc::new(values),
    })
}

/// `a` with any axes in front, `b` a matrix.
pub(super) fn matmul(a: &Array, b: &Array) -> Result<Array, Unevaluated> {
    let (&[inner, columns], Some((&width, front))) = (&b.shape[..], a.shape.split_last()) else {
        return Err(Unevaluated::Product);
    };
    if inner != width {
        return Err(Unevaluated::MatrixSizes);
    }
    let mut shape = front.to_vec();
    shape.push(columns);
    let mut values = Vec::new();
    for row in a.values.chunks(inner.max(1)) {
        for column in 0..columns {
            let products = row
                .iter()
                .enumerate()
                .map(|(k, x)| x * b.values[k * columns + column]);
            values.push(products.sum());
        }
    }
    Ok(Array {
        shape,
        values: Arc::new(values),
    })
}

pub(super) fn gemm(node: &Node, a: &Array, b: &Array, bias: &Array) -> Result<Array, Unevaluated> {
    let turned = |array: &Array, name| match node.int(name, 0) {
        0 => Ok(array.clone()),
        _ => matrix_transpose(array),
    };
    let mut product = matmul(&turned(a, "transA")?, &turned(b, "transB")?)?;
    let alpha = f64::from(node.float("alpha", 1.0));
    let scaled = product.values.iter().map(|value| alpha * value);
    product.values = Arc::new(scaled.collect());
    if bias.values.is_empty() {
        return Ok(product);
    }
    let beta = f64::from(node.float("beta", 1.0));
    let bias = Array {
        shape: bias.shape.clone(),
        values: Arc::new(bias.values.iter().map(|value| beta * value).collect()),
    };
    binary("Add", &product, &bias)
}

fn matrix_transpose(array: &Array) -> Result<Array, Unevaluated> {
    let &[rows, columns] = &array.shape[..] else {
        return Err(Unevaluated::Matrix);
    };
    let values = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    Ok(Array {
        shape: vec![columns, rows],
        values: Arc::new(values.map(|place| array.values[place]).collect()),
    })
}
