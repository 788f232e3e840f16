//! Recognises a MetaFormer in a float graph.
//!
//! Every value gets a meaning in terms of the network's feature maps
//! (`form::Form`): a sum of terms such as the map itself, its norm or the
//! pooled norm, each with a factor per channel. One rule an operator says how
//! meanings combine, so the order of operands and the place of a constant factor
//! do not matter. When a sum is read as a feature map, it must be a residual
//! layer: that is where layers are found.
//!
//! A rule that does not apply is reported, and the walk goes on with an unknown
//! meaning that later rules pass on silently. So everything that is not
//! supported is reported at once.

mod activation;
mod arithmetic;
pub(crate) mod axes;
pub(crate) mod convolution;
mod depthwise;
mod einsum;
pub(crate) mod form;
pub(crate) mod linear;
mod names;
mod norm;
mod qdq;
mod remedy;
mod reshape;
pub(crate) mod strided;
pub(crate) mod walk;
pub(super) mod whole;

use std::fmt;

use crate::import::constant_folding::Contradiction;
use crate::import::graph::{Graph, Node};
use crate::import::trained_scales::TrainedScales;
use crate::layers::{attention, depthwise_embedding, head, pooling};
use crate::network::{MetaFormer, Residual};
use form::{Form, StreamId, Term};
use walk::Walk;

/// Something in the network that has no place in the MetaFormer IR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// Name of the node.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// The unsupported feature.
    pub what: String,
    /// The remedy.
    pub remedy: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            op,
            what,
            remedy,
        } = self;
        write!(f, "node `{node}` ({op}): {what}; {remedy}")
    }
}

/// Lowers a graph to the MetaFormer IR, and gives the scales that its pairs of
/// `QuantizeLinear` and `DequantizeLinear` round to, if it has any. The graph must
/// have been [folded](crate::import::constant_folding::fold).
///
/// # Errors
/// Everything that is not supported, in execution order.
pub fn recognise(graph: &Graph) -> Result<(MetaFormer, Option<TrainedScales>), Vec<Unsupported>> {
    if let Some(problem) = whole::refuse(graph) {
        return Err(vec![problem]);
    }
    let mut walk = Walk::new(graph);
    for node in &graph.nodes {
        let Some(output) = node.output() else {
            continue;
        };
        if graph.constant(output).is_some() {
            continue;
        }
        if walk.is_lost(node) {
            walk.lose(node);
            let form = walk.unknown(node);
            walk.set(output, form);
            continue;
        }
        if node.op == "Split" {
            match reshape::split(&walk, node) {
                Ok(parts) => {
                    for (part, id) in parts.into_iter().zip(&node.outputs) {
                        id.iter().for_each(|&id| walk.set(id, part.clone()));
                    }
                }
                Err(problem) => {
                    if !walk.is_behind(node) {
                        walk.report(node, problem);
                    }
                    walk.lose(node);
                    walk.follow(node, &Form::Opaque);
                }
            }
            continue;
        }
        let form = match meaning(&mut walk, node) {
            Ok(form) => form,
            Err(problem) => {
                if !walk.is_behind(node) {
                    walk.report(node, problem);
                }
                walk.lose(node);
                walk.unknown(node)
            }
        };
        walk.follow(node, &form);
        if let Err(problem) = walk.spend(form.elements()) {
            walk.report(node, problem);
            break;
        }
        walk.set(output, form);
    }
    walk.finish()
}

/// A problem of a node, and its remedy.
#[derive(Debug)]
pub(crate) struct Problem {
    what: String,
    remedy: String,
}

/// The terms that a sum adds to one feature map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Branch<'a> {
    /// The feature map.
    pub(crate) source: StreamId,
    /// The terms that are added to it, with a factor for each channel.
    pub(crate) terms: &'a [&'a (Term, Vec<f32>)],
    /// A term for each channel.
    pub(crate) bias: &'a [f32],
    /// The factors of the feature map itself.
    pub(crate) res_scale: &'a [f32],
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl From<Contradiction> for Problem {
    fn from(what: Contradiction) -> Self {
        Self::new(what.to_string(), "export the network again")
    }
}

/// The operators of the graph, and which of them a layer has taken.
pub(super) struct Operators {
    pub(super) names: &'static [&'static str],
    /// Where the network may have them.
    pub(super) place: &'static str,
    /// The meaning of a node's first output.
    meaning: fn(&mut Walk<'_>, &Node) -> Result<Form, Problem>,
}

const fn operators(
    names: &'static [&'static str],
    place: &'static str,
    meaning: fn(&mut Walk<'_>, &Node) -> Result<Form, Problem>,
) -> Operators {
    Operators {
        names,
        place,
        meaning,
    }
}

const VIEWS: &str = "anywhere: another view of the same values";
const QDQ: &str = "between layers: rounding of a file that was trained or calibrated for integers";
const NORMS: &str = "norms, as one operator or written out";
const ACTIVATED: &str = "activations, as one operator or written out";

/// The operators that are read.
pub(super) const OPERATORS: &[Operators] = &[
    operators(&["Identity"], VIEWS, |walk, node| walk.form(node)),
    operators(
        &["Reshape", "Flatten", "Squeeze", "Unsqueeze"],
        VIEWS,
        |walk, node| reshape::view(walk, node),
    ),
    // Its input's shape is not known, which was reported where it was lost.
    operators(&["Shape"], VIEWS, |_, _| Ok(Form::Opaque)),
    operators(&["Transpose"], VIEWS, |walk, node| {
        reshape::transpose(walk, node)
    }),
    operators(&["Cast"], VIEWS, |walk, node| reshape::cast(walk, node)),
    operators(&["Dropout"], "anywhere, in inference mode", |walk, node| {
        reshape::dropout(walk, node)
    }),
    operators(&["QuantizeLinear"], QDQ, qdq::quantize),
    operators(&["DequantizeLinear"], QDQ, qdq::dequantize),
    operators(
        &["Add", "Sub", "Mul", "Div", "Pow"],
        "residual adds, biases, factors, position embeddings, norms and activations",
        arithmetic::lower,
    ),
    operators(&["Sqrt", "Reciprocal"], NORMS, |walk, node| {
        norm::root(walk, node)
    }),
    operators(&["InstanceNormalization"], NORMS, norm::instance),
    operators(&["GroupNormalization"], NORMS, norm::group),
    operators(&["LayerNormalization"], NORMS, norm::layer),
    operators(
        &[
            "RMSNormalization",
            "SimplifiedLayerNormalization",
            "com.microsoft.SimplifiedLayerNormalization",
        ],
        NORMS,
        norm::root_mean_square,
    ),
    operators(
        &["ReduceMean"],
        "norms, and the mean before the head",
        norm::reduce_mean,
    ),
    operators(
        &["GlobalAveragePool"],
        "the mean before the head",
        head::recognise::mean,
    ),
    operators(
        &["AveragePool"],
        "pooling mixers, pools in a stem or between stages, the mean before the head",
        pooling::recognise::lower,
    ),
    operators(
        &["MaxPool"],
        "pools in a stem or between stages",
        depthwise_embedding::recognise::max_pool,
    ),
    operators(
        &[
            "Relu",
            "Gelu",
            "com.microsoft.Gelu",
            "Swish",
            "HardSwish",
            "Mish",
            "LeakyRelu",
            "Elu",
            "Sigmoid",
            "HardSigmoid",
            "Softplus",
        ],
        ACTIVATED,
        activation::lower,
    ),
    operators(&["Clip"], ACTIVATED, clip),
    operators(&["Erf"], ACTIVATED, |walk, node| {
        activation::erf(walk, node)
    }),
    operators(&["Tanh"], ACTIVATED, activation::tanh),
    operators(
        &["Slice"],
        "parts of an attention's queries, keys and values",
        |walk, node| reshape::slice(walk, node),
    ),
    operators(
        &["Gather"],
        "parts of an attention's queries, keys and values",
        |walk, node| reshape::gather(walk, node),
    ),
    operators(
        &["Split"],
        "parts of an attention's queries, keys and values",
        |_, _| Err(remedy::unsupported("Split")),
    ),
    operators(&["Einsum"], "linear layers and attention", einsum::lower),
    operators(
        &["Softmax"],
        "attention, and behind the scores",
        |walk, node| attention::recognise::softmax(walk, node),
    ),
    operators(
        &["Attention"],
        "attention as one operator",
        attention::recognise::fused,
    ),
    operators(
        &["Conv"],
        "patch embeddings, stems, linear layers, depthwise and separable convolutions",
        convolution::lower,
    ),
    operators(
        &["MatMul", "Gemm"],
        "linear layers, random mixing, attention, heads",
        linear::lower,
    ),
];

/// The meaning of a node's first output.
fn meaning(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    let known = OPERATORS
        .iter()
        .find(|known| known.names.contains(&&*node.op));
    match known {
        Some(known) => (known.meaning)(walk, node),
        None => Err(remedy::unsupported(&node.op)),
    }
}

/// `Clip`: an activation, or what narrows values that are rounded.
fn clip(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    if qdq::narrows(walk, node) {
        return Ok(Form::Opaque);
    }
    match walk.constant(node, 1).or(walk.constant(node, 2)) {
        Some(_) => Err(remedy::unsupported("Clip")),
        None => activation::lower(walk, node),
    }
}

/// How a branch with these factors joins a residual stream with those.
pub(crate) fn residual(layer_scale: Vec<f32>, res_scale: &[f32]) -> Residual {
    Residual {
        layer_scale,
        res_scale: res_scale.to_vec(),
    }
}
