//! Convolutions of every channel with a window of its own: in a separable convolution, as a
//! token mixer, or in a stem.

use super::Problem;
use super::convolution::is_inside;
use super::form::{DepthwiseTerm, Form, Order, Shared, Sum, Term};
use super::walk::Walk;
use crate::import::constant_folding::Window;
use crate::import::graph::Node;
use crate::layers::depthwise_embedding::recognise::embed;
use crate::network::{Depthwise, Reduction};

const REMEDY: &str = "use depthwise convolutions of an odd window, stride 1, padded with zeros to \
     keep the shape: of a norm or a feature map as token mixer, or between the two linear layers \
     of a separable convolution; with a stride only of a feature map";

/// The meaning of a convolution of `sum`; `weight` is `channels x window`.
pub(crate) fn lower(
    walk: &mut Walk<'_>,
    node: &Node,
    sum: &Sum,
    window: (&Window, [usize; 2]),
    weight: &[f32],
    bias: Vec<f32>,
) -> Result<Form, Problem> {
    let refuse = |what: String| Err(Problem::new(what, REMEDY));
    let (window, kernel_shape) = window;
    let [height, width] = kernel_shape;
    let padding = [height / 2, width / 2, height / 2, width / 2];
    let moves =
        height % 2 == 0 || width % 2 == 0 || window.strides != [1, 1] || window.padding != padding;
    let (channels, places) = (sum.shape.channels, height * width);
    let mut innermost = Vec::with_capacity(weight.len());
    for place in 0..places {
        innermost.extend((0..channels).map(|channel| weight[channel * places + place]));
    }
    // No branch: in a stem, or between stages.
    let is_map = !is_inside(sum) && (moves || !walk.is_read_twice(node));
    if is_map
        || moves
            && sum
                .as_norm()
                .is_some_and(|norm| !norm.source.is_behind_mean())
    {
        let reduction = Reduction::Sum {
            weight: innermost,
            bias,
        };
        return embed(walk, node, sum, (window, kernel_shape), reduction);
    }
    if moves {
        return refuse(format!(
            "a depthwise convolution of {height}x{width}, strides {:?}, padding {:?}",
            window.strides, window.padding
        ));
    }
    // Behind BatchNorm, which left a factor and a term of each channel.
    let fixed = sum.as_fixed().filter(|_| sum.plain().is_none());
    let input = match fixed.map(Term::Norm).or_else(|| sum.absorbed()) {
        Some(input @ (Term::Linear(_) | Term::Activated(..) | Term::Norm(_)))
            if !input.is_behind_mean() =>
        {
            input
        }
        // A feature map, perhaps one that a layer is still to be found for.
        _ if !is_inside(sum) => Term::Stream(walk.stream(node, sum)),
        _ => {
            return refuse(format!(
                "a depthwise convolution of {} belongs to no known layer",
                sum.describe()
            ));
        }
    };
    let term = Term::Depthwise(Shared::new(DepthwiseTerm {
        input,
        depthwise: Depthwise {
            window: kernel_shape,
            weight: innermost,
            bias,
        },
    }));
    Ok(Form::of(term, sum.shape, Order::ChannelsFirst))
}
