//! Stems, downsampling, position embeddings, wide pools and norms without a mean or without
//! statistics, in made networks, to emulated boards.

use crate::support::placed::{Layers, Maker, assert_same_on, placed, step_sqnr};
use crate::support::{CORES, Noise};
use tadpool_compiler::network::{
    Activation, Attention, ChannelMlp, Depthwise, DepthwiseEmbedding, Identity, LayerName,
    MetaFormer, Norm, NormScope, Op, PatchEmbedding, Pooling, PositionEmbedding, RandomMixing,
    Reduction, SepConv, Shape,
};
use tadpool_compiler::quantize::precision::Precision;
use tadpool_compiler::quantize::quant_model::Stream;
use tadpool_kernels::pooling::Subtracted;

/// Writes a network layer by layer.
struct Network {
    make: Maker,
    layers: Layers,
    stage: usize,
    block: usize,
}

impl Network {
    fn new(seed: u64, [height, width]: [usize; 2]) -> Self {
        let input = Shape {
            height,
            width,
            channels: 3,
        };
        Self {
            make: Maker(Noise::new(seed)),
            layers: Layers::of(input),
            stage: 0,
            block: 0,
        }
    }

    fn channels(&self) -> usize {
        self.layers.map.channels
    }

    fn patches(&mut self, channels: usize) {
        let read = self.channels();
        let op = Op::PatchEmbedding(PatchEmbedding {
            window: [1, 1],
            stride: [1, 1],
            padding: [0; 4],
            linear: self.make.linear(channels, read),
            rectifier: None,
        });
        let map = Shape {
            channels,
            ..self.layers.map
        };
        self.embed(map, op);
    }

    fn embed(&mut self, map: Shape, op: Op) {
        (self.stage, self.block) = (self.stage + 1, 0);
        self.layers
            .push(LayerName::Embedding { stage: self.stage }, map, op);
    }

    fn windows(&mut self, window: [usize; 2], stride: [usize; 2], reduction: Reduction) {
        let map = self.layers.map;
        let padding = window.map(|side| side / 2);
        let side =
            |axis: usize, size: usize| (size + 2 * padding[axis] - window[axis]) / stride[axis] + 1;
        let output = Shape {
            height: side(0, map.height),
            width: side(1, map.width),
            ..map
        };
        let op = Op::DepthwiseEmbedding(DepthwiseEmbedding {
            window,
            stride,
            padding,
            reduction,
            rectifier: None,
        });
        self.embed(output, op);
    }

    fn depthwise(&mut self, window: [usize; 2], stride: [usize; 2]) {
        let taps = self.make.linear(self.channels(), window[0] * window[1]);
        let reduction = Reduction::Sum {
            weight: taps.weight,
            bias: taps.bias,
        };
        self.windows(window, stride, reduction);
    }

    fn activation(&mut self, activation: Activation) {
        let name = LayerName::EmbeddingActivation { stage: self.stage };
        let map = self.layers.map;
        self.layers.push(name, map, Op::Activation(activation));
    }

    fn positions(&mut self) {
        let map = self.layers.map;
        let positions = self.make.0.values(map.elements());
        let name = LayerName::Position { stage: self.stage };
        let op = Op::PositionEmbedding(PositionEmbedding { positions });
        self.layers.push(name, map, op);
    }

    fn norm(&mut self, scope: NormScope, centred: bool) -> Norm {
        let norm = self.make.norm(self.channels());
        Norm {
            scope,
            centred,
            ..norm
        }
    }

    fn own_norm(&mut self, scope: NormScope, centred: bool) {
        let norm = self.norm(scope, centred);
        let name = LayerName::EmbeddingNorm { stage: self.stage };
        let map = self.layers.map;
        self.layers.push(name, map, Op::Norm(norm));
    }

    fn mixer(&mut self, op: impl FnOnce(&mut Self) -> Op) {
        let op = op(self);
        let name = LayerName::Mixer {
            stage: self.stage,
            block: self.block,
        };
        let map = self.layers.map;
        self.layers.push(name, map, op);
        self.block += 1;
    }

    fn pool(&mut self, window: usize, scope: NormScope, centred: bool) {
        self.pool_less(Subtracted::Pooled, window, scope, centred);
    }

    fn pool_less(
        &mut self,
        subtracted: Subtracted,
        window: usize,
        scope: NormScope,
        centred: bool,
    ) {
        self.mixer(|network| {
            let channels = network.channels();
            Op::Pooling(Pooling {
                norm: network.norm(scope, centred),
                window,
                subtracted,
                residual: network.make.residual(channels),
                bias: Vec::new(),
            })
        });
    }

    fn mlp(&mut self, scope: NormScope, centred: bool) {
        let channels = self.channels();
        let op = Op::ChannelMlp(ChannelMlp {
            norm: self.norm(scope, centred),
            fc1: self.make.linear(2 * channels, channels),
            activation: Activation::Relu,
            fc2: self.make.linear(channels, 2 * channels),
            residual: self.make.residual(channels),
        });
        let block = self.block.saturating_sub(1);
        let name = LayerName::ChannelMlp {
            stage: self.stage,
            block,
        };
        let map = self.layers.map;
        self.layers.push(name, map, op);
    }

    fn sep_conv(&mut self, scope: NormScope, centred: bool) {
        self.mixer(|network| {
            let (channels, hidden) = (network.channels(), 10);
            let window = network.make.linear(hidden, 15);
            Op::SepConv(SepConv {
                norm: network.norm(scope, centred),
                fc1: network.make.linear(hidden, channels),
                act1: Some(Activation::Relu),
                depthwise: Depthwise {
                    window: [3, 5],
                    weight: window.weight,
                    bias: window.bias,
                },
                act2: None,
                fc2: network.make.linear(channels, hidden),
                residual: network.make.residual(channels),
            })
        });
    }

    fn attention(&mut self, scope: NormScope, centred: bool) {
        self.mixer(|network| {
            let channels = network.channels();
            Op::Attention(Attention {
                norm: network.norm(scope, centred),
                heads: 2,
                scale: 0.5,
                qkv: network.make.linear(3 * 8, channels),
                projection: network.make.linear(channels, 8),
                residual: network.make.residual(channels),
            })
        });
    }

    fn random_mixing(&mut self, scope: NormScope, centred: bool) {
        self.mixer(|network| {
            let (channels, tokens) = (network.channels(), network.layers.map.tokens());
            Op::RandomMixing(RandomMixing {
                norm: network.norm(scope, centred),
                matrix: network.make.linear(tokens, tokens).weight,
                residual: network.make.residual(channels),
            })
        });
    }

    fn identity(&mut self, scope: NormScope, centred: bool) {
        self.mixer(|network| {
            let channels = network.channels();
            Op::Identity(Identity {
                norm: network.norm(scope, centred),
                residual: network.make.residual(channels),
            })
        });
    }

    fn classified(mut self, centred: bool) -> MetaFormer {
        let norm = self.norm(NormScope::Map, centred);
        let linear = self.make.linear(5, self.channels());
        self.layers.classified(norm, linear)
    }
}

const SILU: Activation = Activation::Swish { alpha: 1.0 };

fn stems(seed: u64) -> MetaFormer {
    let mut network = Network::new(seed, [15, 13]);
    network.patches(8);
    network.activation(SILU);
    network.depthwise([3, 3], [2, 2]);
    network.activation(Activation::HardSwish);
    network.patches(12);
    network.positions();
    network.windows([3, 3], [1, 1], Reduction::Maximum);
    network.own_norm(NormScope::Fixed, true);
    network.windows(
        [3, 3],
        [2, 2],
        Reduction::Mean {
            counts_padding: false,
        },
    );
    network.own_norm(NormScope::Token, false);
    network.positions();
    network.pool(3, NormScope::Map, false);
    network.windows(
        [1, 3],
        [1, 2],
        Reduction::Mean {
            counts_padding: true,
        },
    );
    network.classified(false)
}

/// Pools of 5x5 and 7x7 behind norms of every kind, on a map that is smaller than the window
/// on one side.
fn pools(seed: u64) -> MetaFormer {
    let mut network = Network::new(seed, [9, 5]);
    network.patches(9);
    for window in [5, 7] {
        network.pool(window, NormScope::Map, true);
        network.pool(window, NormScope::Token, true);
        network.pool(window, NormScope::Fixed, true);
        network.pool(window, NormScope::Token, false);
    }
    network.classified(true)
}

/// Pools alone, which keep the norm's mean and bias.
fn pools_alone(seed: u64) -> MetaFormer {
    let mut network = Network::new(seed, [5, 8]);
    network.patches(7);
    for window in [3, 5, 7] {
        for (scope, centred) in [
            (NormScope::Map, true),
            (NormScope::Token, true),
            (NormScope::Fixed, true),
            (NormScope::Map, false),
        ] {
            network.pool_less(Subtracted::Nothing, window, scope, centred);
        }
    }
    network.classified(true)
}

/// Mixers and MLPs behind norms of this kind.
fn mixers(seed: u64, scope: NormScope, centred: bool) -> MetaFormer {
    let mut network = Network::new(seed, [6, 5]);
    network.patches(8);
    network.sep_conv(scope, centred);
    network.mlp(scope, centred);
    network.attention(scope, centred);
    network.random_mixing(scope, centred);
    network.identity(scope, centred);
    network.pool(3, scope, centred);
    network.mlp(scope, centred);
    network.classified(centred || scope == NormScope::Fixed)
}

fn all() -> Vec<(&'static str, MetaFormer)> {
    vec![
        ("stems", stems(5)),
        ("pools", pools(6)),
        ("pools alone", pools_alone(10)),
        ("no statistics", mixers(7, NormScope::Fixed, true)),
        ("no mean of a map", mixers(8, NormScope::Map, false)),
        ("no mean of a token", mixers(9, NormScope::Token, false)),
    ]
}

fn precision(network: &MetaFormer, stream: Stream) -> Precision {
    let stages = network.layers.len();
    (0..stages).fold(Precision::int8(network), |precision, stage| {
        precision.with_stage(network, stage, stream)
    })
}

#[test]
fn steps_stay_close_to_float() {
    for (name, network) in all() {
        for (stream, least) in [(Stream::Int8, 20.0), (Stream::Int16, 25.0)] {
            let steps = step_sqnr(&placed(&network, &precision(&network, stream)));
            for (layer, decibels) in network.layers.iter().zip(&steps) {
                assert!(
                    *decibels > least,
                    "{name}, {stream:?}, {}: {steps:?}",
                    layer.name
                );
            }
        }
    }
}

/// Streams of both widths, on one core of each kind of kernels.
#[test]
fn boards_compute_the_bytes_of_the_host() {
    let mut boards = CORES.into_iter().cycle();
    for (_, network) in all() {
        for stream in [Stream::Int8, Stream::Int16] {
            let placed = placed(&network, &precision(&network, stream));
            assert_same_on(boards.next().unwrap(), &placed);
        }
    }
}
