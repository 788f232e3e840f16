//! Self-attention from the quantizer to emulated boards.

use std::collections::BTreeMap;

use crate::support::emulated::assert_same_bytes;
use crate::support::integer::{
    MEAN, Quantized, STD, images, normalised, quantized_network, step_sqnr,
};
use crate::support::placed::Layers;
use crate::support::{CORES, Noise};
use tadpool_compiler::calibrate;
use tadpool_compiler::given::model_toml::Bits;
use tadpool_compiler::network::{
    Activation, Attention, ChannelMlp, LayerName, Linear, MetaFormer, Norm, NormScope, Op,
    PatchEmbedding, Residual, Shape,
};
use tadpool_compiler::place::schedule::ScheduleConfig;
use tadpool_compiler::quantize::precision::Precision;
use tadpool_compiler::quantize::quant_model::{Stream, WeightBits};
use tadpool_compiler::quantize::{Pixels, QuantError, quantize};

/// Channels, window and step, heads, values of a head, and scope of the norm of each
/// stage. The heads of the last fit no layout but that of the portable kernels.
const STAGES: [(usize, usize, usize, usize, NormScope); 3] = [
    (8, 2, 2, 4, NormScope::Token),
    (16, 1, 1, 16, NormScope::Map),
    (12, 2, 2, 3, NormScope::Token),
];

/// Parameters that change the stream by about its own size.
struct Maker(Noise);

impl Maker {
    fn linear(&mut self, outputs: usize, inputs: usize) -> Linear {
        let size = (inputs as f32).sqrt().recip();
        let weight = self.0.values(outputs * inputs);
        Linear {
            outputs,
            inputs,
            weight: weight.into_iter().map(|value| size * value).collect(),
            bias: self.0.values(outputs).iter().map(|v| 0.3 * v).collect(),
        }
    }

    fn norm(&mut self, channels: usize, scope: NormScope) -> Norm {
        let gamma = self.0.values(channels);
        Norm {
            scope,
            centred: true,
            gamma: gamma.iter().map(|value| 1.0 + 0.3 * value).collect(),
            beta: self.0.values(channels).iter().map(|v| 0.3 * v).collect(),
            epsilon: 1e-5,
        }
    }

    fn residual(&mut self, channels: usize) -> Residual {
        let mut around = |middle: f32| {
            let values = self.0.values(channels);
            values.iter().map(|value| middle + 0.2 * value).collect()
        };
        Residual {
            layer_scale: around(0.6),
            res_scale: around(1.0),
        }
    }
}

/// A network whose stages mix by attention; `times` is how many times as large its map
/// is on each side.
fn network(times: usize) -> MetaFormer {
    let mut make = Maker(Noise::new(5));
    let side = |height, width, channels| Shape {
        height,
        width,
        channels,
    };
    let input = side(12 * times, 10 * times, 3);
    let mut layers = Layers::of(input);
    for (number, (channels, window, heads, size, scope)) in STAGES.into_iter().enumerate() {
        let shape = layers.map;
        let map = side(shape.height / window, shape.width / window, channels);
        let embedding = PatchEmbedding {
            window: [window; 2],
            stride: [window; 2],
            padding: [0; 4],
            linear: make.linear(channels, window * window * shape.channels),
            rectifier: None,
        };
        let name = LayerName::Embedding { stage: number };
        layers.push(name, map, Op::PatchEmbedding(embedding));
        let attention = Attention {
            norm: make.norm(channels, scope),
            heads,
            scale: (size as f32).sqrt().recip(),
            qkv: make.linear(3 * heads * size, channels),
            projection: make.linear(channels, heads * size),
            residual: make.residual(channels),
        };
        let name = LayerName::Mixer {
            stage: number,
            block: 0,
        };
        layers.push(name, map, Op::Attention(attention));
        let mlp = ChannelMlp {
            norm: make.norm(channels, NormScope::Map),
            fc1: make.linear(2 * channels, channels),
            activation: Activation::Gelu,
            fc2: make.linear(channels, 2 * channels),
            residual: make.residual(channels),
        };
        let name = LayerName::ChannelMlp {
            stage: number,
            block: 0,
        };
        layers.push(name, map, Op::ChannelMlp(mlp));
    }
    let channels = layers.map.channels;
    let norm = make.norm(channels, NormScope::Map);
    layers.classified(norm, make.linear(5, channels))
}

fn quantized(choose: impl FnOnce(&MetaFormer) -> Precision) -> Quantized {
    let quantized = quantized_network(network(1), &ScheduleConfig::default(), choose);
    quantized.unwrap_or_else(|error| panic!("{error}"))
}

/// Every stage with an int16 stream.
fn wide(network: &MetaFormer) -> Precision {
    (0..STAGES.len()).fold(Precision::int8(network), |precision, stage| {
        precision.with_stage(network, stage, Stream::Int16)
    })
}

/// Both widths of the stream, and weights of four bits.
fn mixed(network: &MetaFormer) -> Precision {
    let precision = Precision::int8(network).with_stage(network, 1, Stream::Int16);
    let pins = [
        ("stage0.block0.mixer.qkv", Bits::Int4),
        ("stage1.block0.mixer", Bits::Int4),
        ("stage2.block0.mixer.projection", Bits::Int4),
    ];
    let pins: BTreeMap<String, Bits> = pins.map(|(name, bits)| (name.to_owned(), bits)).into();
    precision.pinned(network, &pins).unwrap()
}

fn sqnr(quantized: &Quantized) -> Vec<f64> {
    step_sqnr(&quantized.network, &quantized.model, &quantized.program())
}

#[test]
fn every_step_stays_close_to_float() {
    let (narrow, wide) = (quantized(Precision::int8), quantized(wide));
    let layers = &narrow.network.layers;
    for ((layer, narrow), wide) in layers.iter().zip(sqnr(&narrow)).zip(sqnr(&wide)) {
        assert!(
            narrow > 30.0 && wide > 33.0,
            "{}: {narrow} {wide}",
            layer.name
        );
    }
}

#[test]
fn pins_name_both_matrices() {
    let quantized = quantized(mixed);
    let weights = quantized
        .program()
        .steps
        .iter()
        .map(|step| step.bits)
        .collect::<Vec<_>>();
    let (byte, half) = (WeightBits::Int8, WeightBits::Int4);
    assert_eq!(weights[1], [half, byte]);
    assert_eq!(weights[4], [half, half]);
    assert_eq!(weights[7], [byte, half]);
    for (layer, sqnr) in quantized.network.layers.iter().zip(sqnr(&quantized)) {
        assert!(sqnr > 22.0, "{}: {sqnr}", layer.name);
    }
    let name = "stage0.block0.mixer.fc1";
    let network = &quantized.network;
    assert!(
        Precision::int8(network)
            .pin(network, name, Bits::Int4)
            .is_err()
    );
}

#[test]
fn what_has_no_integers_is_refused() {
    let refused = |network: MetaFormer| {
        let config = ScheduleConfig::default();
        let quantized = quantized_network(network, &config, Precision::int8);
        quantized.err().map(|error| error.to_string())
    };
    let attention = |change: &dyn Fn(&mut Attention)| {
        let mut network = network(1);
        if let Op::Attention(op) = &mut network.layers[1].op {
            change(op);
        }
        refused(network)
    };
    assert_eq!(attention(&|_| ()), None);
    let error = attention(&|op| op.scale = -1.0).unwrap();
    assert!(error.contains("a negative scale of the scores"), "{error}");
    let error = attention(&|op| op.scale = f32::NAN).unwrap();
    assert!(error.contains("layer `stage0.block0.mixer`"), "{error}");
    assert_eq!(attention(&|op| op.residual.res_scale[3] = 0.0), None);
    let error = attention(&|op| op.qkv.bias[2] = f32::INFINITY).unwrap();
    assert!(error.contains("layer `stage0.block0.mixer`"), "{error}");
}

/// A network with every width and every number of bits, on a core of each kind of
/// kernels.
#[test]
fn boards_compute_the_bytes_of_the_host() {
    let quantized = quantized(mixed);
    let images = images(&quantized.network, 3);
    for board in CORES {
        assert_same_bytes(&quantized.program(), board, &images);
    }
}

/// A row of scores has an end.
#[test]
fn too_many_tokens_are_refused() {
    let small = network(1);
    let images = images(&small, 2);
    let load = |index: usize| Ok::<_, ()>(normalised(&images[index]));
    let ranges = calibrate::min_max(&small, images.len(), load).unwrap();
    let pixels = Pixels {
        mean: vec![MEAN; 3],
        std: vec![STD; 3],
        order: vec![0, 1, 2],
    };
    let large = network(20);
    let precision = Precision::int8(&large);
    let error = quantize(&large, &ranges, &pixels, &precision).unwrap_err();
    let value = 120 * 100;
    assert!(
        matches!(&error, QuantError::Geometry { value: found, .. } if *found == value),
        "{error}"
    );
}
