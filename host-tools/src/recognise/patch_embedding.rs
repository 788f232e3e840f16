//! Convolutions: a patch embedding on a feature map, else a linear layer.

use std::rc::Rc;

use super::Problem;
use super::form::{Form, Order, Sum, Term};
use super::linear;
use super::walk::Walk;
use crate::fold::Window;
use crate::graph::Node;
use crate::ir::{Linear, Op, PatchEmbedding, Shape};

/// The meaning of a convolution's result.
pub(super) fn lower(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
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
    let kernel = [height, width];
    let groups = node.int("group", 1);
    if groups != 1 {
        return refuse(
            format!("the convolution has {groups} groups"),
            "use pooling or identity as token mixer, and convolutions of one group as patch embeddings",
        );
    }
    let window = Window::of(
        node,
        &kernel,
        walk.shape(node, 0).get(2..).unwrap_or(&[1, 1]),
    )
    .map_err(|what| Problem::new(what, "export the network again"))?;
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
    let pointwise = kernel == [1, 1]
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
        Form::Map(sum) if sum.order == Order::ChannelsLast => refuse(
            "the convolution reads a map whose channels are innermost".to_owned(),
            "export with channels first",
        ),
        Form::Map(sum) => {
            let inside = matches!(
                sum.single(),
                Some((
                    Term::Norm(_) | Term::Activated(..) | Term::Hidden(_) | Term::Erf(_),
                    _
                ))
            );
            match (inside, pointwise) {
                (true, true) => linear::apply(Form::Map(sum), linear),
                (true, false) => refuse(
                    format!(
                        "a convolution of {height}x{width}, stride {}, of {}",
                        window.strides[0],
                        sum.describe()
                    ),
                    "let patch embeddings read the feature map itself, and use linear layers (1x1 \
                     convolutions) in channel MLPs",
                ),
                (false, _) => embed(walk, node, &sum, kernel, &window, linear),
            }
        }
        Form::Opaque => Ok(walk.unknown(node)),
        form if pointwise => linear::apply(form, linear),
        form => refuse(
            format!(
                "a convolution of {} belongs to no known layer",
                form.describe()
            ),
            "let patch embeddings read the feature map itself",
        ),
    }
}

fn embed(
    walk: &mut Walk<'_>,
    node: &Node,
    sum: &Rc<Sum>,
    kernel: [usize; 2],
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
    let source = walk.stream(node, sum);
    let output = Shape {
        height,
        width,
        channels,
    };
    let op = Op::PatchEmbedding(PatchEmbedding {
        kernel,
        stride: [down, across],
        padding: [top, left, bottom, right],
        linear,
    });
    let producer = node.output().and_then(|id| walk.graph.value(id).producer);
    let id = walk.push(producer, source, output, op, None);
    Ok(Form::Map(Rc::new(Sum::of(
        Term::Stream(id),
        output,
        Order::ChannelsFirst,
    ))))
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
