//! Average pools that are convolutions with equal weights.

use std::collections::BTreeMap;

use super::edit::Edit;
use super::padding::kernel;
use crate::import::constant_folding::Window;
use crate::import::graph::{Attribute, Node};

/// Most weights of a pool that is written as a convolution of all channels.
const MAX_WEIGHTS: usize = 1 << 20;

/// A pool of stride 1 that counts its padding, as a convolution of each channel.
pub(super) fn counted(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    let (x, window, kernel) = window(edit, node)?;
    let pads_count = node.int("count_include_pad", 0) != 0;
    let is_padded = window.padding.iter().any(|&size| size != 0);
    if !pads_count || !is_padded || window.strides != [1, 1] {
        return None;
    }
    let channels = edit.shape(x)?[1];
    let count = kernel[0] * kernel[1];
    if channels * count > MAX_WEIGHTS {
        return None;
    }
    let values = vec![(1.0 / count as f64) as f32; channels * count];
    let weight = edit.tensor(vec![channels, 1, kernel[0], kernel[1]], values)?;
    let attributes = attributes(&window, kernel, channels);
    edit.replace_with(node, "Conv", &[x, weight], attributes);
    Some(())
}

/// A pool between stages, as a convolution that keeps channels apart; or what it is with
/// a convolution of 1x1 right behind it.
pub(super) fn downsampling(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    if node.op == "Conv" {
        return joined(edit, node);
    }
    let (x, window, kernel) = window(edit, node)?;
    let is_padded = window.padding.iter().any(|&size| size != 0);
    let counts = node.int("count_include_pad", 0) != 0 || !is_padded;
    let covers = edit.shape(x)?[2..] == kernel;
    if !counts || window.strides == [1, 1] || covers {
        return None;
    }
    let channels = edit.shape(x)?[1];
    let count = kernel[0] * kernel[1];
    if channels * channels * count > MAX_WEIGHTS {
        return None;
    }
    let part = (1.0 / count as f64) as f32;
    let mut values = vec![0.0; channels * channels * count];
    for channel in 0..channels {
        values[(channel * channels + channel) * count..][..count].fill(part);
    }
    let weight = edit.tensor(vec![channels, channels, kernel[0], kernel[1]], values)?;
    let mut attributes = attributes(&window, kernel, 1);
    attributes.insert(POOLED.to_owned(), Attribute::Int(1));
    edit.replace_with(node, "Conv", &[x, weight], attributes);
    Some(())
}

/// Marks a convolution that was a pool.
pub(super) const POOLED: &str = "tadpool.pooled";

/// A convolution of 1x1 behind a pool as one convolution.
fn joined(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    let between = node.input(0)?;
    let pool = edit
        .maker(between)
        .filter(|maker| maker.op == "Conv")?
        .clone();
    if pool.int(POOLED, 0) == 0 || node.int("group", 1) != 1 {
        return None;
    }
    let weight = edit.constant(node.input(1)?)?.clone();
    let &[outputs, inputs, 1, 1] = &weight.shape[..] else {
        return None;
    };
    let spatial = edit.shape(between)?.get(2..)?.to_vec();
    let window = Window::of(node, &[1, 1], &spatial).ok()?;
    if window.strides != [1, 1] || window.padding.iter().any(|&size| size != 0) {
        return None;
    }
    let [height, width] = kernel(edit, &pool)?;
    let count = height * width;
    let values = weight.as_floats()?;
    let values: Vec<f32> = values
        .iter()
        .flat_map(|&value| std::iter::repeat_n(value / count as f32, count))
        .collect();
    let weight = edit.tensor(vec![outputs, inputs, height, width], values)?;
    let mut inputs = vec![pool.input(0)?, weight];
    inputs.extend(node.input(2));
    let mut attributes = pool.attributes;
    attributes.remove(POOLED);
    edit.replace_with(node, "Conv", &inputs, attributes);
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
    let kernel = kernel(edit, node)?;
    let window = Window::of(node, &kernel, &[height, width]).ok()?;
    let exact = |axis: usize, size: usize| {
        let padded = size + window.padding[axis] + window.padding[axis + 2];
        let rest = padded.checked_sub(kernel[axis]);
        rest.is_some_and(|rest| rest.is_multiple_of(window.strides[axis]))
    };
    // Rounded up, a last window reaches beyond the padding.
    let rounds_up = node.int("ceil_mode", 0) != 0 && !(exact(0, height) && exact(1, width));
    (window.dilations == [1, 1] && !rounds_up).then_some((x, window, kernel))
}

fn attributes(window: &Window, kernel: [usize; 2], groups: usize) -> BTreeMap<String, Attribute> {
    let ints = |values: &[usize]| Attribute::Ints(values.iter().map(|&v| v as i64).collect());
    [
        ("kernel_shape", ints(&kernel)),
        ("strides", ints(&window.strides)),
        ("pads", ints(&window.padding)),
        ("group", Attribute::Int(groups as i64)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
