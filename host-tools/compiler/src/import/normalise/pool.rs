//! Average pools that are convolutions with equal weights.

use std::collections::BTreeMap;

use super::edit::Edit;
use super::padding::kernel_shape;
use crate::import::constant_folding::Window;
use crate::import::graph::{Attribute, Node};

/// Most weights of a pool that is written as a convolution of all channels.
const MAX_WEIGHTS: usize = 1 << 20;

/// A pool of stride 1 that counts its padding, as a convolution of each channel.
pub(super) fn counted(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    let (x, window, kernel_shape) = window(edit, node)?;
    let pads_count = node.int("count_include_pad", 0) != 0;
    let is_padded = window.padding.iter().any(|&size| size != 0);
    if !pads_count || !is_padded || window.strides != [1, 1] {
        return None;
    }
    let channels = edit.shape(x)?[1];
    let count = kernel_shape[0] * kernel_shape[1];
    if channels * count > MAX_WEIGHTS {
        return None;
    }
    let values = vec![(1.0 / count as f64) as f32; channels * count];
    let weight = edit.tensor(vec![channels, 1, kernel_shape[0], kernel_shape[1]], values)?;
    let attributes = attributes(&window, kernel_shape, channels);
    edit.replace_with(node, "Conv", &[x, weight], attributes);
    Some(())
}

/// A pool of the image itself, as a convolution that keeps channels apart.
pub(super) fn of_image(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    let (x, window, kernel_shape) = window(edit, node)?;
    let is_padded = window.padding.iter().any(|&size| size != 0);
    let counts = node.int("count_include_pad", 0) != 0 || !is_padded;
    if !counts || !edit.is_image(x) {
        return None;
    }
    let channels = edit.shape(x)?[1];
    let count = kernel_shape[0] * kernel_shape[1];
    if channels * channels * count > MAX_WEIGHTS {
        return None;
    }
    let part = (1.0 / count as f64) as f32;
    let mut values = vec![0.0; channels * channels * count];
    for channel in 0..channels {
        values[(channel * channels + channel) * count..][..count].fill(part);
    }
    let weight = edit.tensor(
        vec![channels, channels, kernel_shape[0], kernel_shape[1]],
        values,
    )?;
    let attributes = attributes(&window, kernel_shape, 1);
    edit.replace_with(node, "Conv", &[x, weight], attributes);
    Some(())
}

/// The input of an average pool of a map, and its window.
fn window(
    edit: &Edit<'_>,
    node: &Node,
) -> Option<(crate::import::graph::ValueId, Window, [usize; 2])> {
    if node.op != "AveragePool" {
        return None;
    }
    let x = node.input(0)?;
    let &[_, _, height, width] = edit.shape(x)? else {
        return None;
    };
    let kernel_shape = kernel_shape(edit, node)?;
    let window = Window::of(node, &kernel_shape, &[height, width]).ok()?;
    let exact = |axis: usize, size: usize| {
        let padded = size + window.padding[axis] + window.padding[axis + 2];
        let rest = padded.checked_sub(kernel_shape[axis]);
        rest.is_some_and(|rest| rest.is_multiple_of(window.strides[axis]))
    };
    // Rounded up, a last window reaches beyond the padding.
    let rounds_up = node.int("ceil_mode", 0) != 0 && !(exact(0, height) && exact(1, width));
    (window.dilations == [1, 1] && !rounds_up).then_some((x, window, kernel_shape))
}

fn attributes(
    window: &Window,
    kernel_shape: [usize; 2],
    groups: usize,
) -> BTreeMap<String, Attribute> {
    let ints = |values: &[usize]| Attribute::Ints(values.iter().map(|&v| v as i64).collect());
    [
        ("kernel_shape", ints(&kernel_shape)),
        ("strides", ints(&window.strides)),
        ("pads", ints(&window.padding)),
        ("group", Attribute::Int(groups as i64)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
