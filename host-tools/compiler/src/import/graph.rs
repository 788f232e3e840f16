//! The float graph: an imported network with every shape known.
//!
//! It is what the reader hands to the later stages, free of any file format's
//! types. Nodes are in execution order, and only nodes that the output depends
//! on are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A network as a graph of tensor operators.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Version of the default operator set.
    pub opset: i64,
    /// The image, `1 x channels x height x width`; in the order of the file's axes until
    /// the graph is [normalised](mod@crate::import::normalise).
    pub input: ValueId,
    /// Type of the image's elements.
    pub element: Element,
    /// Images that the file takes at a time; read as one.
    pub batch: usize,
    /// The class scores.
    pub output: ValueId,
    /// The file's other outputs.
    pub others: Vec<ValueId>,
    /// Indexed by [`ValueId`].
    pub values: Vec<Value>,
    /// In execution order; indexed by [`NodeId`].
    pub nodes: Vec<Node>,
}

/// Type of an image's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Element {
    /// Single precision.
    #[default]
    Float,
    /// Whole numbers from 0 to 255.
    Byte,
}

/// Index of a value of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// Index of a node of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// The value that flows along an edge.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Value {
    /// As in the file.
    pub name: String,
    /// Sizes, outermost first; unknown behind an operator that the importer
    /// does not know.
    pub shape: Option<Vec<usize>>,
    /// The elements, if they do not depend on the image.
    pub constant: Option<Arc<Tensor>>,
    /// Smallest and largest value of the stored element type, if it is one of
    /// whole numbers that values are quantized to.
    pub limits: Option<(i64, i64)>,
    /// The node that computes it; none for inputs and stored constants.
    pub producer: Option<NodeId>,
}

/// An operator applied to values.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// As in the file, or the name of the first output.
    pub name: String,
    /// Such as `Conv`; operators outside the default set carry their domain,
    /// such as `com.microsoft.Gelu`.
    pub op: String,
    /// An omitted optional input is `None`.
    pub inputs: Vec<Option<ValueId>>,
    /// An omitted optional output is `None`.
    pub outputs: Vec<Option<ValueId>>,
    /// By name.
    pub attributes: BTreeMap<String, Attribute>,
}

/// A compile-time argument of an operator.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A whole number.
    Int(i64),
    /// A real number.
    Float(f32),
    /// Text.
    Text(String),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Real numbers.
    Floats(Vec<f32>),
    /// Elements.
    Tensor(Arc<Tensor>),
    /// A kind that no supported operator takes, such as a subgraph.
    Other,
}

/// Constant elements, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Sizes, outermost first; none for a scalar.
    pub shape: Vec<usize>,
    /// As many elements as the product of `shape`.
    pub data: Data,
}

/// Elements of a [`Tensor`].
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Real numbers of any stored width.
    Float(Vec<f32>),
    /// Whole numbers and truth values of any stored width.
    Int(Vec<i64>),
}

impl Graph {
    /// The value's entry.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The node's entry.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Shape of a value, if known.
    pub fn shape(&self, id: ValueId) -> Option<&[usize]> {
        self.values[id.0].shape.as_deref()
    }

    /// Drops the nodes that the output does not depend on, and records the producers of
    /// the others.
    pub fn prune(&mut self) {
        let mut live = vec![false; self.values.len()];
        live[self.output.0] = true;
        let mut nodes = std::mem::take(&mut self.nodes);
        // Producers come before their readers.
        let mut kept: Vec<Node> = Vec::with_capacity(nodes.len());
        while let Some(node) = nodes.pop() {
            if node.outputs.iter().flatten().any(|output| live[output.0]) {
                node.inputs
                    .iter()
                    .flatten()
                    .for_each(|input| live[input.0] = true);
                kept.push(node);
            }
        }
        kept.reverse();
        for value in &mut self.values {
            value.producer = None;
        }
        for (index, node) in kept.iter().enumerate() {
            for output in node.outputs.iter().flatten() {
                self.values[output.0].producer = Some(NodeId(index));
            }
        }
        self.nodes = kept;
    }

    /// Elements of a value that does not depend on the image.
    pub fn constant(&self, id: ValueId) -> Option<&Arc<Tensor>> {
        self.values[id.0].constant.as_ref()
    }
}

impl Node {
    /// The input at `index`, unless it was omitted.
    pub fn input(&self, index: usize) -> Option<ValueId> {
        self.inputs.get(index).copied().flatten()
    }

    /// The first output.
    pub fn output(&self) -> Option<ValueId> {
        self.outputs.first().copied().flatten()
    }

    /// The whole number `name`, or `default` if absent.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        match self.attributes.get(name) {
            Some(Attribute::Int(value)) => *value,
            _ => default,
        }
    }

    /// The real number `name`, or `default` if absent.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        match self.attributes.get(name) {
            Some(Attribute::Float(value)) => *value,
            _ => default,
        }
    }

    /// The whole numbers `name`, if present.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attributes.get(name) {
            Some(Attribute::Ints(values)) => Some(values),
            _ => None,
        }
    }

    /// The text `name`, if present.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attributes.get(name) {
            Some(Attribute::Text(value)) => Some(value),
            _ => None,
        }
    }
}

impl Tensor {
    /// A tensor of whole numbers with one axis.
    pub fn ints(values: Vec<i64>) -> Self {
        Self {
            shape: vec![values.len()],
            data: Data::Int(values),
        }
    }

    /// Real numbers, as many as `shape` says.
    pub fn floats(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self {
            shape,
            data: Data::Float(values),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Float(values) => values.len(),
            Data::Int(values) => values.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The real numbers, if that is what it holds.
    pub fn as_floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Float(values) => Some(values),
            Data::Int(_) => None,
        }
    }

    /// The whole numbers, if that is what it holds.
    pub fn as_ints(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Int(values) => Some(values),
            Data::Float(_) => None,
        }
    }

    /// The only element, if it is one real number.
    pub fn as_scalar(&self) -> Option<f32> {
        match self.as_floats() {
            Some(&[value]) => Some(value),
            _ => None,
        }
    }

    /// The only element, as a real number.
    pub fn as_number(&self) -> Option<f32> {
        match &self.data {
            Data::Float(values) => match values[..] {
                [value] => Some(value),
                _ => None,
            },
            Data::Int(values) => match values[..] {
                [value] => Some(value as f32),
                _ => None,
            },
        }
    }

    /// The elements as real numbers.
    pub fn to_floats(&self) -> Vec<f32> {
        match &self.data {
            Data::Float(values) => values.clone(),
            Data::Int(values) => values.iter().map(|&value| value as f32).collect(),
        }
    }
}

/// Product of the sizes, unless it overflows.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1usize, |count, &size| count.checked_mul(size))
}
