//! Operators that only move the elements of constants.

use super::Contradiction;
use super::evaluate::limited;
use super::shape::{self, axis};
use crate::import::graph::{Attribute, Data, Node, Tensor};
use crate::import::onnx::MAX_RANK;

/// For every element of `to`, the index of the element of `from` that is
/// broadcast there. `from` must fit.
pub(super) fn positions<'a>(
    from: &'a [usize],
    to: &'a [usize],
) -> impl Iterator<Item = usize> + 'a {
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

pub(super) fn expand(
    input: &Tensor,
    target: &[i64],
    limit: usize,
) -> Result<Tensor, Contradiction> {
    let target: Vec<usize> = target
        .iter()
        .map(|&size| usize::try_from(size).map_err(|_| Contradiction::NoSizes(target.to_vec())))
        .collect::<Result<_, _>>()?;
    let shape = shape::broadcast(&input.shape, &target)?;
    limited(&shape, limit)?;
    let data = pick(&input.data, positions(&input.shape, &shape));
    Ok(Tensor { shape, data })
}

pub(crate) fn transpose(input: &Tensor, order: &[usize]) -> Tensor {
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

pub(super) fn gather(
    node: &Node,
    input: &Tensor,
    indices: &Tensor,
    limit: usize,
) -> Result<Option<Tensor>, Contradiction> {
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

pub(super) fn slice(
    input: &Tensor,
    starts: &[i64],
    ends: &[i64],
    axes: Option<&[i64]>,
    steps: Option<&[i64]>,
) -> Result<Tensor, Contradiction> {
    if starts.len() > MAX_RANK {
        return Err(Contradiction::SlicedAxes(starts.len()));
    }
    let mut result = input.clone();
    for (index, (&start, &end)) in starts.iter().zip(ends).enumerate() {
        let along = match axes {
            Some(axes) => *axes.get(index).ok_or(Contradiction::SliceLengths)?,
            None => index as i64,
        };
        let along = axis(along, result.shape.len())?;
        let step = steps
            .and_then(|steps| steps.get(index))
            .copied()
            .unwrap_or(1);
        let kept = sliced_places(result.shape[along], start, end, step)?;
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

/// The places of an axis of `size` that a `Slice` keeps.
///
/// # Errors
/// A step of nothing.
pub(crate) fn sliced_places(
    size: usize,
    start: i64,
    end: i64,
    step: i64,
) -> Result<Vec<i64>, Contradiction> {
    let size = size as i64;
    let from_end = |place: i64| match place {
        ..0 => place.saturating_add(size),
        _ => place,
    };
    let (start, end) = (from_end(start), from_end(end));
    let stride = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    Ok(match step {
        0 => return Err(Contradiction::NoStep),
        1.. => (start.clamp(0, size)..end.clamp(0, size))
            .step_by(stride)
            .collect(),
        ..0 => {
            let (start, end) = (start.clamp(-1, size - 1), end.clamp(-1, size - 1));
            (end + 1..=start).rev().step_by(stride).collect()
        }
    })
}

pub(super) fn concat(
    node: &Node,
    inputs: &[Option<&Tensor>],
    limit: usize,
) -> Result<Option<Tensor>, Contradiction> {
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
        return Err(Contradiction::Concat);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(shape: &[usize]) -> Tensor {
        let count = shape.iter().product::<usize>() as i64;
        Tensor {
            shape: shape.to_vec(),
            data: Data::Int((0..count).collect()),
        }
    }

    fn node(axis: i64) -> Node {
        Node {
            name: "n".to_owned(),
            op: "op".to_owned(),
            inputs: vec![],
            outputs: vec![],
            attributes: [("axis".to_owned(), Attribute::Int(axis))].into(),
        }
    }

    #[test]
    fn slices_count_from_the_end_and_clamp() {
        let row =
            |start, end| slice(&counted(&[2, 4]), &[start], &[end], Some(&[-1]), None).unwrap();
        assert_eq!(row(1, i64::MAX).as_ints(), Some(&[1, 2, 3, 5, 6, 7][..]));
        assert_eq!(row(-2, -1).as_ints(), Some(&[2, 6][..]));
        assert_eq!(row(3, 1).shape, [2, 0]);
        let reversed = slice(&counted(&[3]), &[-1], &[i64::MIN], None, Some(&[-1])).unwrap();
        assert_eq!(reversed.as_ints(), Some(&[2, 1, 0][..]));
        assert!(slice(&counted(&[2]), &[0], &[2], None, Some(&[0])).is_err());
        assert!(slice(&counted(&[2]), &[0], &[2], Some(&[1]), None).is_err());
    }

    #[test]
    fn gather_takes_places_along_an_axis() {
        let picked = |places: &[i64], axis| {
            gather(
                &node(axis),
                &counted(&[2, 3]),
                &Tensor::ints(places.to_vec()),
                100,
            )
        };
        assert_eq!(
            picked(&[-1, 0], 1).unwrap().unwrap().as_ints(),
            Some(&[2, 0, 5, 3][..])
        );
        assert_eq!(
            picked(&[1], 0).unwrap().unwrap().as_ints(),
            Some(&[3, 4, 5][..])
        );
        assert!(picked(&[2], 0).is_err());
        assert!(picked(&[0; 101], 0).is_err());
    }

    #[test]
    fn concat_interleaves_along_inner_axes() {
        let (a, b) = (counted(&[2, 1]), counted(&[2, 2]));
        let joined = concat(&node(1), &[Some(&a), Some(&b)], 100)
            .unwrap()
            .unwrap();
        assert_eq!(joined.shape, [2, 3]);
        assert_eq!(joined.as_ints(), Some(&[0, 0, 1, 1, 2, 3][..]));
        assert!(concat(&node(0), &[Some(&a), Some(&b)], 100).is_err());
    }

    #[test]
    fn transpose_and_expand_place_every_element() {
        let turned = transpose(&counted(&[2, 3]), &[1, 0]);
        assert_eq!(turned.as_ints(), Some(&[0, 3, 1, 4, 2, 5][..]));
        let wide = expand(&counted(&[2, 1]), &[3, 1, 2], 100).unwrap();
        assert_eq!(wide.shape, [3, 2, 2]);
        assert_eq!(wide.as_ints().map(|v| &v[..4]), Some(&[0, 0, 1, 1][..]));
        assert!(expand(&counted(&[2, 1]), &[1 << 40, 1 << 40], 100).is_err());
    }
}
