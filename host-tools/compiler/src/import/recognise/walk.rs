//! State of the recognition: meanings of values, layers found, problems met.

mod embeddings;
mod ending;
mod layers;

use std::rc::Rc;
use std::sync::Arc;

use super::form::{Form, Order, StreamId, Sum, Term};
use super::names::Names;
use super::{Problem, Unsupported};
use crate::import::graph::{Graph, Node, Tensor, ValueId};
use crate::import::trained_scales::TrainedScale;
use crate::network::{Layer, Shape};
pub(super) use layers::replaced;

/// Most values that are stored for the meanings of all values of a graph: some
/// times the weights of the largest MetaFormers.
const MAX_ELEMENTS: usize = 1 << 28;

/// An input of a node.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Constant(Arc<Tensor>),
    Form(Form),
}

pub(crate) struct Walk<'a> {
    pub(crate) graph: &'a Graph,
    forms: Vec<Option<Form>>,
    /// Shapes of the feature maps, the image first.
    streams: Vec<Shape>,
    /// Sums that became feature maps.
    pub(crate) settled: Vec<(Rc<Sum>, StreamId)>,
    /// Norms right behind a patch embedding.
    post_norms: Vec<(Term, StreamId)>,
    pub(crate) layers: Vec<Layer>,
    /// Nodes that belong to a layer.
    claimed: Vec<bool>,
    names: Names,
    problems: Vec<Unsupported>,
    /// Feature maps that stand for something reported.
    reported: Vec<StreamId>,
    /// Values that are rounded, and to what.
    pub(crate) rounded: Vec<(Form, TrainedScale)>,
    /// How often each value is read by a node whose result depends on the image.
    uses: Vec<usize>,
    /// Values behind a report whose sizes are not known.
    lost: Vec<bool>,
    /// Values behind a report of which nothing is known.
    behind: Vec<bool>,
    /// Values that may still be stored.
    budget: usize,
}

impl<'a> Walk<'a> {
    /// A walk that knows the image.
    pub(crate) fn new(graph: &'a Graph) -> Self {
        let mut walk = Self {
            graph,
            forms: vec![None; graph.values.len()],
            streams: Vec::new(),
            settled: Vec::new(),
            post_norms: Vec::new(),
            layers: Vec::new(),
            claimed: vec![false; graph.nodes.len()],
            names: Names::default(),
            problems: Vec::new(),
            reported: Vec::new(),
            rounded: Vec::new(),
            uses: uses(graph),
            lost: vec![false; graph.values.len()],
            behind: vec![false; graph.values.len()],
            budget: MAX_ELEMENTS,
        };
        let shape = match graph.shape(graph.input) {
            Some(&[_, channels, height, width]) => Shape {
                height,
                width,
                channels,
            },
            _ => Shape {
                height: 0,
                width: 0,
                channels: 0,
            },
        };
        let image = walk.add_stream(shape);
        walk.forms[graph.input.0] = Some(image);
        walk
    }

    /// The meaning of a node's input; `None` if it was omitted.
    pub(crate) fn operand(&self, node: &Node, index: usize) -> Option<Operand> {
        let id = node.input(index)?;
        if let Some(constant) = self.graph.constant(id) {
            return Some(Operand::Constant(constant.clone()));
        }
        let form = self.forms[id.0].clone().unwrap_or(Form::Opaque);
        Some(Operand::Form(match form {
            Form::Map(sum) => Form::Map(self.settle(sum)),
            other => other,
        }))
    }

    /// The meaning of the first input; constants there are refused.
    pub(crate) fn form(&self, node: &Node) -> Result<Form, Problem> {
        match self.operand(node, 0) {
            Some(Operand::Form(form)) => Ok(form),
            Some(Operand::Constant(_)) => Err(Problem::new(
                "the operator is not evaluated on constants",
                "export with constant folding",
            )),
            None => Err(Problem::new(
                "an input is missing",
                "export the network again",
            )),
        }
    }

    /// The constant input at `index`, if it is one.
    pub(crate) fn constant(&self, node: &Node, index: usize) -> Option<&'a Arc<Tensor>> {
        self.graph.constant(node.input(index)?)
    }

    /// Shape of the input at `index`; empty if not known.
    pub(crate) fn shape(&self, node: &Node, index: usize) -> &'a [usize] {
        node.input(index)
            .and_then(|id| self.graph.shape(id))
            .unwrap_or(&[])
    }

    /// Shape of the first output; empty if not known.
    pub(crate) fn output_shape(&self, node: &Node) -> &'a [usize] {
        node.output()
            .and_then(|id| self.graph.shape(id))
            .unwrap_or(&[])
    }

    pub(crate) fn set(&mut self, value: ValueId, form: Form) {
        self.forms[value.0] = Some(form);
    }

    /// Takes from the values that may be stored, which bounds the memory that a
    /// file of few bytes can ask for.
    pub(crate) fn spend(&mut self, elements: usize) -> Result<(), Problem> {
        match self.budget.checked_sub(elements) {
            Some(budget) => {
                self.budget = budget;
                Ok(())
            }
            None => {
                self.budget = 0;
                Err(Problem::new(
                    "the network is too large",
                    "use fewer layers or channels",
                ))
            }
        }
    }

    /// Whether a node reads what was lost behind a report, so that there is nothing to say
    /// of it.
    pub(crate) fn is_lost(&self, node: &Node) -> bool {
        node.inputs.iter().flatten().any(|input| self.lost[input.0])
    }

    /// Whether a node reads what another one that was reported made of the image.
    pub(crate) fn is_behind(&self, node: &Node) -> bool {
        let mut inputs = node.inputs.iter().flatten();
        inputs.any(|input| self.behind[input.0])
    }

    /// Takes down whether what a node makes is behind a report, and nothing is known of it.
    pub(crate) fn follow(&mut self, node: &Node, form: &Form) {
        let is_unknown = match form {
            Form::Opaque => true,
            Form::Map(sum) => sum.is_unknown(),
            _ => false,
        };
        let named = self
            .problems
            .last()
            .is_some_and(|last| last.node == node.name);
        let is_behind = is_unknown && (named || self.is_behind(node));
        for output in node.outputs.iter().flatten() {
            self.behind[output.0] = is_behind;
        }
    }

    /// Loses what a node makes, unless its sizes are known.
    pub(crate) fn lose(&mut self, node: &Node) {
        for output in node.outputs.iter().flatten() {
            self.lost[output.0] |= self.graph.shape(*output).is_none();
        }
    }

    /// Whether the map that a node reads, perhaps with a factor and a term of each channel,
    /// is read by something else as well: by the residual add of a branch.
    pub(crate) fn is_read_twice(&self, node: &Node) -> bool {
        let mut value = node.input(0);
        while let Some(id) = value {
            if self.uses[id.0] > 1 {
                return true;
            }
            let producer = self.graph.value(id).producer.map(|id| self.graph.node(id));
            value = match producer {
                Some(node)
                    if matches!(
                        node.op.as_str(),
                        "Add"
                            | "Sub"
                            | "Mul"
                            | "Div"
                            | "Identity"
                            | "Cast"
                            | "QuantizeLinear"
                            | "DequantizeLinear"
                    ) =>
                {
                    let mut maps = node.inputs.iter().flatten();
                    let map = maps.find(|id| self.graph.constant(**id).is_none()).copied();
                    map.filter(|_| maps.all(|id| self.graph.constant(*id).is_some()))
                }
                _ => None,
            };
        }
        false
    }

    /// Whether several nodes read what a node makes.
    pub(crate) fn is_shared(&self, node: &Node) -> bool {
        node.output().is_some_and(|output| self.uses[output.0] > 1)
    }

    /// Records what is wrong with a node.
    pub(crate) fn report(&mut self, node: &Node, problem: Problem) {
        self.problems.push(Unsupported {
            node: node.name.clone(),
            op: node.op.clone(),
            what: problem.what,
            remedy: problem.remedy,
        });
    }

    /// The meaning of a node's output after a report: a map if it looks like one.
    pub(crate) fn unknown(&self, node: &Node) -> Form {
        match self.output_shape(node) {
            &[1, channels, height, width] if height * width > 0 => {
                let shape = Shape {
                    height,
                    width,
                    channels,
                };
                Form::Map(Rc::new(Sum::of(Term::Unknown, shape, Order::ChannelsFirst)))
            }
            _ => Form::Opaque,
        }
    }

    fn add_stream(&mut self, shape: Shape) -> Form {
        let id = StreamId(self.streams.len());
        self.streams.push(shape);
        Form::Map(Rc::new(Sum::of(
            Term::Stream(id),
            shape,
            Order::ChannelsFirst,
        )))
    }

    /// The sum in terms of the newest feature maps.
    pub(crate) fn settle(&self, sum: Rc<Sum>) -> Rc<Sum> {
        match self
            .settled
            .iter()
            .rev()
            .find(|(known, _)| known.same_map(&sum))
        {
            Some((_, id)) => Rc::new(Sum::of(Term::Stream(*id), sum.shape, sum.order)),
            None => self.behind_embeddings(sum),
        }
    }

    /// The sum with norms right behind patch embeddings as feature maps.
    fn behind_embeddings(&self, sum: Rc<Sum>) -> Rc<Sum> {
        let id = |term: &Term| {
            let found = self.post_norms.iter().find(|(norm, _)| norm == term);
            found.map(|(_, id)| *id)
        };
        if sum.terms.iter().all(|(term, _)| id(term).is_none()) {
            return sum;
        }
        let mut sum = Sum::clone(&sum);
        for (term, _) in &mut sum.terms {
            if let Some(id) = id(term) {
                *term = Term::Stream(id);
            }
        }
        Rc::new(sum)
    }
}

/// How often each value is read, by the graph's output too.
fn uses(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0; graph.values.len()];
    uses[graph.output.0] = 1;
    let depends = |node: &&Node| {
        node.output()
            .is_none_or(|output| graph.constant(output).is_none())
    };
    for node in graph.nodes.iter().filter(depends) {
        for input in node.inputs.iter().flatten() {
            uses[input.0] += 1;
        }
    }
    uses
}
