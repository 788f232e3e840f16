//! A small network that is written part by part, so that a test can write one of its parts
//! in another form.

use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::Noise;
use super::proto::{attribute, float, image_info, int, ints, model, node};

/// Rows and columns of the image.
pub(crate) const SIZE: usize = 12;
/// Channels of the first stage.
pub(crate) const CHANNELS: usize = 8;
/// Rows and columns of the first stage's map.
pub(crate) const SIDE: usize = 6;
/// Values between the layers of a channel MLP.
pub(crate) const HIDDEN: usize = 12;
/// Scores.
pub(crate) const CLASSES: usize = 5;

/// A graph while it is written.
pub(crate) struct Written {
    pub(crate) graph: pb::GraphProto,
    noise: Noise,
    count: usize,
    /// Version of the operator set.
    pub(crate) opset: i64,
    /// Whether constants are nodes and not initializers.
    as_nodes: bool,
}

/// How a file is written, whatever its network.
pub(crate) const STYLES: [(i64, bool); 3] = [(13, false), (17, true), (21, false)];

impl Written {
    pub(crate) fn new(seed: u64, (opset, as_nodes): (i64, bool)) -> Self {
        let size = Some(SIZE as i64);
        let graph = pb::GraphProto {
            input: vec![image_info([Some(1), Some(3), size, size])],
            ..pb::GraphProto::default()
        };
        Self {
            graph,
            noise: Noise::new(seed),
            count: 0,
            opset,
            as_nodes,
        }
    }

    /// The image with other sizes and elements.
    pub(crate) fn image(&mut self, sizes: [usize; 4], element: DataType) {
        let mut info = image_info(sizes.map(|size| Some(size as i64)));
        let kind = info.r#type.as_mut().and_then(|kind| kind.value.as_mut());
        if let Some(pb::type_proto::Value::TensorType(tensor)) = kind {
            tensor.elem_type = element as i32;
        }
        self.graph.input = vec![info];
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}_{}", self.count)
    }

    fn hold(&mut self, tensor: pb::TensorProto) -> String {
        let name = tensor.name.clone();
        if self.as_nodes {
            let value = attribute(
                "value",
                pb::attribute_proto::AttributeType::Tensor,
                |attribute| attribute.t = Some(tensor),
            );
            self.graph
                .node
                .push(node("Constant", &[], &name, vec![value]));
        } else {
            self.graph.initializer.push(tensor);
        }
        name
    }

    pub(crate) fn tensor(&mut self, shape: &[usize], values: &[f32]) -> String {
        let tensor = pb::TensorProto {
            name: self.fresh("values"),
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: DataType::Float as i32,
            raw_data: values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            ..Default::default()
        };
        self.hold(tensor)
    }

    pub(crate) fn number(&mut self, value: f32) -> String {
        self.tensor(&[], &[value])
    }

    pub(crate) fn integers(&mut self, shape: &[usize], values: &[i64]) -> String {
        let tensor = pb::TensorProto {
            name: self.fresh("integers"),
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..Default::default()
        };
        self.hold(tensor)
    }

    /// A value rounded to unsigned bytes of which `zero_point` is zero, and back.
    pub(crate) fn rounded(&mut self, x: &str, scale: f32, zero_point: u8) -> String {
        let scale = self.number(scale);
        let zero_point = pb::TensorProto {
            name: self.fresh("code"),
            data_type: DataType::Uint8 as i32,
            int32_data: vec![zero_point.into()],
            ..Default::default()
        };
        let zero_point = self.hold(zero_point);
        let codes = self.op("QuantizeLinear", &[x, &scale, &zero_point], vec![]);
        self.op("DequantizeLinear", &[&codes, &scale, &zero_point], vec![])
    }

    /// Random values between `-scale` and `scale` around `middle`.
    pub(crate) fn random(&mut self, shape: &[usize], middle: f32, scale: f32) -> String {
        let values = self.noise.values(shape.iter().product());
        let values: Vec<f32> = values.iter().map(|v| middle + v * scale / 2.0).collect();
        self.tensor(shape, &values)
    }

    pub(crate) fn op(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<pb::AttributeProto>,
    ) -> String {
        let output = self.fresh(op);
        self.graph.node.push(node(op, inputs, &output, attributes));
        output
    }

    /// `a op b`, or `b op a` in every second file.
    pub(crate) fn either(&mut self, op: &str, a: &str, b: &str) -> String {
        match self.as_nodes {
            true => self.op(op, &[b, a], vec![]),
            false => self.op(op, &[a, b], vec![]),
        }
    }

    /// A mean over some axes of a map, which stay as axes of size 1.
    pub(crate) fn reduce(&mut self, op: &str, x: &str, axes: &[i64]) -> String {
        let as_input = self.opset >= 18 || (op == "ReduceSum" && self.opset >= 13);
        match as_input {
            true => {
                let axes = self.integers(&[axes.len()], axes);
                self.op(op, &[x, &axes], vec![int("keepdims", 1)])
            }
            false => self.op(op, &[x], vec![ints("axes", axes), int("keepdims", 1)]),
        }
    }

    /// A convolution with weights of these sizes.
    pub(crate) fn conv(&mut self, x: &str, sizes: [usize; 4], stride: i64, pad: i64) -> String {
        let fan = sizes[1] * sizes[2] * sizes[3];
        let weight = self.random(&sizes, 0.0, 2.0 / (fan as f32).sqrt());
        let bias = self.random(&sizes[..1], 0.0, 0.3);
        let attributes = vec![ints("strides", &[stride; 2]), ints("pads", &[pad; 4])];
        self.op("Conv", &[x, &weight, &bias], attributes)
    }

    /// The stem: the image to a map of the first stage.
    pub(crate) fn stem(&mut self, image: &str) -> String {
        self.conv(image, [CHANNELS, 3, 3, 3], 2, 1)
    }

    /// GroupNorm with one group.
    pub(crate) fn norm(&mut self, x: &str) -> String {
        let flat = self.integers(&[3], &[0, 1, -1]);
        let flat = self.op("Reshape", &[x, &flat], vec![]);
        let (one, zero) = (self.tensor(&[1], &[1.0]), self.tensor(&[1], &[0.0]));
        let epsilon = vec![float("epsilon", 1e-3)];
        let n = self.op("InstanceNormalization", &[&flat, &one, &zero], epsilon);
        let shape = self.op("Shape", &[x], vec![]);
        let n = self.op("Reshape", &[&n, &shape], vec![]);
        let gamma = self.random(&[CHANNELS, 1, 1], 1.0, 0.5);
        let beta = self.random(&[CHANNELS, 1, 1], 0.0, 0.5);
        let scaled = self.either("Mul", &n, &gamma);
        self.either("Add", &scaled, &beta)
    }

    /// A block of a pooling mixer and a channel MLP with this norm and this activation.
    pub(crate) fn block(
        &mut self,
        x: &str,
        norm: impl Fn(&mut Self, &str) -> String,
        activation: impl Fn(&mut Self, &str) -> String,
    ) -> String {
        let n = norm(self, x);
        let attributes = vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4])];
        let pool = self.op("AveragePool", &[&n], attributes);
        let mixed = self.op("Sub", &[&pool, &n], vec![]);
        let x = self.either("Add", x, &mixed);
        self.mlp(&x, norm, activation)
    }

    /// A channel MLP.
    pub(crate) fn mlp(
        &mut self,
        x: &str,
        norm: impl Fn(&mut Self, &str) -> String,
        activation: impl Fn(&mut Self, &str) -> String,
    ) -> String {
        let n = norm(self, x);
        let u = self.conv(&n, [HIDDEN, CHANNELS, 1, 1], 1, 0);
        let h = activation(self, &u);
        let y = self.conv(&h, [CHANNELS, HIDDEN, 1, 1], 1, 0);
        self.either("Add", x, &y)
    }

    /// The mean over all tokens.
    pub(crate) fn mean(&mut self, x: &str) -> String {
        let mean = self.op("GlobalAveragePool", &[x], vec![]);
        self.op("Flatten", &[&mean], vec![])
    }

    /// The scores of a vector.
    pub(crate) fn scores(&mut self, vector: &str, inputs: usize) -> String {
        let weight = self.random(&[CLASSES, inputs], 0.0, 2.0 / (inputs as f32).sqrt());
        let bias = self.random(&[CLASSES], 0.0, 0.3);
        self.op("Gemm", &[vector, &weight, &bias], vec![int("transB", 1)])
    }

    /// Everything behind the stem, in plain forms.
    pub(crate) fn rest(&mut self, x: &str) -> String {
        let x = self.block(x, Self::norm, relu);
        let mean = self.mean(&x);
        self.scores(&mean, CHANNELS)
    }

    /// The file, which gives out these values.
    pub(crate) fn file(mut self, outputs: &[&str]) -> Vec<u8> {
        self.graph.output = outputs
            .iter()
            .map(|&name| pb::ValueInfoProto {
                name: name.to_owned(),
                ..Default::default()
            })
            .collect();
        model(self.graph, self.opset).encode_to_vec()
    }
}

pub(crate) fn relu(written: &mut Written, u: &str) -> String {
    written.op("Relu", &[u], vec![])
}
