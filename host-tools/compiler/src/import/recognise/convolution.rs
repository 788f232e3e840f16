//! Convolutions: a patch embedding of a feature map or of its norm, a linear
//! layer or a depthwise convolution inside a branch.

use std::rc::Rc;

use super::Problem;
use super::form::{Form, Order, StreamId, Sum, Term};
use super::walk::{Walk, replaced};
use super::{depthwise, linear};
use crate::import::constant_folding::Window;
use crate::import::graph::Node;
use crate::network::{Linear, Op, PatchEmbedding, Shape};

/// The meaning of a convolution's result.
pub(crate) fn lower(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let form = walk.form(node)?;
    let refuse = |what: String, remedy: &str| Err(Problem::new(what, remedy));
    let Some(weight) = walk.constant(node, 1) else {
        return refuse(
            "the weights depend on the image".to_owned(),
            "use trained weights only",
        );
    };
    let (Some(values), &[outputs, inputs, height, width]) = (weight.as_floats(), &weight.shape[..])
    else {
        return refuse(
            format!(
                "weights of sizes {:?} are not those of a 2-d convolution",
                weight.shape
            ),
            "use 2-d convolutions",
        );
    };
    walk.spend(values.len())?;
    let kernel_shape = [height, width];
    let groups = usize::try_from(node.int("group", 1)).unwrap_or(0);
    let is_depthwise = groups > 1 && groups == outputs && inputs == 1;
    if groups != 1 && !is_depthwise {
        return refuse(
            format!("the convolution has {groups} groups"),
            "use convolutions of one group as patch embeddings, and of one group a channel in \
             separable convolutions",
        );
    }
    let window = Window::of(
        node,
        &kernel_shape,
        walk.shape(node, 0).get(2..).unwrap_or(&[1, 1]),
    )?;
    if window.dilations != [1, 1] {
        return refuse(
            format!("the convolution has the dilations {:?}", window.dilations),
            "use a dilation of 1",
        );
    }
    let bias = match (
        node.input(2),
        walk.constant(node, 2).and_then(|bias| bias.as_floats()),
    ) {
        (None, _) => vec![0.0; outputs],
        (_, Some(values)) if values.len() == outputs => values.to_vec(),
        _ => {
            return refuse(
                "the bias does not have one value per output".to_owned(),
                "export the network again",
            );
        }
    };
    if is_depthwise {
        return match form {
            Form::Map(sum) if sum.is_unknown() => Ok(walk.unknown(node)),
            Form::Map(sum) if sum.order == Order::ChannelsFirst || sum.has_one_axis() => {
                depthwise::lower(walk, node, &sum, (&window, kernel_shape), values, bias)
            }
            Form::Opaque => Ok(walk.unknown(node)),
            form => refuse(
                format!(
                    "a depthwise convolution of {} belongs to no known layer",
                    form.describe()
                ),
                "export with channels first",
            ),
        };
    }
    let pointwise = kernel_shape == [1, 1]
        && window.strides == [1, 1]
        && window.padding.iter().all(|&padding| padding == 0);
    let linear = Linear {
        outputs,
        inputs: inputs * height * width,
        weight: channels_innermost(values, outputs, inputs, height * width),
        bias,
    };
    match form {
        Form::Map(sum) if sum.is_unknown() => Ok(walk.unknown(node)),
        Form::Map(sum) if sum.order == Order::ChannelsLast && !sum.has_one_axis() => refuse(
            "the convolution reads a map whose channels are innermost".to_owned(),
            "export with channels first",
        ),
        Form::Map(sum) => match (sum.absorbed(), pointwise) {
            (Some(Term::Norm(norm)), false) => match &norm.source {
                Term::Stream(source) => {
                    let producer = node.input(0).and_then(|id| walk.graph.value(id).producer);
                    let op = Op::Norm(norm.norm.clone());
                    let source = walk.push(producer, *source, sum.shape, op, Some(&sum));
                    embed(walk, node, source, kernel_shape, &window, linear)
                }
                _ => refuse(misplaced(&sum, kernel_shape, &window), REMEDY),
            },
            // A branch without a norm, or with one that is a factor of each channel.
            _ if pointwise && !is_inside(&sum) && walk.is_read_twice(node) => {
                let affine = match sum.as_fixed() {
                    Some(_) => sum,
                    None => {
                        let stream = Term::Stream(walk.stream(node, &sum));
                        Rc::new(Sum::of(stream, sum.shape, sum.order))
                    }
                };
                linear::apply(&affine, linear)
            }
            _ if !is_inside(&sum) => {
                let source = walk.stream(node, &sum);
                embed(walk, node, source, kernel_shape, &window, linear)
            }
            (_, true) => linear::apply(&sum, linear),
            (_, false) => refuse(misplaced(&sum, kernel_shape, &window), REMEDY),
        },
        Form::Opaque => Ok(walk.unknown(node)),
        form => refuse(
            format!(
                "a convolution of {} belongs to no known layer",
                form.describe()
            ),
            "let patch embeddings read the feature map itself",
        ),
    }
}

const REMEDY: &str = "let patch embeddings read the feature map itself or its norm, and use linear \
     layers (1x1 convolutions) in branches";

/// Whether a map is a step of a branch or of the head, and no feature map.
pub(crate) fn is_inside(sum: &Sum) -> bool {
    let is_map = matches!(sum.single(), Some((Term::Stream(_), _)) | None);
    !is_map && replaced(sum).is_none()
}

fn misplaced(sum: &Sum, kernel_shape: [usize; 2], window: &Window) -> String {
    format!(
        "a convolution of {}x{}, stride {}, of {}",
        kernel_shape[0],
        kernel_shape[1],
        window.strides[0],
        sum.describe()
    )
}

fn embed(
    walk: &mut Walk<'_>,
    node: &Node,
    source: StreamId,
    kernel_shape: [usize; 2],
    window: &Window,
    linear: Linear,
) -> Result<Form, Problem> {
    let (&[_, channels, height, width], &[top, left, bottom, right], &[down, across]) = (
        walk.output_shape(node),
        &window.padding[..],
        &window.strides[..],
    ) else {
        return Err(Problem::new(
            "its output is no feature map",
            "export the network again",
        ));
    };
    let output = Shape {
        height,
        width,
        channels,
    };
    let op = Op::PatchEmbedding(PatchEmbedding {
        window: kernel_shape,
        stride: [down, across],
        padding: [top, left, bottom, right],
        linear,
        rectifier: None,
    });
    let producer = node.output().and_then(|id| walk.graph.value(id).producer);
    let id = walk.push(producer, source, output, op, None);
    Ok(Form::of(Term::Stream(id), output, Order::ChannelsFirst))
}

/// From `outputs x channels x window` to `outputs x window x channels`.
fn channels_innermost(values: &[f32], outputs: usize, channels: usize, window: usize) -> Vec<f32> {
    let mut result = Vec::with_capacity(values.len());
    for output in 0..outputs {
        for place in 0..window {
            result.extend((0..channels).map(|c| values[(output * channels + c) * window + place]));
        }
    }
    result
}
