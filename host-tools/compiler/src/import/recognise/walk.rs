//! State of the recognition: meanings of values, layers found, problems met.

use std::rc::Rc;
use std::sync::Arc;

use super::form::{Form, NormTerm, Order, StreamId, Sum, Term, add_scaled, product};
use super::names::Names;
use super::{Branch, Problem, Unsupported, qdq};
use crate::import::graph::{Graph, Node, NodeId, Tensor, ValueId};
use crate::import::trained_scales::{TrainedScale, TrainedScales};
use crate::layers::{Part, RESIDUAL_LAYERS, head};
use crate::network::{
    Activation, DepthwiseEmbedding, Layer, LayerName, MetaFormer, NormScope, Op, PatchEmbedding,
    Reduction, Shape,
};

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
    /// Values that are rounded, and to what.
    pub(crate) rounded: Vec<(Form, TrainedScale)>,
    /// How often each value is read by a node whose result depends on the image.
    uses: Vec<usize>,
    /// Values behind a report whose sizes are not known.
    lost: Vec<bool>,
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
            rounded: Vec::new(),
            uses: uses(graph),
            lost: vec![false; graph.values.len()],
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
                        "Add" | "Sub" | "Mul" | "Div" | "Identity" | "Cast"
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

    /// Takes a factor and a term of each channel into the convolution that writes `sum`, if
    /// nothing else reads what it writes.
    pub(crate) fn absorb(
        &mut self,
        node: &Node,
        index: usize,
        sum: &Sum,
        factors: &[f32],
        terms: &[f32],
    ) -> bool {
        let Some(op) = self.embedding(node, index, sum) else {
            return false;
        };
        let bias = match op {
            Op::PatchEmbedding(PatchEmbedding { linear, .. }) => {
                linear.scale_rows(factors);
                &mut linear.bias
            }
            Op::DepthwiseEmbedding(DepthwiseEmbedding {
                reduction: Reduction::Sum { weight, bias },
                ..
            }) => {
                for weights in weight.chunks_exact_mut(factors.len().max(1)) {
                    let scaled = product(weights, factors);
                    weights.copy_from_slice(&scaled);
                }
                *bias = product(bias, factors);
                bias
            }
            _ => return false,
        };
        add_scaled(bias, terms, 1.0);
        if !is_finite(op) {
            self.report(
                node,
                Problem::new(
                    "a parameter of its layer is infinite or not a number",
                    "train again, with a lower learning rate",
                ),
            );
        }
        true
    }

    /// Takes a ReLU or ReLU6 into the convolution or pool that writes `sum`, if nothing else
    /// reads what it writes.
    pub(crate) fn rectify(&mut self, node: &Node, sum: &Sum, activation: Activation) -> bool {
        match self.embedding(node, 0, sum) {
            Some(
                Op::PatchEmbedding(PatchEmbedding { rectifier, .. })
                | Op::DepthwiseEmbedding(DepthwiseEmbedding { rectifier, .. }),
            ) => {
                *rectifier = Some(activation);
                true
            }
            _ => false,
        }
    }

    /// The embedding that writes `sum`, if it ends without a rectifier and only `node` reads
    /// what it writes, at `index`.
    fn embedding(&mut self, node: &Node, index: usize, sum: &Sum) -> Option<&mut Op> {
        let alone = node.input(index).is_some_and(|id| self.uses[id.0] == 1);
        let (true, Some(Term::Stream(id))) = (alone, sum.plain()) else {
            return None;
        };
        let newest = id.0 + 1 == self.streams.len();
        let layer = self.writer(*id).filter(|_| newest)?;
        let op = &mut self.layers.get_mut(layer)?.op;
        (op.part() == Part::Embedding && op.rectifier().is_none()).then_some(op)
    }

    /// The feature map behind an activation of its own: in a stem.
    pub(crate) fn activate(
        &mut self,
        node: &Node,
        source: StreamId,
        activation: Activation,
    ) -> Option<Form> {
        let shape = *self.streams.get(source.0)?;
        let behind = self.layers.get(self.writer(source)?)?;
        if !matches!(
            behind.op.part(),
            Part::Embedding | Part::Norm | Part::Position
        ) || !matches!(
            behind.name,
            LayerName::Embedding { .. }
                | LayerName::EmbeddingNorm { .. }
                | LayerName::Position { .. }
        ) {
            return None;
        }
        let producer = node.output().and_then(|id| self.graph.value(id).producer);
        let id = self.push(producer, source, shape, Op::Activation(activation), None);
        Some(Form::of(Term::Stream(id), shape, Order::ChannelsFirst))
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

    /// The feature map that the first input of `node` is, found as a layer's
    /// output if need be.
    pub(crate) fn stream(&mut self, node: &Node, sum: &Sum) -> StreamId {
        if let Some(Term::Stream(id)) = sum.plain() {
            return *id;
        }
        let producer = node.input(0).and_then(|id| self.graph.value(id).producer);
        if !sum.is_unknown() {
            if let Some(id) = self.post_norm(producer, sum) {
                return id;
            }
            if let (Some(norm), Some((Term::Stream(source), _))) = (sum.as_fixed(), sum.single()) {
                // A factor and a term of each channel that no layer has a place for.
                let op = Op::Norm(norm.norm.clone());
                return self.push(producer, *source, sum.shape, op, Some(sum));
            }
            match self.residual(sum) {
                Ok((op, source)) => {
                    let shape = self.streams[source.0];
                    return self.push(producer, source, shape, op, Some(sum));
                }
                Err(problem) => {
                    let culprit = producer.map_or(node, |id| self.graph.node(id));
                    self.report(culprit, problem);
                }
            }
        }
        let id = StreamId(self.streams.len());
        self.streams.push(sum.shape);
        self.settled.push((Rc::new(sum.clone()), id));
        id
    }

    /// Adds a layer that reads `source`; the feature map it writes.
    pub(crate) fn push(
        &mut self,
        last_node: Option<NodeId>,
        source: StreamId,
        output: Shape,
        op: Op,
        sum: Option<&Sum>,
    ) -> StreamId {
        let culprit = last_node.map(|id| self.graph.node(id));
        if let Some(node) = culprit {
            if source.0 + 1 != self.streams.len() {
                self.report(node, Problem::new(
                    "it reads a feature map of an earlier layer than the one before it",
                    "connect the layers in a chain; skip connections across blocks have no place in this family",
                ));
            }
            if !is_finite(&op) {
                self.report(
                    node,
                    Problem::new(
                        "a parameter of its layer is infinite or not a number",
                        "train again, with a lower learning rate",
                    ),
                );
            }
            if self.layers.is_empty() && op.part() != Part::Embedding {
                self.report(
                    node,
                    Problem::new(
                        "a layer comes before the first patch embedding",
                        "let the network begin with a convolution",
                    ),
                );
            }
        }
        let name = self.names.next(&op);
        if let Some(node) = culprit
            && self.layers.iter().any(|layer| layer.name == name)
        {
            self.report(
                node,
                Problem::new(
                    format!("it is a second {} at one place (`{name}`)", op.kind()),
                    "fold the two into one before the export",
                ),
            );
        }
        let nodes = last_node.map_or(Vec::new(), |id| self.claim(id));
        let mut input = self.streams[source.0];
        if let Op::Head(head) = &op
            && head.reads() == input.elements()
        {
            // All of the map as one token.
            input = Shape {
                height: 1,
                width: 1,
                channels: head.reads(),
            };
        }
        self.layers.push(Layer {
            name,
            nodes,
            input,
            output,
            op,
        });
        let id = StreamId(self.streams.len());
        self.streams.push(output);
        if let Some(sum) = sum {
            self.settled.push((Rc::new(sum.clone()), id));
        }
        id
    }

    /// Whether a sum is a norm right behind a patch embedding.
    pub(crate) fn is_post_norm(&self, sum: &Sum) -> bool {
        let behind_embedding = self
            .layers
            .last()
            .is_some_and(|layer| layer.op.part() == Part::Embedding);
        let newest = |norm: &NormTerm| match norm.source {
            Term::Stream(id) => id.0 + 1 == self.streams.len(),
            _ => false,
        };
        behind_embedding && sum.as_norm().is_some_and(|norm| newest(&norm))
    }

    /// The feature map that a norm right behind a patch embedding is.
    fn post_norm(&mut self, producer: Option<NodeId>, sum: &Sum) -> Option<StreamId> {
        let own = sum.as_norm().filter(|_| self.is_post_norm(sum))?;
        let NormTerm {
            source: Term::Stream(source),
            norm,
        } = &*own
        else {
            return None;
        };
        let op = Op::Norm(norm.clone());
        let id = self.push(producer, *source, sum.shape, op, Some(sum));
        self.post_norms.push((Term::Norm(own.clone()), id));
        Some(id)
    }

    /// The layer that writes a feature map.
    pub(crate) fn writer(&self, id: StreamId) -> Option<usize> {
        id.0.checked_sub(1)
    }

    /// The network, or everything that stood in the way.
    pub(crate) fn finish(
        mut self,
    ) -> Result<(MetaFormer, Option<TrainedScales>), Vec<Unsupported>> {
        let producer = self.graph.value(self.graph.output).producer;
        let form = self.forms[self.graph.output.0].clone();
        let scores = match &form {
            Some(Form::Map(sum)) => head::recognise::of_scores(sum),
            _ => None,
        };
        match (scores, form) {
            (Some((op, source)), Some(Form::Map(sum))) => {
                self.push(producer, source, sum.shape, op, None);
            }
            (None, Some(Form::Map(sum))) if self.is_feature_map(&sum) => {
                if let Some(node) = producer.map(|id| self.graph.node(id)) {
                    self.output_map(node, &sum);
                }
            }
            _ if !self.problems.is_empty() => {}
            (_, form) => {
                let what = form.map_or("nothing".to_owned(), |form| form.describe());
                let problem = Problem::new(
                    format!(
                        "the graph's output is {what}, neither the scores of a classifier nor a \
                         feature map"
                    ),
                    "export the whole network, with its head or ending behind a block",
                );
                match producer {
                    Some(id) => self.report(self.graph.node(id), problem),
                    None => self.problems.push(Unsupported {
                        node: self.graph.value(self.graph.output).name.clone(),
                        op: "output".to_owned(),
                        what: problem.what,
                        remedy: problem.remedy,
                    }),
                }
            }
        }
        let channels = self.streams[0].channels;
        if !matches!(channels, 1 | 3 | 4) && self.problems.is_empty() {
            self.problems.push(Unsupported {
                node: self.graph.value(self.graph.input).name.clone(),
                op: "input".to_owned(),
                what: format!("the image has {channels} channels"),
                remedy: "use one channel (gray), three (colour) or four".to_owned(),
            });
        }
        match self.problems.is_empty() {
            true => {
                let scales = qdq::scales(&self);
                let network = MetaFormer {
                    input: self.streams[0],
                    layers: self.layers,
                };
                Ok((network, scales))
            }
            false => Err(self.problems),
        }
    }

    /// Whether a sum is a feature map or a residual layer.
    fn is_feature_map(&self, sum: &Sum) -> bool {
        let is_stream = |(term, _): &(Term, _)| matches!(term, Term::Stream(_));
        !sum.is_unknown() && !self.layers.is_empty() && sum.terms.iter().any(is_stream)
    }

    /// Ends a network without a head with a feature map.
    fn output_map(&mut self, node: &Node, sum: &Sum) {
        if !matches!(sum.plain(), Some(Term::Stream(_))) {
            match self.residual(sum) {
                Ok((op, source)) => {
                    let producer = node.output().and_then(|id| self.graph.value(id).producer);
                    self.push(producer, source, self.streams[source.0], op, Some(sum));
                }
                Err(problem) => self.report(node, problem),
            }
        }
        if sum.order == Order::ChannelsLast && !sum.has_one_axis() {
            self.report(
                node,
                Problem::new(
                    "the feature map that the network ends with has its channels innermost",
                    "export it with channels first",
                ),
            );
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

    /// The residual layer that computes a sum, and the feature map it reads.
    fn residual(&self, sum: &Sum) -> Result<(Op, StreamId), Problem> {
        let mut streams = sum.terms.iter().filter_map(|(term, factors)| match term {
            Term::Stream(id) => Some((*id, factors)),
            _ => None,
        });
        let nothing = vec![0.0; sum.shape.channels];
        let (source, factors) = match (streams.next(), streams.next()) {
            (Some(stream), None) => stream,
            (Some(_), Some(_)) => {
                return Err(Problem::new(
                    "it adds two feature maps",
                    "connect the layers in a chain; skip connections across blocks have no place in this family",
                ));
            }
            (None, _) => match replaced(sum) {
                Some(id) => (id, &nothing),
                None => {
                    return Err(Problem::new(
                        format!(
                            "{} is used as feature map without a residual add",
                            sum.describe()
                        ),
                        "add every branch to its input, as in `x + mixer(norm(x))`",
                    ));
                }
            },
        };
        let terms: Vec<_> = sum
            .terms
            .iter()
            .filter(|(term, _)| !matches!(term, Term::Stream(_)))
            .collect();
        let branch = Branch {
            source,
            terms: &terms,
            bias: &sum.bias,
            res_scale: factors,
        };
        for layer in RESIDUAL_LAYERS {
            if let Some(op) = (layer.recognise)(&branch) {
                return Ok((op?, source));
            }
        }
        Err(Problem::new(
            format!(
                "{} is neither a token mixer nor a channel MLP",
                sum.describe()
            ),
            "use a token mixer of the papers, and linear, activation, linear as channel MLP",
        ))
    }

    /// Names of the nodes that `last` depends on and that no layer has yet.
    fn claim(&mut self, last: NodeId) -> Vec<String> {
        let mut found = Vec::new();
        let mut stack = vec![last];
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut self.claimed[id.0], true) {
                continue;
            }
            let node = self.graph.node(id);
            if node
                .output()
                .is_none_or(|output| self.graph.constant(output).is_none())
            {
                found.push(id);
            }
            let inputs = node.inputs.iter().flatten();
            stack.extend(inputs.filter_map(|&input| self.graph.value(input).producer));
        }
        found.sort_unstable();
        found
            .into_iter()
            .map(|id| self.graph.node(id).name.clone())
            .collect()
    }
}

/// The feature map that its own pool takes the place of: `x + (pool(x) - x)`.
pub(super) fn replaced(sum: &Sum) -> Option<StreamId> {
    match sum.single()? {
        (Term::Pool(norm, _), _) if norm.norm.scope == NormScope::Fixed => match norm.source {
            Term::Stream(id) => Some(id),
            _ => None,
        },
        _ => None,
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

/// Whether every parameter of a layer is a finite number.
fn is_finite(op: &Op) -> bool {
    op.values()
        .iter()
        .all(|list| list.iter().all(|v| v.is_finite()))
}
