//! Windows of each channel that make a map of their own: average and max pools, and
//! depthwise convolutions that are no branch.

use super::{DepthwiseEmbedding, Reduction};
use crate::import::constant_folding::Window;
use crate::import::graph::Node;
use crate::import::recognise::Problem;
use crate::import::recognise::convolution::is_inside;
use crate::import::recognise::form::{Form, Order, StreamId, Sum, Term};
use crate::import::recognise::walk::Walk;
use crate::network::{Op, Shape};

/// `MaxPool` of a feature map.
pub(crate) fn max_pool(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let sum = match walk.form(node)? {
        Form::Opaque => return Ok(walk.unknown(node)),
        Form::Map(sum) if sum.is_unknown() => return Ok(walk.unknown(node)),
        Form::Map(sum) => sum,
        form => return Err(outside(&form.describe())),
    };
    let kernel_shape = kernel_shape(node)?;
    let spatial = walk.shape(node, 0).get(2..).unwrap_or(&[]);
    if spatial.len() != 2 {
        return Err(not_2d());
    }
    let window = Window::of(node, &kernel_shape, spatial)?;
    let moves = walk.output_shape(node) != walk.shape(node, 0);
    let is_branch = match is_inside(&sum) {
        true => !moves || sum.as_norm().is_none(),
        false => walk.is_read_twice(node),
    };
    if is_branch {
        return Err(outside(&sum.describe()));
    }
    embed(
        walk,
        node,
        &sum,
        (&window, kernel_shape),
        Reduction::Maximum,
    )
}

/// A pool or a depthwise convolution of a feature map to another one.
pub(crate) fn embed(
    walk: &mut Walk<'_>,
    node: &Node,
    sum: &Sum,
    (window, kernel_shape): (&Window, [usize; 2]),
    reduction: Reduction,
) -> Result<Form, Problem> {
    if sum.order == Order::ChannelsLast && !sum.has_one_axis() {
        return Err(Problem::new(
            "the window moves over a map whose channels are innermost",
            "export with channels first",
        ));
    }
    if window.dilations != [1, 1] {
        return Err(Problem::new(
            format!("the window has the dilations {:?}", window.dilations),
            "use a dilation of 1",
        ));
    }
    let (&[_, channels, height, width], &[top, left, bottom, right], &[down, across]) = (
        walk.output_shape(node),
        &window.padding[..],
        &window.strides[..],
    ) else {
        return Err(not_2d());
    };
    // Otherwise a window may lie beside the map.
    let reaches = kernel_shape[0] > top.max(bottom) && kernel_shape[1] > left.max(right);
    let last = |count: usize, stride: usize| count.saturating_sub(1) * stride;
    let begins =
        last(height, down) < top + sum.shape.height && last(width, across) < left + sum.shape.width;
    if !reaches || !begins {
        return Err(Problem::new(
            "a window lies beside the map",
            "pad with less than the window",
        ));
    }
    let output = Shape {
        height,
        width,
        channels,
    };
    let source = match sum.absorbed() {
        Some(Term::Norm(norm)) => match norm.source {
            Term::Stream(source) => {
                let producer = node.input(0).and_then(|id| walk.graph.value(id).producer);
                let op = Op::Norm(norm.norm.clone());
                walk.push(producer, source, sum.shape, op, Some(sum))
            }
            _ => return Err(outside(&sum.describe())),
        },
        _ => walk.stream(node, sum),
    };
    if source == StreamId(0) {
        return Err(Problem::new(
            "a pool or a depthwise convolution reads the image itself",
            "let the network begin with a convolution of all channels",
        ));
    }
    let op = Op::DepthwiseEmbedding(DepthwiseEmbedding {
        window: kernel_shape,
        stride: [down, across],
        padding: [top, left],
        reduction,
        rectifier: None,
    });
    let producer = node.output().and_then(|id| walk.graph.value(id).producer);
    let id = walk.push(producer, source, output, op, None);
    Ok(Form::of(Term::Stream(id), output, Order::ChannelsFirst))
}

/// Rows and columns of a pool's window.
pub(crate) fn kernel_shape(node: &Node) -> Result<[usize; 2], Problem> {
    let sizes = node.ints("kernel_shape").unwrap_or(&[]);
    match *sizes {
        [height, width] => match (usize::try_from(height), usize::try_from(width)) {
            (Ok(height), Ok(width)) => Ok([height, width]),
            _ => Err(not_2d()),
        },
        _ => Err(not_2d()),
    }
}

fn not_2d() -> Problem {
    Problem::new(
        "the pooling is not over height and width",
        "use 2-d pooling",
    )
}

fn outside(what: &str) -> Problem {
    Problem::new(
        format!("a max pool of {what} belongs to no known layer"),
        "use max pools in a stem or between stages, and average pooling as token mixer, as in \
         `pool(norm(x)) - norm(x)`",
    )
}
