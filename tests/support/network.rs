//! Tiny networks in every form in which a layer can be written.

use half::f16;
use prost::Message;
use tract_onnx::pb;

use super::Noise;
use super::proto::{attribute, float, image_info, int, ints, model, node};

pub(crate) const HEIGHT: usize = 6;
pub(crate) const WIDTH: usize = 5;
const CHANNELS: usize = 4;
const HIDDEN: usize = 6;
const CLASSES: usize = 3;

/// Which form each part of the network takes; numbers are taken modulo the
/// number of forms.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Form {
    pub(crate) pooling: bool,
    pub(crate) norm: usize,
    pub(crate) activation: usize,
    pub(crate) mlp: usize,
    pub(crate) layer_scale: usize,
    pub(crate) subtraction: usize,
    pub(crate) residual: bool,
    pub(crate) head: usize,
    pub(crate) head_norm: bool,
    /// Nodes that do nothing, between the others.
    pub(crate) padding: bool,
    /// Weights stored in half precision.
    pub(crate) half: bool,
    pub(crate) seed: u64,
}

/// Writes the network: patch embedding, two blocks, downsampling, a block, head.
pub(crate) fn write(form: Form) -> Vec<u8> {
    let mut network = Network {
        form,
        noise: Noise::new(form.seed + 1),
        graph: pb::GraphProto::default(),
        count: 0,
    };
    network.graph.input = vec![image_info([
        Some(1),
        Some(3),
        Some(HEIGHT as i64),
        Some(WIDTH as i64),
    ])];
    let mut x = network.conv("image", [CHANNELS, 3, 3, 3], &[1, 1], &[1; 4]);
    for _ in 0..2 {
        x = network.block(x, CHANNELS, HEIGHT * WIDTH);
    }
    x = network.conv(&x, [CHANNELS + 2, CHANNELS, 2, 2], &[2, 2], &[0, 1, 0, 0]);
    x = network.block(x, CHANNELS + 2, HEIGHT / 2 * WIDTH.div_ceil(2));
    let scores = network.head(x, CHANNELS + 2, HEIGHT / 2 * WIDTH.div_ceil(2));
    network.graph.output = vec![pb::ValueInfoProto {
        name: scores,
        ..pb::ValueInfoProto::default()
    }];
    model(network.graph, if form.norm % NORMS == 2 { 21 } else { 18 }).encode_to_vec()
}

const NORMS: usize = 6;
const EPSILON: f32 = 1e-3;

struct Network {
    form: Form,
    noise: Noise,
    graph: pb::GraphProto,
    count: usize,
}

impl Network {
    fn fresh(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}_{}", self.count)
    }

    fn op(&mut self, op: &str, inputs: &[&str], attributes: Vec<pb::AttributeProto>) -> String {
        let output = self.fresh(op);
        self.graph.node.push(node(op, inputs, &output, attributes));
        if !self.form.padding || op == "Shape" {
            return output;
        }
        let next = self.fresh("same");
        let (op, attributes) = match self.count % 3 {
            0 => ("Identity", vec![]),
            1 => ("Dropout", vec![]),
            _ => ("Cast", vec![int("to", 1)]),
        };
        self.graph
            .node
            .push(node(op, &[&output], &next, attributes));
        next
    }

    /// Two operands, in either order.
    fn commuted(&mut self, op: &str, a: &str, b: &str, swap: bool) -> String {
        match swap {
            true => self.op(op, &[b, a], vec![]),
            false => self.op(op, &[a, b], vec![]),
        }
    }

    fn floats(&mut self, shape: &[usize], values: Vec<f32>) -> String {
        let name = self.fresh("weight");
        let mut tensor = pb::TensorProto {
            name: name.clone(),
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: pb::tensor_proto::DataType::Float as i32,
            raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ..Default::default()
        };
        if self.form.half && values.len() > 1 {
            tensor.data_type = pb::tensor_proto::DataType::Float16 as i32;
            tensor.raw_data = values
                .iter()
                .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                .collect();
            tensor.name = self.fresh("half");
            self.graph
                .node
                .push(node("Cast", &[&tensor.name], &name, vec![int("to", 1)]));
        }
        self.graph.initializer.push(tensor);
        name
    }

    fn random(&mut self, shape: &[usize], scale: f32) -> String {
        let count = shape.iter().product();
        let values = self.noise.values(count).iter().map(|v| v * scale).collect();
        self.floats(shape, values)
    }

    fn constant(&mut self, value: f32) -> String {
        self.floats(&[], vec![value])
    }

    fn integers(&mut self, values: &[i64]) -> String {
        let name = self.fresh("sizes");
        self.graph.initializer.push(pb::TensorProto {
            name: name.clone(),
            dims: vec![values.len() as i64],
            data_type: pb::tensor_proto::DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..Default::default()
        });
        name
    }

    fn conv(&mut self, x: &str, shape: [usize; 4], strides: &[i64], pads: &[i64]) -> String {
        let weight = self.random(&shape, 0.3);
        let bias = self.random(&shape[..1], 0.3);
        self.op(
            "Conv",
            &[x, &weight, &bias],
            vec![ints("strides", strides), ints("pads", pads)],
        )
    }

    fn block(&mut self, x: String, channels: usize, tokens: usize) -> String {
        let n = self.norm(&x, channels);
        let mixed = match self.form.pooling {
            true => self.pooling(&n),
            false => n,
        };
        let scaled = self.layer_scale(mixed, channels);
        let x = self.commuted("Add", &x, &scaled, self.form.residual);
        let n = self.norm(&x, channels);
        let branch = self.mlp(&n, channels, tokens);
        let scaled = self.layer_scale(branch, channels);
        self.commuted("Add", &x, &scaled, !self.form.residual)
    }

    fn norm(&mut self, x: &str, channels: usize) -> String {
        let ones = |shape: &[usize], network: &mut Self, value| network.floats(shape, vec![value]);
        let plain = match self.form.norm % NORMS {
            0 => {
                let shape = self.integers(&[0, 1, -1]);
                let flat = self.op("Reshape", &[x, &shape], vec![]);
                let (one, zero) = (ones(&[1], self, 1.0), ones(&[1], self, 0.0));
                let attributes = vec![float("epsilon", EPSILON)];
                let n = self.op("InstanceNormalization", &[&flat, &one, &zero], attributes);
                // The shape is computed from the map's, as exporters do.
                let shape = self.op("Shape", &[x], vec![]);
                self.op("Reshape", &[&n, &shape], vec![])
            }
            1 => {
                let (one, zero) = (ones(&[1], self, 1.0), ones(&[1], self, 0.0));
                let attributes = vec![float("epsilon", EPSILON), int("num_groups", 1)];
                self.op("GroupNormalization", &[x, &one, &zero], attributes)
            }
            2 => {
                let gamma = self.random(&[channels], 0.5);
                let beta = self.random(&[channels], 0.5);
                let attributes = vec![float("epsilon", EPSILON), int("num_groups", 1)];
                return self.op("GroupNormalization", &[x, &gamma, &beta], attributes);
            }
            form => self.norm_by_hand(x, form),
        };
        let gamma = self.random(&[channels, 1, 1], 0.5);
        let beta = self.random(&[1, channels, 1, 1], 0.5);
        let scaled = self.commuted("Mul", &plain, &gamma, self.form.residual);
        self.commuted("Add", &scaled, &beta, !self.form.residual)
    }

    fn norm_by_hand(&mut self, x: &str, form: usize) -> String {
        let axes = self.integers(&[1, -2, 3]);
        let mean = self.op("ReduceMean", &[x, &axes], vec![int("keepdims", 1)]);
        let centred = self.op("Sub", &[x, &mean], vec![]);
        let square = match form {
            3 => self.op("Mul", &[&centred, &centred], vec![]),
            _ => {
                let two = self.constant(2.0);
                self.op("Pow", &[&centred, &two], vec![])
            }
        };
        let variance = self.op("ReduceMean", &[&square, &axes], vec![]);
        let epsilon = self.constant(EPSILON);
        let raised = self.commuted("Add", &variance, &epsilon, self.form.residual);
        let deviation = self.op("Sqrt", &[&raised], vec![]);
        match form {
            3 => self.op("Div", &[&centred, &deviation], vec![]),
            4 => {
                let inverse = self.op("Reciprocal", &[&deviation], vec![]);
                self.commuted("Mul", &centred, &inverse, self.form.residual)
            }
            _ => {
                let one = self.constant(1.0);
                let inverse = self.op("Div", &[&one, &deviation], vec![]);
                self.commuted("Mul", &centred, &inverse, !self.form.residual)
            }
        }
    }

    fn pooling(&mut self, n: &str) -> String {
        let attributes = match self.form.subtraction % 2 {
            0 => vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4])],
            _ => vec![
                ints("kernel_shape", &[3, 3]),
                attribute(
                    "auto_pad",
                    pb::attribute_proto::AttributeType::String,
                    |a| {
                        a.s = b"SAME_UPPER".to_vec();
                    },
                ),
            ],
        };
        let pool = self.op("AveragePool", &[n], attributes);
        match self.form.subtraction % 4 {
            0 | 1 => self.op("Sub", &[&pool, n], vec![]),
            form => {
                let minus = self.constant(-1.0);
                let negated = self.commuted("Mul", n, &minus, self.form.residual);
                self.commuted("Add", &pool, &negated, form == 3)
            }
        }
    }

    fn layer_scale(&mut self, branch: String, channels: usize) -> String {
        let shape: &[usize] = match self.form.layer_scale % 6 {
            0 => return branch,
            1 | 2 => &[channels, 1, 1],
            3 => &[1, channels, 1, 1],
            4 => {
                // Stored flat, as the network's parameter is.
                let flat = self.random(&[channels], 0.5);
                let axes = self.integers(&[1, 2]);
                let scale = self.op("Unsqueeze", &[&flat, &axes], vec![]);
                return self.commuted("Mul", &branch, &scale, self.form.residual);
            }
            _ => {
                let scale = self.constant(0.25);
                return self.commuted("Mul", &branch, &scale, self.form.residual);
            }
        };
        let scale = self.random(shape, 0.5);
        self.commuted("Mul", &branch, &scale, self.form.layer_scale % 6 == 1)
    }

    fn mlp(&mut self, n: &str, channels: usize, tokens: usize) -> String {
        if self.form.mlp.is_multiple_of(3) {
            let u = self.conv(n, [HIDDEN, channels, 1, 1], &[1, 1], &[0; 4]);
            let h = self.activation(&u);
            return self.conv(&h, [channels, HIDDEN, 1, 1], &[1, 1], &[0; 4]);
        }
        // Tokens as rows of a matrix, channels innermost.
        let last = match self.form.mlp % 3 {
            1 => self.op("Transpose", &[n], vec![ints("perm", &[0, 2, 3, 1])]),
            _ => {
                let shape = self.integers(&[0, channels as i64, tokens as i64]);
                let flat = self.op("Reshape", &[n, &shape], vec![]);
                self.op("Transpose", &[&flat], vec![ints("perm", &[0, 2, 1])])
            }
        };
        let u = self.matmul(&last, channels, HIDDEN);
        let h = self.activation(&u);
        let y = self.matmul(&h, HIDDEN, channels);
        match self.form.mlp % 3 {
            1 => self.op("Transpose", &[&y], vec![ints("perm", &[0, 3, 1, 2])]),
            _ => {
                let first = self.op("Transpose", &[&y], vec![ints("perm", &[0, 2, 1])]);
                let (height, width) = if tokens == HEIGHT * WIDTH {
                    (HEIGHT, WIDTH)
                } else {
                    (HEIGHT / 2, WIDTH.div_ceil(2))
                };
                let shape = self.integers(&[1, -1, height as i64, width as i64]);
                self.op("Reshape", &[&first, &shape], vec![])
            }
        }
    }

    fn matmul(&mut self, x: &str, inputs: usize, outputs: usize) -> String {
        let weight = self.random(&[inputs, outputs], 0.3);
        let bias = self.random(&[outputs], 0.3);
        let product = self.op("MatMul", &[x, &weight], vec![]);
        self.commuted("Add", &product, &bias, self.form.residual)
    }

    fn activation(&mut self, u: &str) -> String {
        let form = self.form.activation % 8;
        if form == 0 {
            return self.op("Relu", &[u], vec![]);
        }
        let argument = match form % 2 {
            0 => {
                let root = self.constant(std::f32::consts::SQRT_2);
                self.op("Div", &[u, &root], vec![])
            }
            _ => {
                let root = self.constant(std::f32::consts::FRAC_1_SQRT_2);
                self.commuted("Mul", u, &root, form == 3)
            }
        };
        let erf = self.op("Erf", &[&argument], vec![]);
        let one = self.constant(1.0);
        let raised = self.commuted("Add", &erf, &one, form > 4);
        let half = self.constant(0.5);
        match form {
            1 | 2 => {
                let product = self.commuted("Mul", u, &raised, form == 1);
                self.commuted("Mul", &product, &half, form == 2)
            }
            3 | 4 => {
                let halved = self.commuted("Mul", u, &half, form == 3);
                self.commuted("Mul", &halved, &raised, form == 4)
            }
            5 | 6 => {
                let halved = self.commuted("Mul", &raised, &half, form == 5);
                self.commuted("Mul", u, &halved, form == 6)
            }
            _ => {
                let two = self.constant(2.0);
                let halved = self.op("Div", &[u, &two], vec![]);
                self.op("Mul", &[&halved, &raised], vec![])
            }
        }
    }

    fn head(&mut self, x: String, channels: usize, tokens: usize) -> String {
        let n = match self.form.head_norm {
            true => self.norm(&x, channels),
            false => x,
        };
        let form = self.form.head % 6;
        let mean = match form {
            0 => {
                let axes = self.integers(&[2, 3]);
                self.op("ReduceMean", &[&n, &axes], vec![int("keepdims", 0)])
            }
            1 => {
                let axes = self.integers(&[-1, -2]);
                let mean = self.op("ReduceMean", &[&n, &axes], vec![]);
                self.op("Flatten", &[&mean], vec![])
            }
            2 => {
                let mean = self.op("GlobalAveragePool", &[&n], vec![]);
                let shape = self.integers(&[0, -1]);
                self.op("Reshape", &[&mean, &shape], vec![])
            }
            3 => {
                let mean = self.op("GlobalAveragePool", &[&n], vec![]);
                let axes = self.integers(&[2, 3]);
                self.op("Squeeze", &[&mean, &axes], vec![])
            }
            4 => {
                let shape = self.integers(&[1, channels as i64, tokens as i64]);
                let flat = self.op("Reshape", &[&n, &shape], vec![]);
                let axes = self.integers(&[2]);
                self.op("ReduceMean", &[&flat, &axes], vec![int("keepdims", 0)])
            }
            _ => {
                let mean = self.op("GlobalAveragePool", &[&n], vec![]);
                let scores = self.conv(&mean, [CLASSES, channels, 1, 1], &[1, 1], &[0; 4]);
                return self.op("Flatten", &[&scores], vec![]);
            }
        };
        match form {
            0 | 2 => {
                let weight = self.random(&[CLASSES, channels], 0.5);
                let bias = self.random(&[CLASSES], 0.5);
                self.op("Gemm", &[&mean, &weight, &bias], vec![int("transB", 1)])
            }
            1 => {
                let weight = self.random(&[channels, CLASSES], 0.5);
                let bias = self.random(&[1, CLASSES], 0.5);
                let attributes = vec![float("alpha", 0.5), float("beta", 2.0)];
                self.op("Gemm", &[&mean, &weight, &bias], attributes)
            }
            _ => self.matmul(&mean, channels, CLASSES),
        }
    }
}
