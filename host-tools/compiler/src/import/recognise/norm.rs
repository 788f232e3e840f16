//! GroupNorm with one group, LayerNorm and RMSNorm, as one operator or written out.

use super::Problem;
use super::axes::{self, Reduced};
use super::form::{Form, NormTerm, Order, Shared, Statistic, StatisticKind, Sum, Term};
use super::walk::Walk;
use crate::import::constant_folding::reduced_axes;
use crate::import::graph::{Node, Tensor};
use crate::layers::head::recognise as head;
use crate::network::{Norm, NormScope, Shape};

const ONE_GROUP: &str = "train with GroupNorm of one group (`GroupNorm(1, channels)`) or with \
     LayerNorm over the channels of each token";

/// `InstanceNormalization` of a map that was reshaped to one channel.
pub(crate) fn instance(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let groups = walk.shape(node, 0).get(1).copied().unwrap_or(1);
    if let (Form::Map(sum), true) = (walk.form(node)?, groups != 1) {
        let (what, remedy) = match groups == sum.shape.channels {
            true => ("the norm is over each channel".to_owned(), ONE_GROUP),
            false => (format!("the norm has {groups} groups"), ONE_GROUP),
        };
        walk.report(node, Problem::new(what, remedy));
        return normalised(walk, node, [None, None]);
    }
    let parameters = [walk.constant(node, 1), walk.constant(node, 2)];
    let [Some(_), Some(_)] = parameters else {
        return Err(computed());
    };
    let parameters = parameters.map(|p| p.map(AsRef::as_ref));
    normalised(walk, node, parameters)
}

/// `GroupNormalization`: weights per group before operator set 21, per channel
/// from then on.
pub(crate) fn group(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let groups = node.int("num_groups", 1);
    if groups != 1 {
        walk.report(
            node,
            Problem::new(format!("the norm has {groups} groups"), ONE_GROUP),
        );
        return normalised(walk, node, [None, None]);
    }
    let parameters = [walk.constant(node, 1), walk.constant(node, 2)];
    let [Some(_), Some(_)] = parameters else {
        return Err(computed());
    };
    let parameters = parameters.map(|p| p.map(AsRef::as_ref));
    normalised(walk, node, parameters)
}

/// `LayerNormalization` over the channels of each token, or over the whole map.
pub(crate) fn layer(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let sum = match walk.form(node)? {
        Form::Map(sum) if !sum.is_unknown() => sum,
        Form::Map(_) | Form::Opaque => return Ok(walk.unknown(node)),
        form => return Err(misplaced(&form)),
    };
    let norm = Norm {
        scope: trailing(walk, node, sum.shape, sum.order)?,
        centred: true,
        gamma: spread(walk, node, 1, &sum, 1.0)?,
        beta: spread(walk, node, 2, &sum, 0.0)?,
        epsilon: node.float("epsilon", 1e-5),
    };
    Ok(of(walk, node, &sum, norm))
}

/// `RMSNormalization` over the channels of each token, or over the whole map; of values whose
/// mean was taken off it is the norm with a mean.
pub(crate) fn root_mean_square(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let epsilon = node.float("epsilon", 1e-5);
    let sum = match walk.form(node)? {
        Form::Map(sum) if !sum.is_unknown() => sum,
        Form::Map(_) | Form::Opaque => return Ok(walk.unknown(node)),
        Form::Statistic(statistic) if statistic.kind == StatisticKind::Centred => {
            let scope = trailing(walk, node, statistic.shape, statistic.order)?;
            return match scope == statistic.scope && node.input(1).is_none() {
                true => Ok(complete(statistic, epsilon)),
                false => Err(Problem::new(
                    "the variance is not over the values that the mean is over",
                    ONE_GROUP,
                )),
            };
        }
        form => return Err(misplaced(&form)),
    };
    let norm = Norm {
        scope: trailing(walk, node, sum.shape, sum.order)?,
        centred: false,
        gamma: spread(walk, node, 1, &sum, 1.0)?,
        beta: vec![0.0; sum.shape.channels],
        epsilon,
    };
    Ok(of(walk, node, &sum, norm))
}

/// Which values share their statistics in a norm over `axes`, or from `axis` on.
fn trailing(walk: &Walk<'_>, node: &Node, map: Shape, order: Order) -> Result<NormScope, Problem> {
    let shape = walk.shape(node, 0);
    let first = match node.int("axis", -1) {
        first @ ..0 => first.saturating_add(shape.len() as i64),
        first => first,
    };
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    let axes: Vec<usize> = match node.ints("axes") {
        Some(axes) => axes
            .iter()
            .filter_map(|&axis| axis.try_into().ok())
            .collect(),
        None => (first..shape.len()).collect(),
    };
    let places = axes::find(shape, map.channels, map.tokens(), order);
    match axes::reduced(shape, places, &axes) {
        Reduced::Everything => Ok(NormScope::Map),
        Reduced::Channels => Ok(NormScope::Token),
        Reduced::Tokens | Reduced::Other => Err(Problem::new(
            format!("a norm over the axes {axes:?} is not supported"),
            ONE_GROUP,
        )),
    }
}

/// An optional factor or term of each channel.
fn spread(
    walk: &Walk<'_>,
    node: &Node,
    index: usize,
    sum: &Sum,
    default: f32,
) -> Result<Vec<f32>, Problem> {
    let (channels, tokens) = (sum.shape.channels, sum.shape.tokens());
    match walk.constant(node, index) {
        _ if node.input(index).is_none() => Ok(vec![default; channels]),
        Some(tensor) => {
            let shape = walk.shape(node, 0);
            axes::per_channel(tensor, shape, channels, tokens, sum.order)
        }
        None => Err(computed()),
    }
}

/// `ReduceMean`: a step of a norm, or the head's mean over tokens.
pub(crate) fn reduce_mean(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let form = walk.form(node)?;
    let shape = walk.shape(node, 0);
    let axes = match walk.constant(node, 1) {
        Some(tensor) => tensor.as_ints(),
        None => node.ints("axes"),
    };
    let axes = reduced_axes(node, shape.len(), axes)?;
    match form {
        Form::Opaque => Ok(Form::Opaque),
        Form::Map(sum) => {
            let (channels, tokens) = (sum.shape.channels, sum.shape.tokens());
            let places = axes::find(shape, channels, tokens, sum.order);
            match axes::reduced(shape, places, &axes) {
                Reduced::Everything | Reduced::Channels | Reduced::Other if sum.is_unknown() => {
                    Ok(Form::Opaque)
                }
                Reduced::Everything => Ok(mean(walk, node, &sum, NormScope::Map)),
                Reduced::Channels => Ok(mean(walk, node, &sum, NormScope::Token)),
                Reduced::Tokens => Ok(head::mean_of(walk, node, &sum)),
                Reduced::Other => Err(Problem::new(
                    format!("a mean over the axes {axes:?} is not supported"),
                    "take means over all tokens of all channels in norms, and over all tokens in \
                     the head",
                )),
            }
        }
        Form::Statistic(statistic) if statistic.kind == StatisticKind::Square => {
            let (channels, tokens) = (statistic.shape.channels, statistic.shape.tokens());
            let places = axes::find(shape, channels, tokens, statistic.order);
            match (axes::reduced(shape, places, &axes), statistic.scope) {
                (Reduced::Everything, NormScope::Map) | (Reduced::Channels, NormScope::Token) => {
                    Ok(Form::Statistic(Statistic {
                        kind: StatisticKind::Variance,
                        ..statistic
                    }))
                }
                _ => Err(Problem::new(
                    "the variance is not over the values that the mean is over",
                    ONE_GROUP,
                )),
            }
        }
        form => Err(Problem::new(
            format!("a mean of {} belongs to no known layer", form.describe()),
            "take means of feature maps only",
        )),
    }
}

/// `Sqrt` and `Reciprocal`, which occur in norms only.
pub(crate) fn root(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let form = walk.form(node)?;
    if node.op == "Reciprocal" {
        return reciprocal(form);
    }
    match form {
        Form::Opaque => Ok(Form::Opaque),
        Form::Map(sum) if sum.is_unknown() => Ok(walk.unknown(node)),
        Form::Statistic(
            statistic @ Statistic {
                kind: StatisticKind::Raised(epsilon),
                ..
            },
        ) => Ok(Form::Statistic(Statistic {
            kind: StatisticKind::Deviation(epsilon),
            ..statistic
        })),
        Form::Statistic(Statistic {
            kind: StatisticKind::Variance,
            ..
        }) => Err(Problem::new(
            "the norm takes the root of a variance that epsilon was not added to",
            "write it as `(x - mean) / sqrt(variance + epsilon)`, as `nn.LayerNorm` does",
        )),
        form => Err(outside(&form)),
    }
}

/// `1 / form`.
pub(crate) fn reciprocal(form: Form) -> Result<Form, Problem> {
    match form {
        Form::Opaque => Ok(Form::Opaque),
        Form::Statistic(
            statistic @ Statistic {
                kind: StatisticKind::Deviation(epsilon),
                ..
            },
        ) => Ok(Form::Statistic(Statistic {
            kind: StatisticKind::Inverse(epsilon),
            ..statistic
        })),
        form => Err(outside(&form)),
    }
}

/// A step of a norm that takes a constant, if there is one of this kind.
pub(crate) fn with_constant(statistic: Statistic, op: &str, value: Option<f32>) -> Option<Form> {
    use StatisticKind::*;
    let (value, mut factor) = (value?, statistic.factor);
    let kind = match (statistic.kind, op, value) {
        (Variance, "Mul" | "Div", value) if value > 0.0 && value.is_finite() => {
            factor *= if op == "Mul" { value } else { 1.0 / value };
            Variance
        }
        (Variance, "Add", epsilon) if epsilon >= 0.0 => Raised(epsilon),
        (Centred, "Pow", 2.0) => Square,
        (Raised(epsilon), "Pow", 0.5) => Deviation(epsilon),
        (Raised(epsilon), "Pow", -0.5) => Inverse(epsilon),
        _ => return None,
    };
    Some(Form::Statistic(Statistic {
        kind,
        factor,
        ..statistic
    }))
}

/// The norm that a last step completes, with the variance's factor in `statistic`; its
/// weights may still follow.
///
/// ```text
/// (x - mean) / sqrt(f variance + e) = (1 / sqrt(f)) (x - mean) / sqrt(variance + e / f)
/// ```
pub(crate) fn complete(statistic: Statistic, epsilon: f32) -> Form {
    let Statistic {
        scope,
        source,
        shape,
        order,
        factor,
        ..
    } = statistic;
    let norm = Norm {
        scope,
        centred: true,
        gamma: vec![1.0 / factor.sqrt(); shape.channels],
        beta: vec![0.0; shape.channels],
        epsilon: epsilon / factor,
    };
    Form::of(
        Term::Norm(Shared::new(NormTerm { source, norm })),
        shape,
        order,
    )
}

/// The mean of what is normalised, a first step.
fn mean(walk: &mut Walk<'_>, node: &Node, sum: &Sum, scope: NormScope) -> Form {
    Form::Statistic(Statistic {
        kind: StatisticKind::Mean,
        scope,
        source: source(walk, node, sum),
        shape: sum.shape,
        order: sum.order,
        factor: 1.0,
    })
}

/// The input of a norm: a feature map, or a step of the head.
fn source(walk: &mut Walk<'_>, node: &Node, sum: &Sum) -> Term {
    match sum.absorbed() {
        Some(term) if term.is_behind_mean() => term,
        _ => Term::Stream(walk.stream(node, sum)),
    }
}

/// The norm of a map.
fn of(walk: &mut Walk<'_>, node: &Node, sum: &Sum, norm: Norm) -> Form {
    let source = source(walk, node, sum);
    let term = Term::Norm(Shared::new(NormTerm { source, norm }));
    Form::of(term, sum.shape, sum.order)
}

/// The norm of the first input, with scale and bias per group or per channel.
fn normalised(
    walk: &mut Walk<'_>,
    node: &Node,
    [scale, bias]: [Option<&Tensor>; 2],
) -> Result<Form, Problem> {
    let sum = match walk.form(node)? {
        Form::Map(sum) if !sum.is_unknown() => sum,
        Form::Map(_) | Form::Opaque => return Ok(walk.unknown(node)),
        form => return Err(misplaced(&form)),
    };
    let channels = sum.shape.channels;
    let spread = |tensor: Option<&Tensor>, default: f32| match tensor {
        None => Ok(vec![default; channels]),
        Some(tensor) => match tensor.as_floats() {
            Some(&[value]) => Ok(vec![value; channels]),
            Some(values) if values.len() == channels => Ok(values.to_vec()),
            _ => Err(Problem::new(
                format!(
                    "{} norm weights do not fit {channels} channels",
                    tensor.len()
                ),
                "export the network again",
            )),
        },
    };
    let norm = Norm {
        scope: NormScope::Map,
        centred: true,
        gamma: spread(scale, 1.0)?,
        beta: spread(bias, 0.0)?,
        epsilon: node.float("epsilon", 1e-5),
    };
    Ok(of(walk, node, &sum, norm))
}

fn misplaced(form: &Form) -> Problem {
    Problem::new(
        format!("a norm of {} belongs to no known layer", form.describe()),
        "put norms in front of token mixers, channel MLPs and the head only",
    )
}

fn computed() -> Problem {
    Problem::new(
        "the norm's weights depend on the image",
        "export the network in inference mode",
    )
}

fn outside(form: &Form) -> Problem {
    Problem::new(
        format!(
            "a root or a reciprocal of {} belongs to no known layer",
            form.describe()
        ),
        "use them in norms only",
    )
}
