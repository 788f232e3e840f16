//! Windows that move over the spatial axes of a map: convolutions and pools.

use super::{Contradiction, MAX_PATCH_ELEMENTS};
use crate::import::graph::{Node, element_count};

/// How a window moves over the spatial axes of a map.
#[derive(Debug)]
pub(crate) struct Window {
    /// One per axis.
    pub(crate) strides: Vec<usize>,
    /// One per axis.
    pub(crate) dilations: Vec<usize>,
    /// Before each axis, then after each axis.
    pub(crate) padding: Vec<usize>,
}

impl Window {
    /// Reads the attributes shared by convolutions and pools.
    ///
    /// # Errors
    /// Attributes that are negative, absurd or of the wrong number.
    pub(crate) fn of(
        node: &Node,
        kernel_shape: &[usize],
        input: &[usize],
    ) -> Result<Self, Contradiction> {
        let axes = kernel_shape.len();
        let list = |name: &'static str| -> Result<Vec<usize>, Contradiction> {
            let Some(values) = node.ints(name) else {
                return Ok(vec![1; axes]);
            };
            match sizes(values)? {
                list if list.len() == axes => Ok(list),
                _ => Err(Contradiction::WindowList {
                    name,
                    values: values.to_vec(),
                    axes,
                }),
            }
        };
        if kernel_shape.iter().any(|&k| k == 0 || k >= 1 << 20) {
            return Err(Contradiction::Kernel(kernel_shape.to_vec()));
        }
        let (strides, dilations) = (list("strides")?, list("dilations")?);
        let padding = match node.text("auto_pad").unwrap_or("NOTSET") {
            "NOTSET" => match node.ints("pads") {
                None => vec![0; 2 * axes],
                Some(pads) => pads
                    .iter()
                    .map(|&p| usize::try_from(p).ok().filter(|&p| p < 1 << 20))
                    .collect::<Option<Vec<_>>>()
                    .filter(|pads| pads.len() == 2 * axes)
                    .ok_or_else(|| Contradiction::WindowList {
                        name: "pads",
                        values: pads.to_vec(),
                        axes,
                    })?,
            },
            "VALID" => vec![0; 2 * axes],
            mode @ ("SAME_UPPER" | "SAME_LOWER") => {
                let mut padding = vec![0; 2 * axes];
                for axis in 0..axes {
                    let reach = (kernel_shape[axis] - 1) * dilations[axis] + 1;
                    let steps = input[axis].div_ceil(strides[axis]).saturating_sub(1);
                    let total = (steps * strides[axis] + reach).saturating_sub(input[axis]);
                    let small = total / 2;
                    let upper = mode == "SAME_UPPER";
                    padding[axis] = if upper { small } else { total - small };
                    padding[axis + axes] = total - padding[axis];
                }
                padding
            }
            mode => return Err(Contradiction::AutoPad(mode.to_owned())),
        };
        Ok(Self {
            strides,
            dilations,
            padding,
        })
    }
}

/// Shape after a convolution.
pub(super) fn conv(
    node: &Node,
    input: &[usize],
    weight: &[usize],
) -> Result<Vec<usize>, Contradiction> {
    let groups = node.int("group", 1);
    let fits = weight.len() == input.len()
        && input.len() > 2
        && usize::try_from(groups)
            .ok()
            .and_then(|groups| groups.checked_mul(weight[1]))
            .is_some_and(|channels| channels == input[1]);
    if !fits {
        return Err(Contradiction::Weights {
            weight: weight.to_vec(),
            groups,
            input: input.to_vec(),
        });
    }
    let shape = pool(node, input, &weight[2..], weight[0])?;
    let patches = element_count(&weight[1..])
        .zip(element_count(&shape[2..]))
        .and_then(|(window, count)| window.checked_mul(count));
    match patches {
        Some(..=MAX_PATCH_ELEMENTS) => Ok(shape),
        _ => Err(Contradiction::LargeWindows {
            window: weight[1..].to_vec(),
            places: shape[2..].to_vec(),
        }),
    }
}

/// Shape after a window moved over the spatial axes.
pub(super) fn pool(
    node: &Node,
    input: &[usize],
    kernel_shape: &[usize],
    channels: usize,
) -> Result<Vec<usize>, Contradiction> {
    if input.len() != kernel_shape.len() + 2 {
        return Err(Contradiction::WindowRank {
            kernel_shape: kernel_shape.to_vec(),
            input: input.to_vec(),
        });
    }
    let spatial = Window::of(node, kernel_shape, &input[2..])?;
    let mut shape = vec![input[0], channels];
    for (axis, &size) in input[2..].iter().enumerate() {
        let reach = (kernel_shape[axis] - 1) * spatial.dilations[axis] + 1;
        let padded = size + spatial.padding[axis] + spatial.padding[axis + kernel_shape.len()];
        let steps = padded
            .checked_sub(reach)
            .ok_or(Contradiction::WindowReach { reach, padded })?;
        let stride = spatial.strides[axis];
        shape.push(match node.int("ceil_mode", 0) {
            0 => steps / stride + 1,
            _ => steps.div_ceil(stride) + 1,
        });
    }
    Ok(shape)
}

/// Positive sizes below a million.
pub(super) fn sizes(values: &[i64]) -> Result<Vec<usize>, Contradiction> {
    values
        .iter()
        .map(|&v| usize::try_from(v).ok().filter(|&v| v > 0 && v < 1 << 20))
        .collect::<Option<_>>()
        .ok_or_else(|| Contradiction::NoSizes(values.to_vec()))
}
