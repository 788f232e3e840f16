//! A PoolFormer-S12 in geometry, with the statistics that make trained networks
//! hard for integers: a few channels of the residual stream are far larger than
//! the others, norm weights have heavy tails and are smallest where the stream is
//! largest, and layer scales are small.

use std::path::{Path, PathBuf};

use prost::Message;
use tract_onnx::pb;

use super::Noise;
use super::proto::{image_info, int, ints, model, node};

/// Channels of each stage, of which a part may be taken.
const DIMS: [usize; 4] = [64, 128, 320, 512];
const DEPTHS: [usize; 4] = [2, 2, 6, 2];
const CLASSES: usize = 10;
/// One channel in so many is an outlier,
const OUTLIERS: usize = 32;
/// so many times as large as the others.
const SIZE: f32 = 12.0;

/// How large the network is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Pixels of a side; a PoolFormer-S12 reads 224.
    pub(crate) side: usize,
    /// The divisor of its numbers of channels.
    pub(crate) part: usize,
}

/// Writes `model.onnx` for square images, `images` images for
/// calibration and as many others for evaluation, and `model.toml` into `folder`;
/// the path of the last one.
pub(crate) fn write(folder: &Path, size: Size, images: usize) -> PathBuf {
    let side = size.side;
    std::fs::write(folder.join("model.onnx"), onnx(size)).unwrap();
    for (first, name) in [(0, "calibration"), (images, "evaluation")] {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for index in first..first + images {
            let mut file = format!("P6\n{side} {side}\n255\n").into_bytes();
            file.extend(pixels(side, index));
            std::fs::write(folder.join(format!("{index:03}.ppm")), file).unwrap();
        }
    }
    let description = format!(
        "name = \"outliers\"\nonnx = \"model.onnx\"\n\
         [input]\nheight = {side}\nwidth = {side}\nchannels = \"rgb\"\n\
         mean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n\
         [data]\ncalibration = \"calibration\"\nevaluation = \"evaluation\"\n"
    );
    let path = folder.join("model.toml");
    std::fs::write(&path, description).unwrap();
    path
}

/// A picture of waves in colour, with some noise.
fn pixels(side: usize, index: usize) -> Vec<u8> {
    let mut noise = Noise::new(1000 + index as u64);
    let waves: Vec<[f32; 4]> = (0..9).map(|_| [(); 4].map(|()| noise.value())).collect();
    let mut pixels = Vec::with_capacity(3 * side * side);
    for at in 0..side * side {
        let [x, y] = [at % side, at / side].map(|v| v as f32 / side as f32);
        for waves in waves.chunks(3) {
            let sum: f32 = waves
                .iter()
                .map(|[a, b, phase, size]| size * (6.0 * (a * x + b * y) + 2.0 * phase).sin())
                .sum();
            let value = 128.0 + 28.0 * sum + 4.0 * noise.value();
            pixels.push(value.clamp(0.0, 255.0) as u8);
        }
    }
    pixels
}

/// The network as an ONNX file.
fn onnx(Size { side, part }: Size) -> Vec<u8> {
    let mut make = Maker {
        noise: Noise::new(12),
        graph: pb::GraphProto::default(),
        count: 0,
    };
    let side = side as i64;
    make.graph.input = vec![image_info([Some(1), Some(3), Some(side), Some(side)])];
    let mut x = "image".to_owned();
    let mut inputs = 3;
    for (stage, (dims, depth)) in DIMS.iter().zip(DEPTHS).enumerate() {
        let channels = dims / part;
        x = match stage {
            0 => make.conv(&x, [channels, inputs, 7], [4, 2], sizes(channels)),
            _ => make.conv(&x, [channels, inputs, 3], [2, 1], sizes(channels)),
        };
        for _ in 0..depth {
            x = make.block(&x, channels);
        }
        inputs = channels;
    }
    let n = make.norm(&x, inputs);
    let mean = make.op("GlobalAveragePool", &[&n], vec![]);
    let flat = make.op("Flatten", &[&mean], vec![]);
    let weight = make.weights(&[CLASSES, inputs], |_| 1.0);
    let bias = make.weights(&[CLASSES], |_| 0.1);
    let scores = make.op("Gemm", &[&flat, &weight, &bias], vec![int("transB", 1)]);
    make.graph.output = vec![pb::ValueInfoProto {
        name: scores,
        ..pb::ValueInfoProto::default()
    }];
    model(make.graph, 21).encode_to_vec()
}

/// Whether a channel is one of the large ones.
fn is_outlier(channel: usize) -> bool {
    channel % OUTLIERS == 5
}

/// Size of each channel that a patch embedding writes.
fn sizes(channels: usize) -> Vec<f32> {
    let size = |channel| if is_outlier(channel) { SIZE } else { 1.0 };
    (0..channels).map(size).collect()
}

struct Maker {
    noise: Noise,
    graph: pb::GraphProto,
    count: usize,
}

impl Maker {
    fn op(&mut self, op: &str, inputs: &[&str], attributes: Vec<pb::AttributeProto>) -> String {
        self.count += 1;
        let output = format!("{op}_{}", self.count);
        self.graph.node.push(node(op, inputs, &output, attributes));
        output
    }

    /// About normal, with deviation one.
    fn normal(&mut self) -> f32 {
        (0..3).map(|_| self.noise.value()).sum::<f32>() / 2.0
    }

    fn tensor(&mut self, shape: &[usize], values: &[f32]) -> String {
        self.count += 1;
        let name = format!("weight_{}", self.count);
        self.graph.initializer.push(pb::TensorProto {
            name: name.clone(),
            dims: shape.iter().map(|&size| size as i64).collect(),
            data_type: pb::tensor_proto::DataType::Float as i32,
            raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ..pb::TensorProto::default()
        });
        name
    }

    /// Weights of rows `size` times as large as what keeps deviations.
    fn weights(&mut self, shape: &[usize], size: impl Fn(usize) -> f32) -> String {
        let inputs: usize = shape[1..].iter().product();
        let unit = (inputs as f32).sqrt().recip();
        let mut values = Vec::with_capacity(shape[0] * inputs);
        for row in 0..shape[0] {
            values.extend((0..inputs).map(|_| size(row) * unit * self.normal()));
        }
        self.tensor(shape, &values)
    }

    /// A convolution that reads large channels with small weights.
    fn conv(
        &mut self,
        x: &str,
        [outputs, inputs, side]: [usize; 3],
        [stride, padding]: [i64; 2],
        size: Vec<f32>,
    ) -> String {
        let window = side * side;
        let unit = ((inputs * window) as f32).sqrt().recip();
        let mut values = Vec::new();
        for size in &size {
            for input in 0..inputs {
                let large = inputs > 3 && is_outlier(input);
                let by = if large { size / SIZE } else { *size };
                values.extend((0..window).map(|_| by * unit * self.normal()));
            }
        }
        let weight = self.tensor(&[outputs, inputs, side, side], &values);
        let bias = self.weights(&[outputs], |channel| 0.2 * size[channel]);
        let attributes = vec![
            ints("kernel_shape", &[side as i64; 2]),
            ints("strides", &[stride; 2]),
            ints("pads", &[padding; 4]),
        ];
        self.op("Conv", &[x, &weight, &bias], attributes)
    }

    /// Weights with heavy tails, small where the stream is large.
    fn norm(&mut self, x: &str, channels: usize) -> String {
        let gamma: Vec<f32> = (0..channels)
            .map(|channel| {
                let gamma = 3.0 * self.normal().exp();
                if is_outlier(channel) {
                    gamma / SIZE
                } else {
                    gamma
                }
            })
            .collect();
        let gamma = self.tensor(&[channels], &gamma);
        let beta = self.weights(&[channels], |_| 0.2);
        let attributes = vec![int("num_groups", 1)];
        self.op("GroupNormalization", &[x, &gamma, &beta], attributes)
    }

    /// Adds a branch that is a small part of the stream.
    fn residual(&mut self, x: &str, branch: &str, channels: usize) -> String {
        let scale: Vec<f32> = (0..channels).map(|_| 0.05 * self.normal().exp()).collect();
        let scale = self.tensor(&[channels, 1, 1], &scale);
        let scaled = self.op("Mul", &[&scale, branch], vec![]);
        self.op("Add", &[x, &scaled], vec![])
    }

    fn block(&mut self, x: &str, channels: usize) -> String {
        let n = self.norm(x, channels);
        let window = vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1; 4])];
        let pool = self.op("AveragePool", &[&n], window);
        let branch = self.op("Sub", &[&pool, &n], vec![]);
        let x = self.residual(x, &branch, channels);
        let n = self.norm(&x, channels);
        let hidden = 4 * channels;
        let point = || vec![ints("kernel_shape", &[1, 1])];
        let [w1, b1] = [
            self.weights(&[hidden, channels, 1, 1], |_| 1.0),
            self.weights(&[hidden], |_| 0.2),
        ];
        let u = self.op("Conv", &[&n, &w1, &b1], point());
        let h = self.op("Gelu", &[&u], vec![]);
        let [w2, b2] = [
            self.weights(&[channels, hidden, 1, 1], |_| 1.0),
            self.weights(&[channels], |_| 0.2),
        ];
        let branch = self.op("Conv", &[&h, &w2, &b2], point());
        self.residual(&x, &branch, channels)
    }
}
