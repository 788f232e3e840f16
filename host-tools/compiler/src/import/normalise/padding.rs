//! An explicit `Pad` with zeros as the padding of the window that reads it.

use crate::import::constant_folding::Window;
use crate::import::graph::{Attribute, Node};

use super::edit::Edit;

/// `Conv` or `AveragePool` of a map that was padded with zeros.
///
/// The divisor of an average treats all of the padding alike: an explicit one
/// counts, so that of the pool itself has to be none or to count too.
pub(super) fn merge(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    if !matches!(node.op.as_str(), "Conv" | "AveragePool") {
        return None;
    }
    let padded = node.input(0)?;
    let pad = edit.maker(padded).filter(|maker| maker.op == "Pad")?;
    let source = pad.input(0)?;
    let outer = edit.pads(pad)?;
    if !outer.is_zeros || outer.before.len() != 4 {
        return None;
    }
    let sides = [&outer.before, &outer.after];
    if sides
        .iter()
        .any(|side| side[..2] != [0, 0] || side.iter().any(|&size| size < 0))
    {
        return None;
    }
    let kernel_shape = kernel_shape(edit, node)?;
    let spatial = edit.shape(padded)?.get(2..)?.to_vec();
    let own = Window::of(node, &kernel_shape, &spatial).ok()?;
    let pools = node.op == "AveragePool";
    let has_own = own.padding.iter().any(|&size| size != 0);
    if pools && has_own && node.int("count_include_pad", 0) == 0 {
        return None;
    }
    let pads: Vec<i64> = [
        outer.before[2],
        outer.before[3],
        outer.after[2],
        outer.after[3],
    ]
    .iter()
    .zip(&own.padding)
    .map(|(outer, &own)| outer + own as i64)
    .collect();
    let mut merged = node.clone();
    merged.inputs[0] = Some(source);
    merged.attributes.remove("auto_pad");
    if pools && pads.iter().any(|&size| size != 0) {
        let counts = Attribute::Int(1);
        merged
            .attributes
            .insert("count_include_pad".to_owned(), counts);
    }
    merged
        .attributes
        .insert("pads".to_owned(), Attribute::Ints(pads));
    edit.emit(merged);
    Some(())
}

/// Height and width of a node's window.
pub(super) fn kernel_shape(edit: &Edit<'_>, node: &Node) -> Option<[usize; 2]> {
    match node.op.as_str() {
        "Conv" => match edit.shape(node.input(1)?)? {
            &[_, _, height, width] => Some([height, width]),
            _ => None,
        },
        _ => match node.ints("kernel_shape")? {
            &[height, width] => Some([usize::try_from(height).ok()?, usize::try_from(width).ok()?]),
            _ => None,
        },
    }
}
