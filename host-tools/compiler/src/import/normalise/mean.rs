//! Means that are taken as sums, or in several steps.

use std::collections::BTreeMap;

use super::edit::Edit;
use crate::import::constant_folding::{Window, reduced_axes};
use crate::import::graph::{Attribute, Node, ValueId};

/// `ReduceSum` as a mean times the number of values, and a mean times a number that makes
/// it one again.
pub(super) fn sum(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    match node.op.as_str() {
        "ReduceSum" => {
            let (x, axes) = reduced(edit, node)?;
            let count: usize = axes
                .iter()
                .map(|&axis| edit.shape(x).map_or(1, |s| s[axis]))
                .product();
            let mean = edit.make_with(node, "ReduceMean", &[x], keep(node, &axes));
            let count = edit.number(count as f32)?;
            edit.replace(node, "Mul", &[mean, count]);
            Some(())
        }
        "ReduceSumSquare" => {
            let (x, axes) = reduced(edit, node)?;
            let square = edit.make(node, "Mul", &[x, x]);
            let attributes = keep(node, &axes);
            edit.replace_with(node, "ReduceSum", &[square], attributes);
            Some(())
        }
        "Mul" | "Div" => {
            let (constant, x) = edit.with_constant(node)?;
            if node.op == "Div" && node.input(1) != Some(constant) {
                return None;
            }
            let factor = edit.scalar(constant)?;
            let factor = if node.op == "Div" {
                1.0 / factor
            } else {
                factor
            };
            let product = edit.maker(x).filter(|maker| maker.op == "Mul")?.clone();
            let (count, mean) = edit.with_constant(&product)?;
            edit.maker(mean).filter(|maker| maker.op == "ReduceMean")?;
            let rest = edit.scalar(count)? * factor;
            match (rest - 1.0).abs() <= 1e-6 {
                true => edit.replace(node, "Identity", &[mean]),
                false => return None,
            }
            Some(())
        }
        _ => None,
    }
}

/// The mean of means over the rest of the axes, and of the averages of tiles, as one.
pub(super) fn of_mean(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    if let "AveragePool" | "GlobalAveragePool" = node.op.as_str() {
        return stripes(edit, node);
    }
    if node.op != "ReduceMean" {
        return None;
    }
    let (between, axes) = reduced(edit, node)?;
    let inner = edit.maker(between)?.clone();
    if is_tiled(edit, &inner, &axes) {
        let x = inner.input(0)?;
        let attributes = keep(node, &axes);
        edit.replace_with(node, "ReduceMean", &[x], attributes);
        return Some(());
    }
    if inner.op != "ReduceMean" {
        return None;
    }
    let (x, first) = reduced(edit, &inner)?;
    let rank = edit.shape(x)?.len();
    // Axes of the inner mean's result as axes of what it reads.
    let left: Vec<usize> = match inner.int("keepdims", 1) {
        0 => (0..rank).filter(|axis| !first.contains(axis)).collect(),
        _ => (0..rank).collect(),
    };
    let mut all = first;
    for axis in axes {
        let axis = *left.get(axis)?;
        if !all.contains(&axis) {
            all.push(axis);
        }
    }
    all.sort_unstable();
    // Over height and width only: the mean of means over channels is a part of a norm.
    if rank != 4 || !(all == [2, 3] || all == [1, 2]) {
        return None;
    }
    let shape = edit.shape(node.output()?)?.to_vec();
    let attributes = [
        ("axes".to_owned(), ints(&all)),
        ("keepdims".to_owned(), Attribute::Int(1)),
    ];
    let mean = edit.make_with(node, "ReduceMean", &[x], attributes.into());
    let shape = edit.integers(shape.iter().map(|&size| size as i64).collect())?;
    edit.replace(node, "Reshape", &[mean, shape]);
    Some(())
}

/// A pool over whole rows or whole columns as a mean; over all of the map if it reads the
/// other one.
fn stripes(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    let x = node.input(0)?;
    let &[_, _, height, width] = edit.shape(x)? else {
        return None;
    };
    let axes = match node.op.as_str() {
        "GlobalAveragePool" => {
            let inner = edit.maker(x)?;
            if inner.op != "ReduceMean" && !is_tiled(edit, inner, &[2, 3]) {
                return None;
            }
            vec![2, 3]
        }
        _ => {
            let pads = node.ints("pads").unwrap_or(&[]);
            let plain = pads.iter().all(|&size| size == 0);
            match *super::padding::kernel_shape(edit, node)?.as_slice() {
                _ if !plain
                    || node
                        .text("auto_pad")
                        .is_some_and(|pad| pad.starts_with("SAME")) =>
                {
                    return None;
                }
                [rows, 1] if rows == height && width > 1 => vec![2],
                [1, columns] if columns == width && height > 1 => vec![3],
                [rows, columns] if rows == height && columns == width => {
                    // As a mean only behind another one.
                    edit.maker(x).filter(|maker| maker.op == "ReduceMean")?;
                    vec![2, 3]
                }
                _ => return None,
            }
        }
    };
    let attributes = [
        ("axes".to_owned(), ints(&axes)),
        ("keepdims".to_owned(), Attribute::Int(1)),
    ];
    edit.replace_with(node, "ReduceMean", &[x], attributes.into());
    Some(())
}

/// Whether `pool` averages tiles that cover a map once, and `axes` are the map's both.
fn is_tiled(edit: &Edit<'_>, pool: &Node, axes: &[usize]) -> bool {
    let fits = || {
        let &[_, _, height, width] = edit.shape(pool.input(0)?)? else {
            return None;
        };
        let kernel_shape = super::padding::kernel_shape(edit, pool)?;
        let window = Window::of(pool, &kernel_shape, &[height, width]).ok()?;
        let once = window.strides == kernel_shape
            && window.dilations == [1, 1]
            && window.padding.iter().all(|&size| size == 0)
            && height.is_multiple_of(kernel_shape[0])
            && width.is_multiple_of(kernel_shape[1]);
        (once && axes == [2, 3]).then_some(())
    };
    pool.op == "AveragePool" && fits().is_some()
}

/// The input of a reduction, and its axes.
pub(super) fn reduced(edit: &Edit<'_>, node: &Node) -> Option<(ValueId, Vec<usize>)> {
    let x = node.input(0)?;
    let rank = edit.shape(x)?.len();
    let axes = match node.input(1) {
        Some(id) => Some(edit.constant(id)?.as_ints()?.to_vec()),
        None => node.ints("axes").map(<[_]>::to_vec),
    };
    let mut axes = reduced_axes(node, rank, axes.as_deref()).ok()?;
    axes.sort_unstable();
    axes.dedup();
    Some((x, axes))
}

/// The attributes of a reduction over these axes with the rank of `node`'s.
fn keep(node: &Node, axes: &[usize]) -> BTreeMap<String, Attribute> {
    [
        ("axes".to_owned(), ints(axes)),
        (
            "keepdims".to_owned(),
            Attribute::Int(node.int("keepdims", 1)),
        ),
    ]
    .into()
}

fn ints(axes: &[usize]) -> Attribute {
    Attribute::Ints(axes.iter().map(|&axis| axis as i64).collect())
}
