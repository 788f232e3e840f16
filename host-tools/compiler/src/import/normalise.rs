//! Rewrites a graph into the forms that the recognition knows.
//!
//! Exporters write the same arithmetic in many ways: BatchNorm as one operator, a ReLU as
//! a `Clip`, a norm multiplied out. Here each becomes one form, so that the recognition
//! sees what is computed and not who wrote it. One rule a file; each is exact by
//! arithmetic, and a form that no rule knows stays as it is.

mod activation;
mod batch_norm;
mod edit;
mod elementwise;
mod file_input;
mod gate;
mod index_list;
mod mean;
mod norm;
mod padding;
mod planes;
mod pool;
mod preprocessing;
mod tail;

use crate::import::graph::{Graph, Node, ValueId};
use edit::Edit;
pub use file_input::{FileInput, Order};

/// A graph in the forms that the recognition knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Normal {
    /// Its input is the image as the first convolution reads it, its output the scores or
    /// a feature map.
    pub graph: Graph,
    /// The value of the graph as it was that [`graph`](Self::graph) ends with.
    pub output: ValueId,
    /// How the file takes an image.
    pub input: FileInput,
    /// Sentences for people about what was left out or moved.
    pub notes: Vec<String>,
}

/// Replaces a node by others, or leaves it.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// The forms that it takes and what it makes of them.
    pub(super) forms: &'static str,
    apply: fn(&mut Edit, &Node) -> Option<()>,
}

const fn rule(forms: &'static str, apply: fn(&mut Edit, &Node) -> Option<()>) -> Rule {
    Rule { forms, apply }
}

/// In the order in which they are tried.
pub(super) const RULES: [Rule; 20] = [
    rule(
        "`CastLike`: everything is computed in float32",
        elementwise::cast,
    ),
    rule(
        "`Sum` and `Mean` of several values, as `Add`",
        elementwise::sum,
    ),
    rule("`Neg`, as a product", elementwise::negation),
    rule(
        "a list of indices along an axis as `GatherND`, as `Gather`",
        index_list::gather,
    ),
    rule("`Pow` with a whole number of any type", elementwise::power),
    rule("a constant divided by a value", elementwise::quotient),
    rule(
        "`BatchNormalization` with fixed statistics, as a factor and a term of each channel",
        batch_norm::affine,
    ),
    rule(
        "ReLU and ReLU6 as `Clip`, `Max` or `Min`",
        activation::bounds,
    ),
    rule(
        "ReLU and LeakyReLU as `Where` by the sign, LeakyReLU as `Max`",
        activation::chosen,
    ),
    rule(
        "SiLU, Hardswish and Mish as a product with a gate",
        gate::gated,
    ),
    rule(
        "sigmoid and softplus written out with `Exp`",
        gate::logistic,
    ),
    rule(
        "`QuickGelu`, `FastGelu`, `BiasGelu`, `PRelu` of one slope, `Selu`, `Celu`",
        activation::fused,
    ),
    rule(
        "an explicit `Pad` with zeros before a window",
        padding::merge,
    ),
    rule(
        "an average pool of the image, as a convolution",
        pool::of_image,
    ),
    rule(
        "an average pool of stride 1 that counts its padding, as a depthwise convolution",
        pool::counted,
    ),
    rule("a mean as a sum and a factor", mean::sum),
    rule("the mean over all tokens in several steps", mean::of_mean),
    rule(
        "a variance as the mean of squares less the square of the mean",
        norm::variance,
    ),
    rule(
        "a norm that is multiplied out: `x a + (b - m a)`",
        norm::distributed,
    ),
    rule("RMSNorm that is written out", norm::root_mean_square),
];

/// The normal form of a [folded](crate::import::constant_folding::fold) graph.
pub fn normalise(graph: &Graph) -> Normal {
    let mut graph = graph.clone();
    let mut notes = tail::cut(&mut graph);
    let output = graph.output;
    let mut edit = Edit::new(&mut graph);
    for node in edit.take_nodes() {
        edit.emit(node);
    }
    edit.finish();
    let input = preprocessing::take(&mut graph);
    notes.extend(input.note());
    Normal {
        graph,
        output,
        input,
        notes,
    }
}
