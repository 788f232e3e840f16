//! A list of indices along one axis, as `x[:, [2, 1, 0]]` in Python.

use std::collections::BTreeMap;

use super::edit::Edit;
use crate::import::graph::{Attribute, Node};

/// A `GatherND` whose axis a `Transpose` brings to the front and another one back, as
/// `Gather` along that axis.
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
    let is_kept = axes.eq((0..order.len() as i64).map(Some));
    let axis = *order.first().filter(|_| is_kept)?;
    let indices = indices.as_ints()?.to_vec();
    let indices = edit.integers(indices)?;
    let axis = BTreeMap::from([("axis".to_owned(), Attribute::Int(axis))]);
    edit.replace_with(node, "Gather", &[x, indices], axis);
    Some(())
}
