//! Self-attention: `x + layer_scale * projection(softmax(scale * q * k^T) * v)`.

use crate::import::graph::Node;
use crate::import::recognise::form::{Form, LinearTerm, NormTerm, Shared, Term};
use crate::import::recognise::residual;
use crate::import::recognise::strided::Strided;
use crate::import::recognise::walk::{Operand, Walk};
use crate::import::recognise::{Branch, Problem};
use crate::network::{Attention, Linear, Op, Shape};

const REMEDY: &str = "use self-attention of the form \
     `softmax(scale * queries * keys^T) * values`, with queries, keys and values from linear \
     layers of one norm of the feature map";

/// `scale * q * k^T` of every head, or its softmax.
#[derive(Debug, PartialEq)]
pub(crate) struct Weights {
    pub(crate) queries: Part,
    pub(crate) keys: Part,
    pub(crate) scale: f32,
    pub(crate) is_softmax: bool,
    /// Of the feature map.
    pub(crate) shape: Shape,
}

/// Outputs of a linear layer that belong together, heads outermost.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) norm: Shared<NormTerm>,
    pub(crate) heads: usize,
    pub(crate) linear: Linear,
}

/// The heads' weighted sums of the values.
#[derive(Debug, PartialEq)]
pub(crate) struct Attended {
    pub(crate) norm: Shared<NormTerm>,
    pub(crate) heads: usize,
    pub(crate) scale: f32,
    pub(crate) qkv: Linear,
}

/// The product of two values that depend on the image.
pub(crate) fn product(walk: &mut Walk<'_>, left: Form, right: Form) -> Result<Form, Problem> {
    match (left, right) {
        (Form::Opaque, _) | (_, Form::Opaque) => Ok(Form::Opaque),
        (Form::Strided(queries), Form::Strided(keys)) => {
            let scale = queries.scale * keys.scale;
            let [.., (across, _), _] = keys.axes[..] else {
                return Err(stray());
            };
            let rank = keys.axes.len();
            let order: Vec<usize> = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
            let keys = keys.permuted(&order);
            walk.spend(2 * across)?;
            Ok(Form::Weights(Shared::new(Weights {
                queries: part(walk, &queries)?,
                keys: part(walk, &keys)?,
                scale,
                is_softmax: false,
                shape: queries.shape,
            })))
        }
        (Form::Weights(weights), Form::Strided(values)) if weights.is_softmax => {
            Ok(attend(walk, &weights, &values)?.form())
        }
        _ => Err(stray()),
    }
}

/// Products of queries and keys with a factor.
pub(crate) fn scaled(weights: &Weights, factor: f32) -> Result<Form, Problem> {
    if weights.is_softmax {
        return Err(stray());
    }
    Ok(Form::Weights(Shared::new(Weights {
        queries: weights.queries.clone(),
        keys: weights.keys.clone(),
        scale: weights.scale * factor,
        ..*weights
    })))
}

/// `Softmax` over the keys.
pub(crate) fn softmax(walk: &Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let last = walk.shape(node, 0).len() as i64 - 1;
    match walk.form(node)? {
        Form::Opaque => Ok(Form::Opaque),
        Form::Weights(weights)
            if !weights.is_softmax && [-1, last].contains(&node.int("axis", -1)) =>
        {
            Ok(Form::Weights(Shared::new(Weights {
                queries: weights.queries.clone(),
                keys: weights.keys.clone(),
                is_softmax: true,
                ..*weights
            })))
        }
        Form::Map(sum) if sum.is_unknown() => Ok(walk.unknown(node)),
        form => Err(Problem::new(
            format!("a softmax of {} belongs to no known layer", form.describe()),
            "export the network without a softmax behind the head, and use softmax over the keys \
             in attention only",
        )),
    }
}

/// `Attention`, all of it as one operator.
pub(crate) fn fused(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    if let Some(option) = refused_option(node) {
        return Err(Problem::new(
            format!("the attention {option}"),
            "use plain self-attention: no mask, not causal, no cache, no cap, one head of keys \
             and values for each head of queries",
        ));
    }
    let mut parts = Vec::with_capacity(3);
    for (index, heads) in ["q_num_heads", "kv_num_heads", "kv_num_heads"]
        .into_iter()
        .enumerate()
    {
        let strided = match walk.operand(node, index) {
            Some(Operand::Form(Form::Opaque)) => return Ok(Form::Opaque),
            Some(Operand::Form(Form::Map(sum))) if sum.is_unknown() => {
                return Ok(walk.unknown(node));
            }
            Some(Operand::Form(Form::Strided(strided))) => Some(strided),
            Some(Operand::Form(Form::Map(sum))) => Strided::of(&sum, walk.shape(node, index)),
            _ => None,
        };
        let heads = usize::try_from(node.int(heads, 0)).unwrap_or(0);
        parts.push(
            strided
                .and_then(|part| by_heads(part, heads))
                .ok_or_else(stray)?,
        );
    }
    let Ok([queries, keys, values]) = <[Strided; 3]>::try_from(parts) else {
        return Err(stray());
    };
    let size = queries.axes.last().map_or(1, |(size, _)| *size);
    let scale = node.float("scale", 1.0 / (size as f32).sqrt());
    let weights = Weights {
        queries: part(walk, &queries)?,
        keys: part(walk, &keys)?,
        scale: queries.scale * keys.scale * scale,
        is_softmax: true,
        shape: queries.shape,
    };
    let attended = attend(walk, &weights, &values)?;
    let shape = walk.output_shape(node);
    match shape.len() {
        3 => {
            let attended = attended.permuted(&[0, 2, 1, 3]).reshaped(shape);
            Ok(attended.ok_or_else(stray)?.form())
        }
        _ => Ok(attended.form()),
    }
}

/// The feature of an `Attention` node that no layer of the family has.
fn refused_option(node: &Node) -> Option<&'static str> {
    let is_given = |index: usize| node.input(index).is_some();
    let heads = ["q_num_heads", "kv_num_heads"].map(|name| node.int(name, 0));
    let has_more = node.outputs.iter().skip(1).any(Option::is_some);
    [
        (is_given(3), "has a mask"),
        (
            is_given(4) || is_given(5) || is_given(6),
            "has a cache of keys and values",
        ),
        (has_more, "hands on more than its result"),
        (node.int("is_causal", 0) != 0, "is causal"),
        (node.float("softcap", 0.0) != 0.0, "caps its scores"),
        (heads[0] != heads[1], "shares keys and values among heads"),
    ]
    .into_iter()
    .find_map(|(refused, what)| refused.then_some(what))
}

/// As batch x heads x tokens x size: three axes do not tell heads apart.
fn by_heads(part: Strided, heads: usize) -> Option<Strided> {
    match part.axes[..] {
        [_, _, _, _] => Some(part),
        [(batch, _), (tokens, _), (size, _)] if heads > 0 && size.is_multiple_of(heads) => {
            let split = part.reshaped(&[batch, tokens, heads, size / heads])?;
            Some(split.permuted(&[0, 2, 1, 3]))
        }
        _ => None,
    }
}

/// `softmax * v`: as heads x tokens x size.
fn attend(walk: &mut Walk<'_>, weights: &Weights, values: &Strided) -> Result<Strided, Problem> {
    let scale = values.scale;
    let rank = values.axes.len();
    let values = part(walk, values)?;
    let parts = [&weights.queries, &weights.keys, &values];
    let Part { norm, heads, .. } = &values;
    if parts
        .iter()
        .any(|part| part.norm != *norm || part.heads != *heads)
        || scale != 1.0
    {
        return Err(stray());
    }
    let [queries, keys, values] = parts.map(|part| &part.linear);
    if [keys.outputs, values.outputs] != [queries.outputs; 2] {
        return Err(Problem::new(
            "the queries, keys and values of the attention differ in size",
            "use one head size for queries, keys and values",
        ));
    }
    let inner = queries.outputs;
    let qkv = Linear {
        outputs: 3 * inner,
        inputs: queries.inputs,
        weight: [queries, keys, values].map(|l| &l.weight[..]).concat(),
        bias: [queries, keys, values].map(|l| &l.bias[..]).concat(),
    };
    walk.spend(qkv.weight.len())?;
    let size = inner / heads.max(&1);
    let (tokens, shape) = (weights.shape.tokens(), weights.shape);
    let mut axes = vec![(1, 0); rank.saturating_sub(3)];
    axes.extend([(*heads, size), (tokens, inner), (size, 1)]);
    axes.drain(..axes.len().saturating_sub(rank));
    let term = Term::Attended(Shared::new(Attended {
        norm: norm.clone(),
        heads: *heads,
        scale: weights.scale,
        qkv,
    }));
    Ok(Strided {
        term,
        shape: Shape {
            channels: inner,
            ..shape
        },
        scale: 1.0,
        offset: 0,
        axes,
    })
}

/// The rows of a linear layer that a tensor of heads x tokens x size holds.
fn part(walk: &mut Walk<'_>, strided: &Strided) -> Result<Part, Problem> {
    let Term::Linear(linear) = &strided.term else {
        return Err(stray());
    };
    let Term::Norm(norm) = &linear.input else {
        return Err(stray());
    };
    let channels = strided.shape.channels;
    let [outer @ .., (tokens, step), (size, within)] = &strided.axes[..] else {
        return Err(stray());
    };
    let mut heads = outer.iter().filter(|(size, _)| *size != 1);
    let (heads, apart) = match (heads.next(), heads.next()) {
        (None, _) => (1, 0),
        (Some(&heads), None) => heads,
        _ => return Err(stray()),
    };
    let reach = strided.offset + heads.saturating_sub(1) * apart + size.saturating_sub(1) * within;
    let fits = *tokens == strided.shape.tokens() && (*step == channels || *tokens == 1);
    if !fits || reach >= channels {
        return Err(stray());
    }
    let inputs = linear.linear.inputs;
    walk.spend(heads * size * inputs)?;
    let mut rows = Linear {
        outputs: heads * size,
        inputs,
        weight: Vec::with_capacity(heads * size * inputs),
        bias: Vec::with_capacity(heads * size),
    };
    for head in 0..heads {
        for place in 0..*size {
            let row = strided.offset + head * apart + place * within;
            let weights = &linear.linear.weight[row * inputs..][..inputs];
            rows.weight.extend_from_slice(weights);
            rows.bias.push(linear.linear.bias[row]);
        }
    }
    Ok(Part {
        norm: norm.clone(),
        heads,
        linear: rows,
    })
}

/// The layer whose branch is `branch` plus `bias`, if it is an attention.
pub(crate) fn layer(branch: &Branch<'_>) -> Option<Result<Op, Problem>> {
    let &Branch {
        source,
        terms: branch,
        bias,
        res_scale,
    } = branch;
    let [(Term::Linear(linear), factors)] = branch else {
        return None;
    };
    let LinearTerm { input, linear } = &**linear;
    let Term::Attended(attended) = input else {
        return None;
    };
    if attended.norm.source != Term::Stream(source) {
        return Some(Err(Problem::new(
            "the attention is added to another feature map than the one it reads",
            "use blocks of the form `x + layer_scale * attention(norm(x))`",
        )));
    }
    let (projection, layer_scale) = linear.last_of_branch(factors, bias);
    Some(Ok(Op::Attention(Attention {
        norm: attended.norm.norm.clone(),
        heads: attended.heads,
        scale: attended.scale,
        qkv: attended.qkv.clone(),
        projection,
        residual: residual(layer_scale, res_scale),
    })))
}

fn stray() -> Problem {
    Problem::new(
        "a product of two values that depend on the image belongs to no known layer",
        REMEDY,
    )
}
