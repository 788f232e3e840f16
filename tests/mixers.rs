//! Random mixing and separable convolutions, from the quantizer to emulated boards.

use crate::support::placed::{
    Layers, Maker, assert_same_on, place, placed, quantize_carefully, step_sqnr,
};
use crate::support::{CORES, Noise};
use tadpool_compiler::network::{
    Activation, ChannelMlp, Depthwise, LayerName, MetaFormer, Norm, NormScope, Op, PatchEmbedding,
    RandomMixing, Residual, SepConv, Shape,
};
use tadpool_compiler::quantize::precision::Precision;
use tadpool_compiler::quantize::quant_model::{QuantModel, QuantOp, Stream, WeightBits};

/// Channels, window and step of each stage's embedding, scope of its norms, and its
/// mixer.
const STAGES: [(usize, usize, usize, NormScope, Mixer); 4] = [
    (
        8,
        3,
        1,
        NormScope::Token,
        Mixer::SepConv([7, 7], STAR, None),
    ),
    (12, 2, 2, NormScope::Map, Mixer::RandomMixing),
    (16, 1, 1, NormScope::Map, Mixer::SepConv([3, 5], None, GELU)),
    (12, 2, 2, NormScope::Token, Mixer::RandomMixing),
];

const STAR: Option<Activation> = Some(Activation::StarRelu {
    scale: 0.8944,
    bias: -0.4472,
});
const GELU: Option<Activation> = Some(Activation::Gelu);

#[derive(Clone, Copy)]
enum Mixer {
    /// Window, and the activations before and behind it.
    SepConv([usize; 2], Option<Activation>, Option<Activation>),
    RandomMixing,
}

fn norm(make: &mut Maker, channels: usize, scope: NormScope) -> Norm {
    Norm {
        scope,
        centred: true,
        ..make.norm(channels)
    }
}

/// With res scales of both signs.
fn residual(make: &mut Maker, channels: usize) -> Residual {
    let res_scale = make.0.values(channels);
    Residual {
        res_scale: res_scale
            .into_iter()
            .map(|value| value.signum() * (0.5 + value.abs()))
            .collect(),
        ..make.residual(channels)
    }
}

fn mixer(make: &mut Maker, map: Shape, scope: NormScope, mixer: Mixer) -> Op {
    let channels = map.channels;
    let (norm, residual) = (norm(make, channels, scope), residual(make, channels));
    match mixer {
        Mixer::SepConv(window, act1, act2) => {
            let hidden = 2 * channels;
            let taps = make.linear(hidden, window[0] * window[1]);
            Op::SepConv(SepConv {
                norm,
                fc1: make.linear(hidden, channels),
                act1,
                depthwise: Depthwise {
                    window,
                    weight: taps.weight,
                    bias: taps.bias,
                },
                act2,
                fc2: make.linear(channels, hidden),
                residual,
            })
        }
        Mixer::RandomMixing => Op::RandomMixing(RandomMixing {
            norm,
            matrix: make.linear(map.tokens(), map.tokens()).weight,
            residual,
        }),
    }
}

fn network() -> MetaFormer {
    let mut make = Maker(Noise::new(5));
    let input = Shape {
        height: 12,
        width: 10,
        channels: 3,
    };
    let mut layers = Layers::of(input);
    for (number, (channels, window, stride, scope, kind)) in STAGES.into_iter().enumerate() {
        let shape = layers.map;
        let padding = usize::from(stride == 1) * (window / 2);
        let map = Shape {
            height: (shape.height + 2 * padding - window) / stride + 1,
            width: (shape.width + 2 * padding - window) / stride + 1,
            channels,
        };
        let embedding = PatchEmbedding {
            window: [window; 2],
            stride: [stride; 2],
            padding: [padding; 4],
            linear: make.linear(channels, window * window * shape.channels),
            rectifier: None,
        };
        let embedding = Op::PatchEmbedding(embedding);
        layers.push(LayerName::Embedding { stage: number }, map, embedding);
        let mixer = mixer(&mut make, map, scope, kind);
        layers.push(
            LayerName::Mixer {
                stage: number,
                block: 0,
            },
            map,
            mixer,
        );
        let mlp = Op::ChannelMlp(ChannelMlp {
            norm: make.norm(channels),
            fc1: make.linear(2 * channels, channels),
            activation: Activation::Relu,
            fc2: make.linear(channels, 2 * channels),
            residual: make.residual(channels),
        });
        layers.push(
            LayerName::ChannelMlp {
                stage: number,
                block: 0,
            },
            map,
            mlp,
        );
    }
    let channels = layers.map.channels;
    let norm = make.norm(channels);
    layers.classified(norm, make.linear(5, channels))
}

/// All streams of one width.
fn all(network: &MetaFormer, stream: Stream) -> Precision {
    let stages = 0..STAGES.len();
    stages.fold(Precision::int8(network), |precision, stage| {
        precision.with_stage(network, stage, stream)
    })
}

#[test]
fn steps_stay_close_to_float() {
    let network = network();
    let of = |stream| step_sqnr(&placed(&network, &all(&network, stream)));
    let (narrow, wide) = (of(Stream::Int8), of(Stream::Int16));
    for ((layer, narrow), wide) in network.layers.iter().zip(&narrow).zip(&wide) {
        assert!(
            *narrow > 25.0 && *wide > 30.0,
            "{}: {narrow} {wide}",
            layer.name
        );
    }
}

/// Four bits a weight cost accuracy, and less of it where rounding looks at what a
/// separable convolution's matrices compute.
#[test]
fn narrow_weights_are_rounded_for_their_outputs() {
    let network = network();
    let mut precision = Precision::int8(&network);
    for layer in &mut precision.layers {
        layer.weights = [WeightBits::Int4; 2];
    }
    let nearest = step_sqnr(&placed(&network, &precision));
    let carefully = place(&network, quantize_carefully(&network, &precision));
    let carefully = step_sqnr(&carefully);
    for ((layer, nearest), carefully) in network.layers.iter().zip(&nearest).zip(&carefully) {
        assert!(*nearest > 8.0, "{}: {nearest}", layer.name);
        if matches!(layer.op, Op::SepConv(_)) {
            assert!(
                *carefully > nearest + 1.0,
                "{}: {nearest} {carefully}",
                layer.name
            );
        }
    }
}

/// The parts that only rounding a layer's own matrices for their outputs can change.
#[test]
fn the_matrices_of_a_separable_convolution_have_moments() {
    let network = network();
    let mut precision = Precision::int8(&network);
    precision.layers[1].weights = [WeightBits::Int4; 2];
    let matrices = |model: &QuantModel| match &model.layers[1].op {
        QuantOp::SepConv(op) => [op.fc1.matrix.clone(), op.fc2.matrix.clone()],
        _ => unreachable!("the first mixer is a separable convolution"),
    };
    let nearest = matrices(&placed(&network, &precision).model);
    let carefully = matrices(&quantize_carefully(&network, &precision));
    assert_ne!(nearest[0], carefully[0]);
    assert_ne!(nearest[1], carefully[1]);
}

/// Streams of both widths and weights of both, on one core of each kind of kernels.
#[test]
fn boards_compute_the_bytes_of_the_host() {
    let network = network();
    let widths = [Stream::Int8, Stream::Int16];
    for (turn, stream) in widths.into_iter().enumerate() {
        let mut precision = all(&network, stream);
        for (number, layer) in precision.layers.iter_mut().enumerate() {
            if (number + turn) % 4 == 0 {
                layer.weights[turn] = WeightBits::Int4;
            }
        }
        let placed = placed(&network, &precision);
        for board in CORES {
            assert_same_on(board, &placed);
        }
    }
}
