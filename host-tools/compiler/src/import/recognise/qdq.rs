//! Pairs of `QuantizeLinear` and `DequantizeLinear`: a value passes unchanged, and
//! what it is rounded to is taken down.

use super::Problem;
use super::activation;
use super::form::{Form, Term};
use super::walk::Walk;
use crate::import::constant_folding::QdqParameters;
use crate::import::graph::Node;
use crate::import::trained_scales::{LayerScales, TrainedScale, TrainedScales};

/// Whole numbers have no meaning of their own: what dequantizes them looks
/// through.
pub(crate) fn quantize(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    walk.form(node)?;
    Ok(Form::Opaque)
}

/// Whether a `Clip` bounds whole numbers, for a narrow range or for few bits.
pub(crate) fn narrows(walk: &Walk<'_>, node: &Node) -> bool {
    producer(walk, node).is_some_and(|producer| producer.op == "QuantizeLinear")
}

/// The value before it was quantized; its scale is taken down.
pub(crate) fn dequantize(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let outside = || {
        Problem::new(
            "it dequantizes whole numbers that no `QuantizeLinear` made",
            "export in QDQ form: float operators between pairs of `QuantizeLinear` and \
             `DequantizeLinear`, not operators on integers",
        )
    };
    let clip = producer(walk, node).filter(|producer| producer.op == "Clip");
    let quantize = producer(walk, clip.unwrap_or(node))
        .filter(|producer| producer.op == "QuantizeLinear")
        .ok_or_else(outside)?;
    let form = walk.form(quantize)?;
    let read = |node| {
        QdqParameters::of(walk.graph, node)?.ok_or_else(|| {
            Problem::new(
                "its scale or zero point depends on the image",
                "quantize statically, with scales that are constants",
            )
        })
    };
    let (rounding, back) = (read(quantize)?, read(node)?);
    if (&rounding.scales, &rounding.zero_points) != (&back.scales, &back.zero_points) {
        return Err(Problem::new(
            format!(
                "its scale or zero point is not that of the `QuantizeLinear` node `{}`",
                quantize.name
            ),
            "let both nodes of a pair have the same scale and zero point",
        ));
    }
    let (&[scale], &[zero_point]) = (&rounding.scales[..], &rounding.zero_points[..]) else {
        return Err(Problem::new(
            format!(
                "the feature map is rounded with {} scales, one a channel",
                rounding.scales.len()
            ),
            "quantize activations with one scale a tensor; weights may have one a channel",
        ));
    };
    let (mut lowest, mut highest) = rounding.limits;
    if let Some(clip) = clip {
        let bound = |index| match walk.constant(clip, index).and_then(|t| t.as_ints()) {
            Some(&[bound]) => Some(bound),
            _ => None,
        };
        lowest = lowest.max(bound(1).unwrap_or(lowest));
        highest = highest.min(bound(2).unwrap_or(highest));
    }
    if !(lowest..=highest).contains(&zero_point) {
        return Err(Problem::new(
            format!(
                "its zero point {zero_point} is none of its whole numbers {lowest} to {highest}"
            ),
            "export the network again",
        ));
    }
    let scale = TrainedScale {
        scale,
        zero_point,
        lowest,
        highest,
    };
    // All below zero is cut off, which is how tools write a ReLU.
    let form = match form {
        Form::Map(sum) if zero_point == lowest => activation::rectified(&sum),
        form => form,
    };
    walk.rounded.push((form.clone(), scale));
    Ok(form)
}

/// The scales of all layers; none if nothing in the graph is rounded.
pub(crate) fn scales(walk: &Walk<'_>) -> Option<TrainedScales> {
    let rounds = |node: &Node| node.op == "DequantizeLinear";
    if !walk.graph.nodes.iter().any(rounds) {
        return None;
    }
    let mut scales = TrainedScales {
        layers: vec![LayerScales::default(); walk.layers.len()],
        exact: 0,
    };
    for (form, scale) in &walk.rounded {
        match place(walk, form, &mut scales.layers) {
            Some(place) => *place = Some(*scale),
            None => scales.exact += 1,
        }
    }
    Some(scales)
}

/// Where a layer keeps the scale of a value, if the integer network stores it.
fn place<'a>(
    walk: &Walk<'_>,
    form: &Form,
    layers: &'a mut [LayerScales],
) -> Option<&'a mut Option<TrainedScale>> {
    let Form::Map(sum) = form else {
        return None;
    };
    let sum = walk.settle(sum.clone());
    match sum.plain()? {
        Term::Stream(id) => Some(&mut layers.get_mut(walk.writer(*id)?)?.output),
        term @ Term::Linear(_) => Some(&mut layers.get_mut(layer_of(walk, term)?)?.pre_activation),
        Term::Activated(argument, _) => {
            Some(&mut layers.get_mut(layer_of(walk, argument)?)?.hidden)
        }
        _ => None,
    }
}

/// The layer whose branch has these values before its activation.
fn layer_of(walk: &Walk<'_>, argument: &Term) -> Option<usize> {
    let (_, id) = walk.settled.iter().find(|(sum, _)| {
        sum.terms.iter().any(|(term, _)| match term {
            Term::Linear(linear) => match &linear.input {
                Term::Activated(found, _) => **found == *argument,
                _ => false,
            },
            _ => false,
        })
    })?;
    walk.writer(*id)
}

fn producer<'a>(walk: &Walk<'a>, node: &Node) -> Option<&'a Node> {
    let id = walk.graph.value(node.input(0)?).producer?;
    Some(walk.graph.node(id))
}
