//! Forms in which exporters write a part of a network: each is imported, confirmed by
//! tract, and computed in eight bits.

mod blocks;
mod ends;
mod exported;
mod images;
mod norms;
mod rounded;
mod stems;

use std::fmt::Display;

use tadpool_compiler::import::reference::{Reference, compare};
use tadpool_compiler::import::{Imported, import_file};
use tadpool_compiler::place::schedule::ScheduleConfig;
use tadpool_compiler::quantize::precision::Precision;

use crate::support::integer::{quantized_network, step_sqnr};
use crate::support::proto::int;
use crate::support::written::{CHANNELS, STYLES, Written, relu};
use crate::support::{self, Noise};

/// Least signal over noise of a step, in decibels: random weights and noise as images.
const ENOUGH_DB: f64 = 15.0;

fn imported(bytes: &[u8]) -> Result<Imported, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.onnx");
    std::fs::write(&path, bytes).unwrap();
    import_file(&path).map_err(|error| error.to_string())
}

/// Imports a file, and compares every stage with the one before.
fn check(name: impl Display, bytes: &[u8]) -> Imported {
    let imported = imported(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (model, file) = (&imported.model, &imported.input);
    let reference = Reference::of(&imported.bytes, model.input, file.clone())
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut noise = Noise::new(5);
    let images: Vec<Vec<f32>> = (0..3)
        .map(|_| {
            let values = noise.values(model.input.elements());
            let each = values.iter().enumerate().map(|(index, value)| {
                let pixel = (128.0 + 60.0 * value).round();
                let x = if file.of_bytes { pixel } else { pixel / 255.0 };
                let channel = index % model.input.channels;
                file.scale[channel] * x + file.offset[channel]
            });
            each.collect()
        })
        .collect();
    compare(model, &reference, &images, 1e-4).unwrap_or_else(|error| panic!("{name}: {error}"));
    let quantized = quantized_network(
        imported.model.clone(),
        &ScheduleConfig::default(),
        Precision::int8,
    )
    .unwrap_or_else(|error| panic!("{name}: {error}"));
    let steps = step_sqnr(&quantized.network, &quantized.model, &quantized.program());
    assert!(
        steps.iter().all(|&decibels| decibels > ENOUGH_DB),
        "{name}: {steps:?}"
    );
    imported
}

/// Checks a network of a plain stem and a plain rest whose image `prepare` makes.
fn check_image(name: &str, prepare: impl Fn(&mut Written) -> String) -> Vec<Imported> {
    let each = STYLES.iter().enumerate().map(|(seed, &style)| {
        let mut written = Written::new(seed as u64 + 3, style);
        let image = prepare(&mut written);
        let x = written.stem(&image);
        let scores = written.rest(&x);
        check(
            format!("{name}, opset {}", style.0),
            &written.file(&[&scores]),
        )
    });
    each.collect()
}

/// Checks a network whose first map `stem` makes of the image.
fn check_stem(name: &str, stem: impl Fn(&mut Written) -> String) {
    for (seed, style) in STYLES.into_iter().enumerate() {
        let mut written = Written::new(seed as u64 + 7, style);
        let x = stem(&mut written);
        let scores = written.rest(&x);
        check(
            format!("{name}, opset {}", style.0),
            &written.file(&[&scores]),
        );
    }
}

/// Checks a network with another norm and another activation.
fn check_block(
    name: &str,
    norm: impl Fn(&mut Written, &str) -> String,
    activation: impl Fn(&mut Written, &str) -> String,
) -> Vec<Imported> {
    let each = STYLES.iter().enumerate().map(|(seed, &style)| {
        let mut written = Written::new(seed as u64 + 11, style);
        let x = written.stem("image");
        let x = written.block(&x, &norm, &activation);
        let mean = written.mean(&x);
        let scores = written.scores(&mean, CHANNELS);
        check(
            format!("{name}, opset {}", style.0),
            &written.file(&[&scores]),
        )
    });
    each.collect()
}

/// Checks a network with another end, which is its only output unless it says more.
fn check_end(name: &str, end: impl Fn(&mut Written, &str) -> Vec<String>) -> Vec<Imported> {
    let each = STYLES.iter().enumerate().map(|(seed, &style)| {
        let mut written = Written::new(seed as u64 + 17, style);
        let x = written.stem("image");
        let x = written.block(&x, Written::norm, relu);
        let outputs = end(&mut written, &x);
        let outputs: Vec<_> = outputs.iter().map(String::as_str).collect();
        check(
            format!("{name}, opset {}", style.0),
            &written.file(&outputs),
        )
    });
    each.collect()
}

/// The error for a network whose first map `stem` makes of the plain one.
fn refused_stem(stem: impl Fn(&mut Written, &str) -> String) -> String {
    let mut written = Written::new(1, STYLES[1]);
    let x = written.stem("image");
    let x = stem(&mut written, &x);
    let scores = written.rest(&x);
    imported(&written.file(&[&scores])).unwrap_err()
}

fn batch_norm(w: &mut Written, x: &str) -> String {
    let shape = [CHANNELS];
    let (gamma, beta) = (w.random(&shape, 1.0, 0.5), w.random(&shape, 0.0, 0.5));
    let (mean, variance) = (w.random(&shape, 0.0, 0.5), w.random(&shape, 1.0, 0.5));
    w.op(
        "BatchNormalization",
        &[x, &gamma, &beta, &mean, &variance],
        vec![],
    )
}

#[test]
fn fixtures_of_other_forms() {
    let manifest = support::manifest();
    assert!(manifest.form.len() >= 3, "the manifest lists the fixtures");
    for fixture in manifest.form {
        let bytes = std::fs::read(support::fixtures().join(&fixture.file)).unwrap();
        check(&fixture.file, &bytes);
    }
}

/// A refusal is said once, and nothing behind it.
#[test]
fn refusals_are_one_line() {
    type Write = fn(&mut Written, &str) -> String;
    let cases: [(Write, &str); 6] = [
        (
            |w, x| w.op("RandomNormalLike", &[x], vec![]),
            "inference mode",
        ),
        (
            |w, x| w.op("NoSuchOperator", &[x], vec![]),
            "NoSuchOperator",
        ),
        (
            |w, x| w.op("QLinearSigmoid", &[x, "image"], vec![]),
            "QDQ form",
        ),
        (
            |w, x| {
                let weight = w.random(&[CHANNELS, CHANNELS, 3, 3], 0.0, 0.2);
                w.op("FusedConv", &[x, &weight], vec![])
            },
            "FusedConv",
        ),
        (
            |w, x| {
                let (gamma, beta) = (w.random(&[4], 1.0, 0.5), w.random(&[4], 0.0, 0.5));
                w.op(
                    "GroupNormalization",
                    &[x, &gamma, &beta],
                    vec![int("num_groups", 4)],
                )
            },
            "4 groups",
        ),
        (
            |w, x| {
                w.mlp(x, Written::norm, |w, u| {
                    let curve = w.op("Tanh", &[u], vec![]);
                    w.op("Sub", &[u, &curve], vec![])
                })
            },
            "the hidden layer of a branch",
        ),
    ];
    for (write, expected) in cases {
        let error = refused_stem(write);
        let lines: Vec<_> = error.lines().skip(1).collect();
        assert_eq!(lines.len(), 1, "{error}");
        assert!(lines[0].contains(expected), "{error}");
    }
}
