//! The separable convolution:
//! `x + layer_scale * fc2(act2(depthwise(act1(fc1(norm(x))))))`.

use crate::import::constant_folding::Window;
use crate::import::recognise::form::{DepthwiseTerm, Form, Order, Shared, Sum, Term};
use crate::import::recognise::{Branch, Problem, residual};
use crate::network::{Activation, Depthwise, Op, SepConv};

const REMEDY: &str = "use depthwise convolutions of an odd window, stride 1, padded to keep the \
     shape, between the two linear layers of a separable convolution only";

/// A convolution of each channel; `weight` is `channels x window`.
pub(crate) fn depthwise(
    sum: &Sum,
    kernel: [usize; 2],
    window: &Window,
    weight: &[f32],
    bias: Vec<f32>,
) -> Result<Form, Problem> {
    let refuse = |what: String| Err(Problem::new(what, REMEDY));
    let [height, width] = kernel;
    let padding = [height / 2, width / 2, height / 2, width / 2];
    if height % 2 == 0 || width % 2 == 0 || window.strides != [1, 1] || window.padding != padding {
        return refuse(format!(
            "a depthwise convolution of {height}x{width}, strides {:?}, padding {:?}",
            window.strides, window.padding
        ));
    }
    let input = match sum.absorbed() {
        Some(input @ (Term::Linear(_) | Term::Activated(..))) if !input.is_behind_mean() => input,
        _ => {
            return refuse(format!(
                "a depthwise convolution of {} belongs to no known layer",
                sum.describe()
            ));
        }
    };
    let (channels, places) = (sum.shape.channels, height * width);
    let mut innermost = Vec::with_capacity(weight.len());
    for place in 0..places {
        innermost.extend((0..channels).map(|channel| weight[channel * places + place]));
    }
    let term = Term::Depthwise(Shared::new(DepthwiseTerm {
        input,
        depthwise: Depthwise {
            kernel,
            weight: innermost,
            bias,
        },
    }));
    Ok(Form::of(term, sum.shape, Order::ChannelsFirst))
}

/// The layer whose branch is `branch` plus `bias`, if it is a separable
/// convolution.
pub(crate) fn layer(branch: &Branch<'_>) -> Option<Result<Op, Problem>> {
    let &Branch {
        source,
        terms: branch,
        bias,
        res_scale,
    } = branch;
    let [(Term::Linear(outer), factors)] = branch else {
        return None;
    };
    let (argument, act2) = activated(&outer.input);
    let Term::Depthwise(conv) = argument else {
        return None;
    };
    let (argument, act1) = activated(&conv.input);
    let Term::Linear(inner) = argument else {
        return None;
    };
    let Term::Norm(norm) = &inner.input else {
        return None;
    };
    if norm.source != Term::Stream(source) {
        return Some(Err(Problem::new(
            "the separable convolution is added to another feature map than the one it reads",
            "use blocks of the form `x + layer_scale * sep_conv(norm(x))`",
        )));
    }
    let (fc2, layer_scale) = outer.linear.last_of_branch(factors, bias);
    Some(Ok(Op::SepConv(SepConv {
        norm: norm.norm.clone(),
        fc1: inner.linear.clone(),
        act1,
        depthwise: conv.depthwise.clone(),
        act2,
        fc2,
        residual: residual(layer_scale, res_scale),
    })))
}

/// What an activation reads, and the activation; the term itself if it is none.
fn activated(term: &Term) -> (&Term, Option<Activation>) {
    match term {
        Term::Activated(argument, activation) => (argument, Some(*activation)),
        term => (term, None),
    }
}
