//! A list of indices along one axis, as `x[:, [2, 1, 0]]` in Python.

use std::collections::BTreeMap;

use super::edit::Edit;
use crate::import::graph::{Attribute, Node};

/// A `GatherND` whose axis a `Transpose` brings to the front and another one back, or
/// elsewhere, as `Gather` along that axis.
pub(super) fn gather(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    if node.op != "Transpose" {
        return None;
    }
    let back = node.ints("perm")?;
    let gather = edit
        .maker(node.input(0)?)
        .filter(|maker| maker.op == "GatherND" && maker.int("batch_dims", 0) == 0)?;
    let front = edit
        .maker(gather.input(0)?)
        .filter(|maker| maker.op == "Transpose")?;
    let (x, order) = (front.input(0)?, front.ints("perm")?);
    let indices = edit.constant(gather.input(1)?)?;
    let &[_, 1] = &indices.shape[..] else {
        return None;
    };
    let axes = back.iter().map(|&axis| {
        let axis = usize::try_from(axis).ok()?;
        order.get(axis).copied()
    });
    let axes = axes.collect::<Option<Vec<_>>>()?;
    let axis = *order.first()?;
    let indices = indices.as_ints()?.to_vec();
    let indices = edit.integers(indices)?;
    let axis = BTreeMap::from([("axis".to_owned(), Attribute::Int(axis))]);
    if axes.iter().copied().eq(0..axes.len() as i64) {
        edit.replace_with(node, "Gather", &[x, indices], axis);
        return Some(());
    }
    let picked = edit.make_with(node, "Gather", &[x, indices], axis);
    let axes = BTreeMap::from([("perm".to_owned(), Attribute::Ints(axes))]);
    edit.replace_with(node, "Transpose", &[picked], axes);
    Some(())
}
