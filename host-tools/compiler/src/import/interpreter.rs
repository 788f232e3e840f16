//! The file as it is written, node by node in `f64`: an oracle for networks that
//! round their values.
//!
//! A runtime may run a convolution between quantized values in float, or fuse it
//! into one on integers; this does neither. It shares nothing with recognition,
//! quantization and the kernels, so it confirms what they make of the scales: with
//! rounding it is compared with the integer network, without it with the float one.
//! It is slow and simple, for a few images.

mod arithmetic;
mod confirm;
mod qdq;
mod unevaluated;
mod window;

pub use unevaluated::Unevaluated;

use std::sync::Arc;

use crate::import::graph::{Data, Graph, Node, Tensor, ValueId};
use crate::import::normalise::FileInput;
use crate::network::Shape;
pub use confirm::{ConfirmError, Confirmation, confirm};

/// A graph whose shapes and constants are known.
#[derive(Debug, Clone)]
pub struct Interpreter {
    graph: Graph,
    input: Shape,
    file: FileInput,
}

/// A node that is not evaluated.
#[derive(Debug, thiserror::Error)]
#[error("node `{node}` ({op}): {what}")]
pub struct InterpreterError {
    /// Name of the node.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// The reason.
    pub what: Box<Unevaluated>,
}

/// Elements with sizes, row-major.
#[derive(Debug, Clone)]
struct Array {
    shape: Vec<usize>,
    values: Arc<Vec<f64>>,
}

impl Interpreter {
    /// A [folded](crate::import::constant_folding::fold) graph that takes images of shape `input`
    /// as `file` says.
    pub fn new(graph: Graph, input: Shape, file: FileInput) -> Self {
        Self { graph, input, file }
    }

    /// The scores of one normalised image, `height x width x channels`; with
    /// `rounding` as written, without it as if feature maps were not rounded.
    ///
    /// # Errors
    /// An operator that is not known here.
    ///
    /// # Panics
    /// The image has another number of values than the network's input.
    pub fn run(&self, image: &[f32], qdq: bool) -> Result<Vec<f64>, InterpreterError> {
        assert_eq!(image.len(), self.input.elements(), "the image's size");
        let values = self.file.of_image(image).into_iter().map(f64::from);
        let input = Array {
            shape: self.file.shape(self.input, 1).to_vec(),
            values: Arc::new(values.collect()),
        };
        let mut run = Run {
            graph: &self.graph,
            values: vec![None; self.graph.values.len()],
            left: self.uses(),
            qdq,
        };
        run.values[self.graph.input.0] = Some(input);
        for node in &self.graph.nodes {
            let Some(output) = node.output() else {
                continue;
            };
            // Weights are dequantized here too, not as folding did it.
            if self.graph.constant(output).is_some() && !qdq::is_rounding(node) {
                continue;
            }
            let value = run.evaluate(node).map_err(|what| InterpreterError {
                node: node.name.clone(),
                op: node.op.clone(),
                what: Box::new(what),
            })?;
            run.values[output.0] = Some(value);
            run.release(node);
        }
        let scores = run.value(self.graph.output);
        Ok(scores.map_or_else(Vec::new, |scores| scores.values.to_vec()))
    }

    /// How often each value is read, the graph's output once more.
    fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.graph.values.len()];
        uses[self.graph.output.0] = 1;
        for input in self
            .graph
            .nodes
            .iter()
            .flat_map(|node| &node.inputs)
            .flatten()
        {
            uses[input.0] += 1;
        }
        uses
    }
}

/// Values while a graph is evaluated.
struct Run<'a> {
    graph: &'a Graph,
    values: Vec<Option<Array>>,
    left: Vec<usize>,
    qdq: bool,
}

impl Run<'_> {
    fn evaluate(&self, node: &Node) -> Result<Array, Unevaluated> {
        match node.op.as_str() {
            "Identity" | "Dropout" | "Cast" => self.input(node, 0),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
                let input = self.input(node, 0)?;
                let shape = node.output().and_then(|id| self.graph.shape(id));
                Ok(Array {
                    shape: shape.ok_or(Unevaluated::Shape)?.to_vec(),
                    values: input.values,
                })
            }
            "Transpose" => arithmetic::transpose(&self.input(node, 0)?, node),
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Max" | "Min" => {
                arithmetic::binary(&node.op, &self.input(node, 0)?, &self.input(node, 1)?)
            }
            "Sqrt" | "Reciprocal" | "Erf" | "Relu" | "Gelu" | "com.microsoft.Gelu" | "Neg"
            | "Sigmoid" | "Tanh" | "HardSigmoid" | "HardSwish" | "LeakyRelu" | "Softplus"
            | "Mish" | "Swish" | "Elu" | "Selu" | "Celu" | "Exp" | "Log" | "Abs" => {
                arithmetic::unary(node, &self.input(node, 0)?)
            }
            "ReduceMean" => {
                let axes = match node.input(1) {
                    Some(id) => self.graph.constant(id).and_then(|axes| axes.as_ints()),
                    None => node.ints("axes"),
                };
                arithmetic::mean(&self.input(node, 0)?, node, axes)
            }
            "InstanceNormalization" | "GroupNormalization" | "LayerNormalization" => {
                let factors = [self.input(node, 1)?, self.optional(node, 2)?];
                arithmetic::normalise(self.graph.opset, node, &self.input(node, 0)?, &factors)
            }
            "MatMul" => arithmetic::matmul(&self.input(node, 0)?, &self.input(node, 1)?),
            "Gemm" => {
                let bias = self.optional(node, 2)?;
                arithmetic::gemm(node, &self.input(node, 0)?, &self.input(node, 1)?, &bias)
            }
            "Conv" => {
                let bias = self.optional(node, 2)?;
                window::conv(node, &self.input(node, 0)?, &self.input(node, 1)?, &bias)
            }
            "AveragePool" => window::average(node, &self.input(node, 0)?),
            "MaxPool" => window::largest(node, &self.input(node, 0)?),
            "GlobalAveragePool" => window::global_average(&self.input(node, 0)?),
            _ if qdq::is_rounding(node) => qdq::evaluate(self, node),
            _ => Err(Unevaluated::Operator),
        }
    }

    fn input(&self, node: &Node, index: usize) -> Result<Array, Unevaluated> {
        let id = node.input(index).ok_or(Unevaluated::MissingInput)?;
        self.value(id).ok_or(Unevaluated::UnknownInput)
    }

    /// An input that may be omitted; then it is empty.
    fn optional(&self, node: &Node, index: usize) -> Result<Array, Unevaluated> {
        match node.input(index) {
            Some(_) => self.input(node, index),
            None => Ok(Array {
                shape: vec![0],
                values: Arc::default(),
            }),
        }
    }

    fn value(&self, id: ValueId) -> Option<Array> {
        let constant = || self.graph.constant(id).map(|tensor| array(tensor));
        self.values[id.0].clone().or_else(constant)
    }

    /// Drops the inputs of `node` that nothing else will read.
    fn release(&mut self, node: &Node) {
        for input in node.inputs.iter().flatten() {
            self.left[input.0] = self.left[input.0].saturating_sub(1);
            if self.left[input.0] == 0 {
                self.values[input.0] = None;
            }
        }
    }
}

fn array(tensor: &Tensor) -> Array {
    Array {
        shape: tensor.shape.clone(),
        values: Arc::new(match &tensor.data {
            Data::Float(values) => values.iter().map(|&v| f64::from(v)).collect(),
            Data::Int(values) => values.iter().map(|&v| v as f64).collect(),
        }),
    }
}

impl Array {
    /// Elements that one step along `axis` moves over.
    fn stride(&self, axis: usize) -> usize {
        self.shape[axis + 1..].iter().product()
    }
}
