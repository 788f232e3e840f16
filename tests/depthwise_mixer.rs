//! Depthwise mixers, from ONNX files and made networks to emulated boards.

use crate::support::placed::{Layers, Maker, assert_same_on, placed, step_sqnr};
use crate::support::{CORES, Noise, fixtures};
use tadpool_compiler::import::import_file;
use tadpool_compiler::import::reference::{Reference, compare};
use tadpool_compiler::layers::depthwise_mixer::DepthwiseMixer;
use tadpool_compiler::network::{
    Depthwise, LayerName, MetaFormer, Norm, NormScope, Op, PatchEmbedding, Residual, Shape,
};
use tadpool_compiler::quantize::precision::Precision;
use tadpool_compiler::quantize::quant_model::Stream;

/// Channels, window and norm of each stage's mixer: windows of one row, of one column, and
/// larger than the map among them.
const STAGES: [(usize, [usize; 2], Option<NormScope>); 5] = [
    (8, [3, 3], Some(NormScope::Map)),
    (9, [7, 7], Some(NormScope::Token)),
    (12, [1, 5], Some(NormScope::Map)),
    (5, [9, 1], None),
    (16, [5, 11], Some(NormScope::Map)),
];

/// Weights of a norm, among them one that is zero: its channel is the norm's bias alone.
fn norm(make: &mut Maker, channels: usize, scope: NormScope) -> Norm {
    let mut norm = make.norm(channels);
    norm.gamma[channels / 2] = 0.0;
    Norm { scope, ..norm }
}

fn network(seed: u64) -> MetaFormer {
    let mut make = Maker(Noise::new(seed));
    let input = Shape {
        height: 11,
        width: 8,
        channels: 3,
    };
    let mut layers = Layers::of(input);
    for (number, (channels, window, scope)) in STAGES.into_iter().enumerate() {
        let read = layers.map.channels;
        let map = Shape {
            channels,
            ..layers.map
        };
        let embedding = Op::PatchEmbedding(PatchEmbedding {
            window: [1, 1],
            stride: [1, 1],
            padding: [0; 4],
            linear: make.linear(channels, read),
            rectifier: None,
        });
        layers.push(LayerName::Embedding { stage: number }, map, embedding);
        // Two, so that one reads what another wrote.
        for block in 0..2 {
            let taps = make.linear(channels, window[0] * window[1]);
            let mixer = Op::DepthwiseMixer(DepthwiseMixer {
                norm: scope.map(|scope| norm(&mut make, channels, scope)),
                depthwise: Depthwise {
                    window,
                    weight: taps.weight,
                    bias: taps.bias,
                },
                residual: Residual {
                    res_scale: vec![if block == 0 { 1.0 } else { -0.8 }; channels],
                    ..make.residual(channels)
                },
            });
            layers.push(
                LayerName::Mixer {
                    stage: number,
                    block,
                },
                map,
                mixer,
            );
        }
    }
    let channels = layers.map.channels;
    let norm = make.norm(channels);
    layers.classified(norm, make.linear(5, channels))
}

fn all(network: &MetaFormer, stream: Stream) -> Precision {
    (0..STAGES.len()).fold(Precision::int8(network), |precision, stage| {
        precision.with_stage(network, stage, stream)
    })
}

#[test]
fn steps_stay_close_to_float() {
    for seed in [3, 11, 58] {
        let network = network(seed);
        let of = |stream| step_sqnr(&placed(&network, &all(&network, stream)));
        let (narrow, wide) = (of(Stream::Int8), of(Stream::Int16));
        for ((layer, narrow), wide) in network.layers.iter().zip(&narrow).zip(&wide) {
            assert!(
                *narrow > 22.0 && *wide > 28.0,
                "seed {seed}, {}: {narrow} {wide}",
                layer.name
            );
        }
    }
}

/// Streams of both widths, on one core of each kind of kernels.
#[test]
fn boards_compute_the_bytes_of_the_host() {
    let network = network(3);
    for stream in [Stream::Int8, Stream::Int16] {
        let placed = placed(&network, &all(&network, stream));
        for board in CORES {
            assert_same_on(board, &placed);
        }
    }
}

/// Windows of 3x3 and 7x7, and a factor and a term of each channel as RIFormer trains them, which
/// are a window of 1x1.
#[test]
fn files_are_imported_as_tract_runs_them() {
    let windows = [
        ("depthwise_3x3.onnx", vec![[3, 3], [3, 3]]),
        ("depthwise_7x7.onnx", vec![[7, 7], [7, 7]]),
        ("depthwise_1x1_and_affine.onnx", vec![[1, 1]]),
    ];
    for (file, expected) in windows {
        let imported = import_file(&fixtures().join(file)).unwrap();
        let mixers = imported
            .model
            .layers
            .iter()
            .filter_map(|layer| match &layer.op {
                Op::DepthwiseMixer(mixer) => Some(mixer.depthwise.window),
                _ => None,
            });
        assert_eq!(mixers.collect::<Vec<_>>(), expected, "{file}");
        let reference = Reference::new(&imported.bytes, imported.model.input).unwrap();
        let mut noise = Noise::new(7);
        let images: Vec<_> = (0..4)
            .map(|_| noise.values(imported.model.input.elements()))
            .collect();
        let comparison = compare(&imported.model, &reference, &images, 1e-4)
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(comparison.same_top1, 4, "{file}");
    }
}
