//! A graph that is written anew, node by node.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::RULES;
use crate::import::constant_folding::{self, Pads, QdqParameters};
use crate::import::graph::{Attribute, Data, Graph, Node, NodeId, Tensor, Value, ValueId};

/// Most elements of the constants that are made for a graph.
const MAX_ELEMENTS: usize = 1 << 26;
/// Most rules that are applied to what a rule made.
const MAX_DEPTH: usize = 16;

/// A graph whose nodes are written anew: the nodes so far, in execution order.
pub(super) struct Edit<'a> {
    graph: &'a mut Graph,
    /// The nodes as they were.
    nodes: Vec<Node>,
    budget: usize,
    depth: usize,
}

impl<'a> Edit<'a> {
    pub(super) fn new(graph: &'a mut Graph) -> Self {
        let nodes = std::mem::take(&mut graph.nodes);
        for value in &mut graph.values {
            value.producer = None;
        }
        Self {
            graph,
            nodes,
            budget: MAX_ELEMENTS,
            depth: 0,
        }
    }

    /// The nodes as they were, to be emitted one after the other.
    pub(super) fn take_nodes(&mut self) -> Vec<Node> {
        std::mem::take(&mut self.nodes)
    }

    /// Writes a node, or what the first rule that applies makes of it.
    pub(super) fn emit(&mut self, node: Node) {
        let constant = node
            .output()
            .is_some_and(|output| self.graph.constant(output).is_some());
        if !constant && self.depth < MAX_DEPTH {
            self.depth += 1;
            let applied = RULES.iter().any(|rule| (rule.apply)(self, &node).is_some());
            self.depth -= 1;
            if applied {
                return;
            }
        }
        let id = NodeId(self.graph.nodes.len());
        for output in node.outputs.iter().flatten() {
            self.graph.values[output.0].producer = Some(id);
        }
        self.graph.nodes.push(node);
    }

    /// Drops what nothing reads any more.
    pub(super) fn finish(self) {
        self.graph.prune();
    }

    /// The node that makes a value.
    pub(super) fn producer(&self, value: ValueId) -> Option<&Node> {
        let id = self.graph.value(value).producer?;
        Some(self.graph.node(id))
    }

    /// Whether a value is the image, up to what is done to each of its values.
    pub(super) fn is_image(&self, mut value: ValueId) -> bool {
        while value != self.graph.input {
            let Some(node) = self.producer(value) else {
                return false;
            };
            let pointwise = [
                "Identity",
                "Cast",
                "Add",
                "Sub",
                "Mul",
                "Div",
                "Transpose",
                "QuantizeLinear",
                "DequantizeLinear",
            ];
            let mut inputs = node.inputs.iter().flatten();
            let map = inputs.find(|id| self.constant(**id).is_none());
            match map.filter(|_| pointwise.contains(&node.op.as_str())) {
                Some(&map) => value = map,
                None => return false,
            }
        }
        true
    }

    /// The node that makes a value, past nodes that hand on what they read.
    pub(super) fn maker(&self, value: ValueId) -> Option<&Node> {
        self.producer(self.source(value))
    }

    /// The value that nodes in between only hand on, or round. In a form that a rule
    /// rewrites, the integer network keeps such values exact.
    pub(super) fn source(&self, mut value: ValueId) -> ValueId {
        while let Some(node) = self.producer(value) {
            let from = match node.op.as_str() {
                "Identity" => node.input(0),
                "DequantizeLinear" => self.rounded(node),
                _ => None,
            };
            match from {
                Some(from) => value = from,
                None => break,
            }
        }
        value
    }

    /// The value that a pair of `QuantizeLinear` and `DequantizeLinear` rounds; none if the
    /// pair may be a ReLU as well.
    fn rounded(&self, dequantize: &Node) -> Option<ValueId> {
        let quantize = self
            .producer(dequantize.input(0)?)
            .filter(|node| node.op == "QuantizeLinear")?;
        let value = quantize.input(0)?;
        let parameters = QdqParameters::of(self.graph, quantize).ok().flatten()?;
        let (lowest, _) = parameters.limits;
        let cuts = parameters.zero_points.contains(&lowest);
        (!cuts || self.is_not_negative(value, MAX_DEPTH)).then_some(value)
    }

    /// Whether a value is certainly not below zero, as far as `depth` nodes tell.
    fn is_not_negative(&self, value: ValueId, depth: usize) -> bool {
        if let Some(constant) = self.constant(value) {
            return constant.to_floats().iter().all(|&value| value >= 0.0);
        }
        let (Some(node), Some(depth)) = (self.producer(value), depth.checked_sub(1)) else {
            return false;
        };
        let is_operand = |index: usize| {
            node.input(index)
                .is_some_and(|id| self.is_not_negative(id, depth))
        };
        match node.op.as_str() {
            "Sigmoid" | "HardSigmoid" | "Relu" | "Softplus" | "Abs" | "Sqrt" => true,
            "Clip" => node.inputs.len() == 1 && node.float("min", -1.0) >= 0.0,
            "Mul" if node.input(0) == node.input(1) => true,
            "Pow" => node.input(1).and_then(|id| self.scalar(id)) == Some(2.0),
            "ReduceMean" | "Identity" | "Reciprocal" | "Tanh" => is_operand(0),
            "Add" | "Mul" | "Div" => {
                // One of the two is a constant, so that there is one way to follow.
                self.with_constant(node).is_some() && is_operand(0) && is_operand(1)
            }
            "DequantizeLinear" => node
                .input(0)
                .and_then(|id| self.producer(id))
                .and_then(|quantize| {
                    quantize
                        .input(0)
                        .filter(|_| quantize.op == "QuantizeLinear")
                })
                .is_some_and(|id| self.is_not_negative(id, depth)),
            _ => false,
        }
    }

    /// Whether both are one value.
    pub(super) fn same(&self, a: ValueId, b: ValueId) -> bool {
        self.source(a) == self.source(b)
    }

    /// Elements of a value that does not depend on the image.
    pub(super) fn constant(&self, value: ValueId) -> Option<&Arc<Tensor>> {
        self.graph.constant(value)
    }

    /// The only element of a constant, as a real number.
    pub(super) fn scalar(&self, value: ValueId) -> Option<f32> {
        self.constant(value)?.as_number()
    }

    /// The number that every element of a constant is.
    pub(super) fn uniform(&self, value: ValueId) -> Option<f32> {
        let values = self.constant(value)?.to_floats();
        let (first, rest) = values.split_first()?;
        rest.iter().all(|value| value == first).then_some(*first)
    }

    /// The values that a `Pad` adds, if they are known.
    pub(super) fn pads(&self, node: &Node) -> Option<Pads> {
        Pads::of(self.graph, node).ok().flatten()
    }

    pub(super) fn shape(&self, value: ValueId) -> Option<&[usize]> {
        self.graph.shape(value)
    }

    /// Both inputs of a node in either order: the constant and the other one.
    pub(super) fn with_constant(&self, node: &Node) -> Option<(ValueId, ValueId)> {
        let (a, b) = (node.input(0)?, node.input(1)?);
        match (self.constant(a), self.constant(b)) {
            (Some(_), None) => Some((a, b)),
            (None, Some(_)) => Some((b, a)),
            _ => None,
        }
    }

    /// A new constant; none if all of them together are too large.
    pub(super) fn tensor(&mut self, shape: Vec<usize>, values: Vec<f32>) -> Option<ValueId> {
        self.data(shape, Data::Float(values))
    }

    /// A new list of whole numbers.
    pub(super) fn integers(&mut self, values: Vec<i64>) -> Option<ValueId> {
        self.data(vec![values.len()], Data::Int(values))
    }

    /// A new real number.
    pub(super) fn number(&mut self, value: f32) -> Option<ValueId> {
        self.tensor(vec![], vec![value])
    }

    fn data(&mut self, shape: Vec<usize>, data: Data) -> Option<ValueId> {
        let tensor = Tensor { shape, data };
        self.budget = self.budget.checked_sub(tensor.len())?;
        Some(self.value(Value {
            shape: Some(tensor.shape.clone()),
            constant: Some(Arc::new(tensor)),
            ..Value::default()
        }))
    }

    fn value(&mut self, value: Value) -> ValueId {
        self.graph.values.push(value);
        ValueId(self.graph.values.len() - 1)
    }

    /// A new value that `op` makes, in the place of a part of `origin`.
    pub(super) fn make(&mut self, origin: &Node, op: &str, inputs: &[ValueId]) -> ValueId {
        self.make_with(origin, op, inputs, BTreeMap::new())
    }

    /// The same with attributes.
    pub(super) fn make_with(
        &mut self,
        origin: &Node,
        op: &str,
        inputs: &[ValueId],
        attributes: BTreeMap<String, Attribute>,
    ) -> ValueId {
        let output = self.value(Value::default());
        let node = Node {
            outputs: vec![Some(output)],
            ..node(origin, op, inputs, attributes)
        };
        // A contradiction leaves the shape unknown, which the recognition reports.
        let _ = constant_folding::complete(self.graph, &node, &mut self.budget);
        self.emit(node);
        output
    }

    /// Lets `op` make what `origin` made.
    pub(super) fn replace(&mut self, origin: &Node, op: &str, inputs: &[ValueId]) {
        self.replace_with(origin, op, inputs, BTreeMap::new());
    }

    /// The same with attributes.
    pub(super) fn replace_with(
        &mut self,
        origin: &Node,
        op: &str,
        inputs: &[ValueId],
        attributes: BTreeMap<String, Attribute>,
    ) {
        self.emit(node(origin, op, inputs, attributes));
    }
}

fn node(
    origin: &Node,
    op: &str,
    inputs: &[ValueId],
    attributes: BTreeMap<String, Attribute>,
) -> Node {
    Node {
        name: origin.name.clone(),
        op: op.to_owned(),
        inputs: inputs.iter().copied().map(Some).collect(),
        outputs: origin.outputs.clone(),
        attributes,
    }
}
