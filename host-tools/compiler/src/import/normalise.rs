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
mod mean;
mod norm;
mod padding;
mod pool;
mod preprocessing;
mod tail;

use crate::import::graph::{Graph, Node, ValueId};
use edit::Edit;
pub use preprocessing::{FileInput, Layout};

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
type Rule = fn(&mut Edit, &Node) -> Option<()>;

/// In the order in which they are tried.
const RULES: [Rule; 16] = [
    elementwise::cast,
    elementwise::sum,
    elementwise::negation,
    elementwise::power,
    elementwise::quotient,
    batch_norm::affine,
    activation::bounds,
    activation::gated,
    activation::fused,
    padding::merge,
    pool::counted,
    pool::downsampling,
    mean::sum,
    mean::of_mean,
    norm::variance,
    norm::distributed,
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
