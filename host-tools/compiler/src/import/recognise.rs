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
pub(crate) mod convolution;
mod depthwise;
mod einsum;
pub(crate) mod form;
mod layout;
pub(crate) mod linear;
mod names;
mod norm;
mod qdq;
mod remedy;
mod reshape;
pub(crate) mod strided;
pub(crate) mod walk;
mod whole;

use std::fmt;

use crate::import::constant_folding::Contradiction;
use crate::import::graph::{Graph, Node};
use crate::import::trained_scales::TrainedScales;
use crate::layers::{attention, head, pooling};
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
                    walk.report(node, problem);
                    walk.lose(node);
                }
            }
            continue;
        }
        let form = match meaning(&mut walk, node) {
            Ok(form) => form,
            Err(problem) => {
                walk.report(node, problem);
                walk.lose(node);
                walk.unknown(node)
            }
        };
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

/// The meaning of a node's first output.
fn meaning(walk: &mut Walk<'_>, node: &Node) -> Result<Form, Problem> {
    match node.op.as_str() {
        "Identity" => walk.form(node),
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => reshape::view(walk, node),
        // Its input's shape is not known, which was reported where it was lost.
        "Shape" => Ok(Form::Opaque),
        "QuantizeLinear" => qdq::quantize(walk, node),
        "Clip" if qdq::narrows(walk, node) => Ok(Form::Opaque),
        "Clip" if walk.constant(node, 1).or(walk.constant(node, 2)).is_some() => {
            Err(remedy::unsupported("Clip"))
        }
        "DequantizeLinear" => qdq::dequantize(walk, node),
        "Dropout" => reshape::dropout(walk, node),
        "Cast" => reshape::cast(walk, node),
        "Transpose" => reshape::transpose(walk, node),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" => arithmetic::lower(walk, node),
        "Sqrt" | "Reciprocal" => norm::root(walk, node),
        "InstanceNormalization" => norm::instance(walk, node),
        "GroupNormalization" => norm::group(walk, node),
        "LayerNormalization" => norm::layer(walk, node),
        "ReduceMean" => norm::reduce_mean(walk, node),
        "GlobalAveragePool" => head::recognise::mean(walk, node),
        "AveragePool" => pooling::recognise::lower(walk, node),
        "Relu" | "Gelu" | "com.microsoft.Gelu" | "Clip" | "Swish" | "HardSwish" | "Mish"
        | "LeakyRelu" | "Elu" | "Sigmoid" | "HardSigmoid" | "Softplus" => {
            activation::lower(walk, node)
        }
        "Erf" => activation::erf(walk, node),
        "Tanh" => activation::tanh(walk, node),
        "Slice" => reshape::slice(walk, node),
        "Gather" => reshape::gather(walk, node),
        "Einsum" => einsum::lower(walk, node),
        "Softmax" => attention::recognise::softmax(walk, node),
        "Attention" => attention::recognise::fused(walk, node),
        "Conv" => convolution::lower(walk, node),
        "MatMul" | "Gemm" => linear::lower(walk, node),
        op => Err(remedy::unsupported(op)),
    }
}

/// How a branch with these factors joins a residual stream with those.
pub(crate) fn residual(layer_scale: Vec<f32>, res_scale: &[f32]) -> Residual {
    Residual {
        layer_scale,
        res_scale: res_scale.to_vec(),
    }
}
