//! Every network of the family, from every exporter, as integers: on the host close to
//! the float network, and on emulated boards the same bytes as on the host.

use crate::support;
use std::collections::BTreeSet;

use crate::support::emulated::assert_same_bytes;
use crate::support::integer::{Quantized, images, quantized_file, quantized_network, step_sqnr};
use crate::support::{Member, Noise};
use tadpool_compiler::import::import_file;
use tadpool_compiler::network::{
    Activation, Head, HeadHidden, Linear, MetaFormer, Norm, NormScope, Op, Residual,
};
use tadpool_compiler::place::program::Program;
use tadpool_compiler::place::schedule::ScheduleConfig;
use tadpool_compiler::quantize::precision::Precision;
use tadpool_compiler::quantize::quant_model::{QuantOp, Stream, WeightBits};

const STREAMS: [Stream; 2] = [Stream::Int8, Stream::Int16];

/// One width for all streams.
fn width(network: &MetaFormer, stream: Stream) -> Precision {
    let mut precision = Precision::int8(network);
    for (layer, precision) in network.layers.iter().zip(&mut precision.layers) {
        if !matches!(layer.op, Op::Head(_)) {
            precision.stream = stream;
        }
    }
    precision
}

fn quantized(member: &Member, stream: Stream) -> Quantized {
    let file = support::fixtures().join("../family").join(&member.file);
    let config = ScheduleConfig::default();
    quantized_file(&file, &config, |network| width(network, stream))
        .unwrap_or_else(|error| panic!("{}, {stream:?}: {error}", member.file))
}

/// Fails unless every step has this signal over noise, in decibels.
fn assert_close(quantized: &Quantized, least: f64, name: &str) {
    let sqnr = step_sqnr(&quantized.network, &quantized.model, &quantized.program());
    for (layer, sqnr) in quantized.network.layers.iter().zip(sqnr) {
        assert!(
            sqnr > least,
            "{name}: step `{}` has a signal over noise of {sqnr:.1} dB",
            layer.name
        );
    }
}

/// The least signal to noise ratio of every step on the two streams: less behind mixers
/// that have matrices, which round several times what they add.
fn least(member: &Member) -> [f64; 2] {
    let mixers = ["random mixing", "separable convolution", "self-attention"];
    let has = |mixer: &&str| member.layers.iter().any(|layer| layer == mixer);
    match mixers.iter().any(has) {
        true => [20.0, 23.5],
        false => [28.0, 31.0],
    }
}

#[test]
fn every_network_is_close_to_float() {
    for member in support::family().model {
        for (stream, least) in STREAMS.into_iter().zip(least(&member)) {
            let name = format!("{}, {stream:?}", member.file);
            assert_close(&quantized(&member, stream), least, &name);
        }
    }
}

#[test]
fn pooling_of_normalised_tokens_is_close_to_float() {
    for (stream, least) in STREAMS.into_iter().zip([32.0, 39.0]) {
        let mut found = 0;
        for member in support::family().model {
            let quantized = quantized(&member, stream);
            let sqnr = step_sqnr(&quantized.network, &quantized.model, &quantized.program());
            for (layer, sqnr) in quantized.model.layers.iter().zip(sqnr) {
                if matches!(layer.op, QuantOp::NormedPooling(_)) {
                    assert!(sqnr > least, "{}, {stream:?}: {sqnr:.1} dB", member.file);
                    found += 1;
                }
            }
        }
        assert!(found >= 6, "{found}");
    }
}

/// The structure of a program, whatever the numbers in it.
fn form(program: &Program<'_>) -> Vec<String> {
    let steps = program.steps.iter();
    steps
        .map(|step| format!("{} {:?} {:?}", step.name, step.input, step.kernel.name()))
        .collect()
}

#[test]
fn an_emulated_board_computes_the_bytes_of_the_host() {
    let mut seen = BTreeSet::new();
    for member in support::family().model {
        for stream in STREAMS {
            let quantized = quantized(&member, stream);
            let program = quantized.program();
            if seen.insert(form(&program)) {
                let images = images(&quantized.network, 2);
                assert_same_bytes(&program, "qemu-mps2-an386", &images);
            }
        }
    }
}

fn member(name: &str) -> MetaFormer {
    let file = support::fixtures().join("../family").join(name);
    import_file(&file).unwrap().model
}

/// Res scales of either sign, and none.
fn with_res_scales(mut network: MetaFormer) -> MetaFormer {
    let scales = [1.0, 0.5, -0.75, 0.0, 1.5, -1.0, 0.9];
    let residual = |residual: &mut Residual| {
        for (scale, value) in residual
            .res_scale
            .iter_mut()
            .zip(scales.into_iter().cycle())
        {
            *scale = value;
        }
    };
    for layer in &mut network.layers {
        match &mut layer.op {
            Op::Pooling(op) => residual(&mut op.residual),
            Op::Identity(op) => residual(&mut op.residual),
            Op::ChannelMlp(op) => residual(&mut op.residual),
            _ => {}
        }
    }
    network
}

/// A norm of its own.
fn norm(noise: &mut Noise, scope: NormScope, channels: usize) -> Norm {
    let gamma = noise.values(channels);
    Norm {
        scope,
        centred: true,
        gamma: gamma.into_iter().map(|value| 1.0 + 0.2 * value).collect(),
        beta: noise.values(channels),
        epsilon: 1e-6,
    }
}

fn linear(noise: &mut Noise, outputs: usize, inputs: usize) -> Linear {
    let weight = noise.values(outputs * inputs).into_iter();
    Linear {
        outputs,
        inputs,
        weight: weight.map(|value| value / (inputs as f32).sqrt()).collect(),
        bias: noise.values(outputs),
    }
}

/// The network with another head, of `classes` classes.
fn with_head(
    mut network: MetaFormer,
    classes: usize,
    head: impl FnOnce(&mut Noise, usize) -> Head,
) -> MetaFormer {
    let layer = network.layers.last_mut().unwrap();
    layer.op = Op::Head(head(&mut Noise::new(3), layer.input.channels));
    layer.output.channels = classes;
    network
}

/// A head with norms of scope `scope` before the mean or behind it, and a hidden layer.
fn mlp_head(
    before: Option<NormScope>,
    behind: bool,
    activation: Activation,
) -> impl FnOnce(&mut Noise, usize) -> Head {
    move |noise, channels| Head {
        norm: before.map(|scope| norm(noise, scope, channels)),
        mean_norm: behind.then(|| norm(noise, NormScope::Token, channels)),
        hidden: Some(HeadHidden {
            fc1: linear(noise, 36, channels),
            activation,
            norm: behind.then(|| norm(noise, NormScope::Token, 36)),
        }),
        linear: linear(noise, 7, 36),
    }
}

/// Forms that no fixture has: res scales in every layer, and heads of every form.
fn made() -> Vec<MetaFormer> {
    let pooling = with_res_scales(member("poolformerv2_timm_script17.onnx"));
    let tokens = with_res_scales(member("identityformer_papers_script17_external.onnx"));
    let gelu = Activation::Gelu;
    let star = Activation::StarRelu {
        scale: 0.9,
        bias: -0.4,
    };
    vec![
        pooling.clone(),
        with_head(
            pooling.clone(),
            7,
            mlp_head(Some(NormScope::Map), false, gelu),
        ),
        with_head(pooling, 7, mlp_head(None, false, star)),
        with_head(
            tokens.clone(),
            7,
            mlp_head(None, true, Activation::SquaredRelu),
        ),
        with_head(
            tokens,
            7,
            mlp_head(Some(NormScope::Token), false, Activation::Relu),
        ),
    ]
}

fn quantized_made(network: MetaFormer, stream: Stream, int4: bool) -> Quantized {
    quantized_network(network, &ScheduleConfig::default(), |network| {
        let mut precision = width(network, stream);
        if int4 {
            precision = precision.with_channel_mlps(network, WeightBits::Int4);
            precision.layers.last_mut().unwrap().weights = [WeightBits::Int4; 2];
        }
        precision
    })
    .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn res_scales_and_heads_are_close_to_float() {
    for (index, network) in made().into_iter().enumerate() {
        for (stream, least) in STREAMS.into_iter().zip([26.0, 30.0]) {
            let quantized = quantized_made(network.clone(), stream, false);
            assert_close(&quantized, least, &format!("{index}, {stream:?}"));
        }
    }
}

#[test]
fn boards_compute_the_bytes_of_the_host() {
    // In turn, since each image takes seconds to build: a network's streams are on two cores,
    // and every kernel is compared on every core by the benchmark's cases.
    let mut boards = support::CORES.into_iter().cycle();
    for (index, network) in made().into_iter().enumerate() {
        for stream in STREAMS {
            let quantized = quantized_made(network.clone(), stream, index % 2 == 1);
            let images = images(&network, 2);
            let board = boards.next().unwrap();
            assert_same_bytes(&quantized.program(), board, &images);
        }
    }
}

#[test]
fn the_stack_does_not_grow_with_the_classes() {
    let [few, many] = [7, 1000].map(|classes| {
        let network = member("identityformer_timm_script17.onnx");
        let network = with_head(network, classes, |noise, channels| Head {
            norm: Some(norm(noise, NormScope::Map, channels)),
            mean_norm: None,
            hidden: None,
            linear: linear(noise, classes, channels),
        });
        let images = images(&network, 1);
        let quantized = quantized_made(network, Stream::Int8, false);
        assert_same_bytes(&quantized.program(), "qemu-mps2-an386", &images)
    });
    assert!(many < few + 64, "{few} {many}");
}
