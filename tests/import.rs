//! From ONNX files to the MetaFormer IR: every form of every layer is
//! recognised, and computes what the original file computes.

use crate::support;
use std::collections::{BTreeMap, BTreeSet};

use crate::support::network::Form;
use crate::support::{Fixture, Noise};
use proptest::prelude::*;
use tadpool_compiler::import::reference::{Reference, compare};
use tadpool_compiler::import::{import, import_file};
use tadpool_compiler::network::float::{self, View};
use tadpool_compiler::network::{MetaFormer, Op};

const TOLERANCE: f32 = 1e-4;

#[test]
fn fixtures_compute_what_the_reference_computes() {
    let manifest = support::manifest();
    assert!(manifest.model.len() > 10, "the manifest lists the fixtures");
    for fixture in &manifest.model {
        let imported = import_file(&support::fixtures().join(&fixture.file)).unwrap();
        check_layers(&imported.model, fixture);
        let reference = Reference::new(&imported.bytes, imported.model.input).unwrap();
        let mut noise = Noise::new(7);
        let images: Vec<_> = (0..6)
            .map(|_| noise.values(imported.model.input.elements()))
            .collect();
        let comparison = compare(&imported.model, &reference, &images, TOLERANCE)
            .unwrap_or_else(|error| panic!("{}: {error}", fixture.file));
        assert_eq!(
            (comparison.images, comparison.same_top1),
            (6, 6),
            "{}",
            fixture.file
        );
        assert_distinct_scores(&imported.model, &images, &fixture.file);
    }
}

/// The logits of the framework that wrote the file, which owes tract nothing.
#[test]
fn fixtures_compute_what_their_framework_computed() {
    for fixture in support::manifest().model {
        let model = import_file(&support::fixtures().join(&fixture.file))
            .unwrap()
            .model;
        let image = support::floats(fixture.input.as_deref().unwrap());
        let expected = support::floats(fixture.logits.as_deref().unwrap());
        let image = support::channels_last(&image, model.input.channels);
        let scores = float::run(&model, &image, |_| {});
        assert_eq!(scores.len(), fixture.classes);
        for (score, expected) in scores.iter().zip(&expected) {
            assert!(
                (score - expected).abs() < TOLERANCE,
                "{}: {scores:?} {expected:?}",
                fixture.file
            );
        }
    }
}

#[test]
fn full_size_networks_compute_what_the_reference_computes() {
    for name in ["poolformer-cifar10", "identityformer-cifar10"] {
        let folder = support::fixtures().join("../../../models").join(name);
        let imported = import_file(&folder.join("model.onnx")).unwrap();
        assert_eq!(imported.model.layers.len(), 16);
        assert_eq!(imported.model.macs(), 15_557_888);
        let reference = Reference::new(&imported.bytes, imported.model.input).unwrap();
        let mut noise = Noise::new(11);
        let images: Vec<_> = (0..2)
            .map(|_| noise.values(imported.model.input.elements()))
            .collect();
        compare(&imported.model, &reference, &images, TOLERANCE).unwrap();
    }
}

/// Every token mixer, norm, activation and head, from every exporter: the layers
/// are those of the network, and compute what its framework and tract compute.
#[test]
fn every_network_of_the_family_is_imported() {
    let folder = support::fixtures().join("../family");
    let manifest = support::family();
    assert!(manifest.model.len() > 30, "the manifest lists the fixtures");
    for member in &manifest.model {
        let file = &member.file;
        let imported = import_file(&folder.join(file)).unwrap_or_else(|error| panic!("{error}"));
        let model = &imported.model;
        let kinds: Vec<_> = model.layers.iter().map(|layer| layer.op.kind()).collect();
        assert_eq!(kinds, member.layers, "{file}");
        let floats = |extension: &str| {
            let path = folder.join(file).with_extension(extension);
            support::read_floats(&path)
        };
        let image = support::channels_last(&floats("input.f32"), model.input.channels);
        let mut expected = floats("logits.f32");
        if !model.has_head() {
            let map = model.layers.last().unwrap().output;
            expected = support::channels_last(&expected, map.channels);
        }
        let found = float::run(model, &image, |_| {});
        assert_eq!(found.len(), expected.len(), "{file}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < TOLERANCE,
                "{file}: {found} {expected}"
            );
        }
        let reference = Reference::new(&imported.bytes, model.input)
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        compare(model, &reference, [image], TOLERANCE)
            .unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

/// The README's table says what the fixtures show.
#[test]
fn the_results_list_the_family() {
    let mut rows = BTreeMap::<_, (BTreeMap<_, BTreeSet<u32>>, bool)>::new();
    for member in support::family().model {
        let (opsets, simplified) = rows.entry((member.network, member.source)).or_default();
        opsets
            .entry(member.exporter)
            .or_default()
            .insert(member.opset);
        *simplified |= member.simplified;
    }
    let mut table = String::from(
        "| network | written by | TorchScript, opsets | dynamo, opsets | onnxsim |\n\
         |---|---|---|---|---|\n",
    );
    for ((network, source), (opsets, simplified)) in &rows {
        let list = |exporter: &str| {
            let opsets = opsets.get(exporter).into_iter().flatten();
            let opsets: Vec<_> = opsets.map(u32::to_string).collect();
            opsets.join(", ")
        };
        let (script, dynamo) = (list("torchscript"), list("dynamo"));
        let simplified = if *simplified { "yes" } else { "" };
        table += &format!("| {network} | {source} | {script} | {dynamo} | {simplified} |\n");
    }
    let results = support::fixtures().join("../../../RESULTS.md");
    let results = std::fs::read_to_string(results).unwrap();
    assert!(
        results.contains(&table),
        "RESULTS.md, and the template that it is written from, need this table:\n{table}"
    );
}

#[test]
fn every_map_is_observed_once() {
    let model = import_file(&support::fixtures().join("pool_script17.onnx"))
        .unwrap()
        .model;
    let image = Noise::new(3).values(model.input.elements());
    let mut seen = Vec::new();
    let scores = float::run(&model, &image, |view| {
        if view.kind == View::Input {
            assert!(view.values.len().is_multiple_of(view.channels));
            return; // a patch embedding's windows come one row at a time
        }
        let tokens = match view.layer.op {
            Op::Head(_) => 1,
            _ => view.layer.output.tokens(),
        };
        assert_eq!(
            view.values.len(),
            tokens * view.channels,
            "{}",
            view.layer.name
        );
        seen.push((view.index, view.kind, view.values.to_vec()));
    });
    let outputs = seen
        .iter()
        .filter(|(_, kind, _)| *kind == View::Output)
        .count();
    assert_eq!(outputs, model.layers.len());
    assert_eq!(seen.last().map(|(.., values)| values), Some(&scores));
    let mut mlps = 0;
    for (index, layer) in model.layers.iter().enumerate() {
        let Op::ChannelMlp(mlp) = &layer.op else {
            continue;
        };
        let map = |kind| {
            &seen
                .iter()
                .find(|(i, k, _)| (*i, *k) == (index, kind))
                .expect("an observed map")
                .2
        };
        for (u, h) in map(View::Preactivation).iter().zip(map(View::Hidden)) {
            // Written in single precision, four steps of which are allowed.
            let expected = mlp.activation.apply(f64::from(*u)) as f32;
            assert!(
                (expected - h).abs() <= 4.0 * f32::EPSILON * u.abs().max(1e-3),
                "{u}: {h}"
            );
        }
        mlps += 1;
    }
    assert_eq!((mlps, seen.len()), (4, model.layers.len() + 2 * 4));
}

#[test]
fn names_and_nodes_say_where_a_layer_comes_from() {
    let model = import_file(&support::fixtures().join("pool_script17.onnx"))
        .unwrap()
        .model;
    let text: String = model
        .layers
        .iter()
        .map(|layer| {
            format!(
                "{} {} -> {} of {} nodes\n",
                layer.name,
                layer.input,
                layer.output,
                layer.nodes.len()
            )
        })
        .collect();
    insta::assert_snapshot!(text);
    let mut nodes: Vec<_> = model.layers.iter().flat_map(|layer| &layer.nodes).collect();
    let count = nodes.len();
    nodes.sort();
    nodes.dedup();
    assert_eq!(nodes.len(), count, "no node belongs to two layers");
}

/// The parameters are those that were trained, not products of them.
#[test]
fn layer_scale_and_norm_stay_apart() {
    for file in [
        "pool_script17.onnx",
        "identity_script17.onnx",
        "pool_hand_norm.onnx",
    ] {
        let model = import_file(&support::fixtures().join(file)).unwrap().model;
        for layer in &model.layers {
            let (norm, layer_scale) = match &layer.op {
                Op::Pooling(op) => (&op.norm, &op.residual.layer_scale),
                Op::Identity(op) => (&op.norm, &op.residual.layer_scale),
                Op::ChannelMlp(op) => (&op.norm, &op.residual.layer_scale),
                _ => continue,
            };
            for values in [&norm.gamma, &norm.beta, layer_scale] {
                assert!(
                    values.iter().any(|v| *v != values[0]),
                    "{file}: {}",
                    layer.name
                );
            }
        }
    }
}

#[test]
fn each_form_of_each_part_is_recognised() {
    let plain = Form {
        pooling: true,
        head_norm: true,
        ..Form::default()
    };
    for form in 0..8 {
        check_form(Form {
            norm: form,
            ..plain
        });
        check_form(Form {
            norm: form,
            pooling: false,
            ..plain
        });
        check_form(Form {
            activation: form,
            ..plain
        });
        check_form(Form { mlp: form, ..plain });
        check_form(Form {
            layer_scale: form,
            ..plain
        });
        check_form(Form {
            layer_scale: form,
            pooling: false,
            residual: true,
            ..plain
        });
        check_form(Form {
            subtraction: form,
            ..plain
        });
        check_form(Form {
            head: form,
            ..plain
        });
        check_form(Form {
            head: form,
            head_norm: false,
            padding: true,
            ..plain
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_form_is_recognised(
        (pooling, residual, head_norm, padding, half) in any::<(bool, bool, bool, bool, bool)>(),
        (norm, activation, mlp, layer_scale, subtraction, head) in
            (0..6usize, 0..8usize, 0..3usize, 0..6usize, 0..4usize, 0..6usize),
        seed in 0..1000u64,
    ) {
        let form = Form {
            pooling, norm, activation, mlp, layer_scale, subtraction, residual, head, head_norm,
            padding, half, seed,
        };
        check_form(form);
    }
}

fn check_form(form: Form) {
    let bytes = support::network::write(form);
    let model = import(&bytes, "network.onnx").unwrap_or_else(|error| panic!("{form:?}: {error}"));
    let names: Vec<_> = model
        .layers
        .iter()
        .map(|layer| layer.name.to_string())
        .collect();
    assert_eq!(
        names,
        [
            "stage1.embedding",
            "stage1.block0.mixer",
            "stage1.block0.mlp",
            "stage1.block1.mixer",
            "stage1.block1.mlp",
            "stage2.embedding",
            "stage2.block0.mixer",
            "stage2.block0.mlp",
            "head",
        ]
    );
    let mixers = model.layers.iter().filter(|layer| match layer.op {
        Op::Pooling(_) => form.pooling,
        Op::Identity(_) => !form.pooling,
        _ => false,
    });
    assert_eq!(mixers.count(), 3);
    let reference =
        Reference::new(&bytes, model.input).unwrap_or_else(|error| panic!("{form:?}: {error}"));
    let mut noise = Noise::new(form.seed + 2);
    let images: Vec<_> = (0..2)
        .map(|_| noise.values(model.input.elements()))
        .collect();
    compare(&model, &reference, &images, TOLERANCE)
        .unwrap_or_else(|error| panic!("{form:?}: {error}"));
}

fn check_layers(model: &MetaFormer, fixture: &Fixture) {
    let [_, channels, height, width] = fixture.input_shape;
    let file = &fixture.file;
    assert_eq!(
        (model.input.channels, model.input.height, model.input.width),
        (channels, height, width)
    );
    let mut names = Vec::new();
    for (stage, depth) in fixture.depths.iter().enumerate() {
        names.push(format!("stage{}.embedding", stage + 1));
        for block in 0..*depth {
            names.push(format!("stage{}.block{block}.mixer", stage + 1));
            names.push(format!("stage{}.block{block}.mlp", stage + 1));
        }
    }
    names.push("head".to_owned());
    let found: Vec<_> = model
        .layers
        .iter()
        .map(|layer| layer.name.to_string())
        .collect();
    assert_eq!(found, names, "{file}");
    let mut input = model.input;
    let mut embeddings = 0;
    for layer in &model.layers {
        assert_eq!(layer.input, input, "{file}: {}", layer.name);
        assert!(!layer.nodes.is_empty(), "{file}: {}", layer.name);
        match &layer.op {
            Op::PatchEmbedding(op) => {
                let [window, stride, padding] = if embeddings == 0 {
                    fixture.stem
                } else {
                    fixture.downsampling
                };
                assert_eq!((op.window, op.stride), ([window; 2], [stride; 2]), "{file}");
                assert_eq!(op.padding, [padding; 4], "{file}");
                assert_eq!(layer.output.channels, fixture.dims[embeddings], "{file}");
                embeddings += 1;
            }
            Op::ChannelMlp(op) => {
                assert_eq!(op.fc1.outputs, input.channels * fixture.mlp_ratio, "{file}");
            }
            Op::Pooling(op) => {
                assert_eq!(
                    (fixture.network.as_str(), op.window),
                    ("poolformer", 3),
                    "{file}"
                );
            }
            Op::Identity(_) => assert_eq!(fixture.network, "identityformer", "{file}"),
            Op::Head(op) => {
                assert!(op.norm.is_some(), "{file}");
                assert_eq!(op.linear.outputs, fixture.classes, "{file}");
            }
            op => panic!("{file}: a {} is in none of these networks", op.kind()),
        }
        input = layer.output;
    }
}

/// Scores that do not depend on the image would agree by accident.
fn assert_distinct_scores(model: &MetaFormer, images: &[Vec<f32>], file: &str) {
    let first = float::run(model, &images[0], |_| {});
    let second = float::run(model, &images[1], |_| {});
    let distance = first
        .iter()
        .zip(&second)
        .fold(0.0f32, |d, (a, b)| d.max((a - b).abs()));
    assert!(
        distance > 100.0 * TOLERANCE,
        "{file}: scores differ by {distance} only"
    );
}
