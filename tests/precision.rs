//! Precision per layer: four-bit weights and 16-bit streams, from the quantizer
//! to emulated boards.

use crate::support::Noise;
use crate::support::placed::{
    Layers, Maker, assert_same_on, generated, placed, quantize, step_sqnr,
};
use tadpool_compiler::network::{
    Activation, ChannelMlp, Identity, LayerName, MetaFormer, Op, PatchEmbedding, Pooling, Shape,
};
use tadpool_compiler::quantize::QuantError;
use tadpool_compiler::quantize::precision::{LayerPrecision, Precision};
use tadpool_compiler::quantize::quant_model::{Stream, WeightBits};
use tadpool_kernels::layout::Layout;
use tadpool_kernels::pooling::Subtracted;

use Stream::Int16;
use WeightBits::{Int4, Int8 as Byte};

/// Channels, hidden channels, window, step, padding and mixer of each stage.
const STAGES: [(usize, usize, usize, usize, usize, Mixer); 4] = [
    (8, 20, 3, 1, 1, Mixer::Pooling),
    (12, 72, 2, 2, 0, Mixer::Identity),
    (24, 100, 3, 2, 1, Mixer::Pooling),
    (12, 28, 1, 1, 0, Mixer::Identity),
];

#[derive(Clone, Copy)]
enum Mixer {
    Pooling,
    Identity,
}

fn network() -> MetaFormer {
    let mut make = Maker(Noise::new(3));
    let input = Shape {
        height: 12,
        width: 12,
        channels: 3,
    };
    let mut layers = Layers::of(input);
    for (number, (channels, hidden, window, stride, padding, mixer)) in
        STAGES.into_iter().enumerate()
    {
        let shape = layers.map;
        let side = (shape.height + 2 * padding - window) / stride + 1;
        let map = Shape {
            height: side,
            width: side,
            channels,
        };
        let embedding = PatchEmbedding {
            window: [window; 2],
            stride: [stride; 2],
            padding: [padding; 4],
            linear: make.linear(channels, window * window * shape.channels),
            rectifier: None,
        };
        layers.push(
            LayerName::Embedding { stage: number },
            map,
            Op::PatchEmbedding(embedding),
        );
        let (norm, residual) = (make.norm(channels), make.residual(channels));
        let mixer = match mixer {
            Mixer::Pooling => Op::Pooling(Pooling {
                norm,
                window: 3,
                subtracted: Subtracted::Pooled,
                residual,
                bias: Vec::new(),
            }),
            Mixer::Identity => Op::Identity(Identity { norm, residual }),
        };
        layers.push(
            LayerName::Mixer {
                stage: number,
                block: 0,
            },
            map,
            mixer,
        );
        let mlp = ChannelMlp {
            norm: make.norm(channels),
            fc1: make.linear(hidden, channels),
            activation: Activation::Gelu,
            fc2: make.linear(channels, hidden),
            residual: make.residual(channels),
        };
        layers.push(
            LayerName::ChannelMlp {
                stage: number,
                block: 0,
            },
            map,
            Op::ChannelMlp(mlp),
        );
    }
    let channels = layers.map.channels;
    let norm = make.norm(channels);
    layers.classified(norm, make.linear(5, channels))
}

/// Every pair of widths between two stages, and every pair of weights.
fn mixed(network: &MetaFormer) -> Precision {
    let mut precision = Precision::int8(network)
        .with_stage(network, 0, Int16)
        .with_stage(network, 2, Int16)
        .with_stage(network, 3, Int16);
    let weights = [[Byte; 2], [Int4, Byte], [Int4; 2], [Byte, Int4]];
    for (number, layer) in precision.layers.iter_mut().enumerate() {
        layer.weights = weights[(number / 3 + number) % 4];
    }
    // Some channels keep more bits than others where matrices read them.
    precision.layers[8].shift = (0..24).map(|channel| 8 - channel % 3 / 2).collect();
    precision
}

#[test]
fn wide_streams_are_finer() {
    let network = network();
    let int8 = Precision::int8(&network);
    let int16 = (0..STAGES.len()).fold(int8.clone(), |precision, stage| {
        precision.with_stage(&network, stage, Int16)
    });
    let [narrow, wide] = [int8, int16].map(|p| step_sqnr(&placed(&network, &p)));
    for ((layer, narrow), wide) in network.layers.iter().zip(&narrow).zip(&wide) {
        assert!(
            *narrow > 25.0 && *wide > 34.0,
            "{}: {narrow} {wide}",
            layer.name
        );
    }
    // Before the first patch embedding that reads a rounded stream.
    assert!(wide[2] > narrow[2] + 3.0, "{narrow:?} {wide:?}");
}

#[test]
fn narrow_weights_cost_accuracy_and_save_half() {
    let network = network();
    let all = |bits| {
        let mut precision = Precision::int8(&network);
        for layer in &mut precision.layers {
            layer.weights = [bits; 2];
        }
        placed(&network, &precision)
    };
    let (eight, four) = (all(Byte), all(Int4));
    for layout in [Layout::Rows, Layout::Dsp, Layout::Helium] {
        let [eight, four] = [&eight, &four].map(|placed| generated(placed, layout).weights.len());
        assert!(10 * four < 6 * eight, "{layout:?}: {four} of {eight}");
    }
    for (layer, sqnr) in network.layers.iter().zip(step_sqnr(&four)) {
        assert!(sqnr > 10.0, "{}: {sqnr}", layer.name);
    }
    // Unpacking takes a little memory, and tiles no more than is free.
    let more = four.memory.arena_size - eight.memory.arena_size;
    assert!(more <= 1024 + 2048, "{more}");
}

#[test]
fn a_stage_has_one_width() {
    let network = network();
    let mut precision = Precision::int8(&network);
    precision.layers[1].stream = Int16;
    let error = quantize(&network, &precision).unwrap_err();
    let layer = "stage0.block0.mixer".to_owned();
    assert_eq!(error, QuantError::StreamWidth { layer });

    precision = Precision::int8(&network).with_stage(&network, 0, Int16);
    precision.layers[2].shift = vec![9; 8];
    let error = quantize(&network, &precision).unwrap_err();
    assert!(
        matches!(error, QuantError::Shift { largest: 9, .. }),
        "{error}"
    );

    precision.layers.push(LayerPrecision::default());
    let error = quantize(&network, &precision).unwrap_err();
    assert!(matches!(error, QuantError::Precision { .. }), "{error}");
}

/// One network with every pair of widths and weights, on one core of each kind
/// of kernels.
#[test]
fn boards_compute_the_bytes_of_the_host() {
    let network = network();
    let placed = placed(&network, &mixed(&network));
    let names = [
        "qemu-lm3s6965evb",
        "qemu-microbit",
        "qemu-mps2-an385",
        "qemu-mps2-an386",
        "qemu-mps3-an547",
    ];
    for name in names {
        assert_same_on(name, &placed);
    }
}
