//! Streams of sixteen bits where eight are too few: a PoolFormer-S12 in geometry,
//! with outliers.

use crate::support::outliers::{self, Size};
use tadpool_compiler::compile::{self, CompileConfig, Compiled, ENOUGH_DB, Model, Quality, widen};
use tadpool_compiler::evaluate;
use tadpool_compiler::given::images;
use tadpool_compiler::given::model_toml::{Bits, StreamChoice};
use tadpool_compiler::place::schedule::ScheduleConfig;
use tadpool_compiler::quantize::quant_model::Stream;

/// The real network's depth with half its channels and small images: what int8
/// loses, it loses by depth and by outliers.
const SMALL: Size = Size { side: 64, part: 2 };
const FULL: Size = Size { side: 224, part: 1 };

/// Signal to noise behind every step, on other images than those of calibration.
fn sqnr(model: &Model, compiled: &Compiled) -> Vec<f64> {
    let description = &model.description;
    let folder = description.evaluation.as_ref().unwrap();
    let images: Vec<_> = images::list(folder, &description.labels)
        .unwrap()
        .iter()
        .map(|file| {
            let pixels = images::load(&file.path, &description.input).unwrap();
            let normalised = images::normalise(&pixels, &description.input);
            (pixels, normalised)
        })
        .collect();
    let program = compiled.program();
    evaluate::sqnr(&model.network, &compiled.quantized, &program, &images)
        .unwrap()
        .into_iter()
        .map(|sqnr| sqnr.unwrap_or(f64::INFINITY))
        .collect()
}

fn check(size: Size, images: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = outliers::write(folder.path(), size, images);
    let mut model = compile::load(&path).unwrap();
    let calibrated = compile::calibrate(&model, &CompileConfig::default(), &()).unwrap();
    let choose = |model: &Model| {
        let base = compile::precision(model).unwrap();
        widen::choose(model, &calibrated, base, &()).unwrap()
    };
    let choices = [StreamChoice::Int8, StreamChoice::Auto].map(|stream| {
        model.description.quantization.stream = stream;
        choose(&model)
    });
    assert!(choices[0].widened.is_empty() && !choices[1].widened.is_empty());
    let [narrow, wide] = choices.clone().map(|choice| {
        let compiled = calibrated.compile(&model, choice, &ScheduleConfig::default());
        compiled.unwrap()
    });
    // The tool says itself where eight bits were not enough.
    let [said, enough] =
        [&narrow, &wide].map(|compiled| Quality::of(&model, &calibrated, compiled).unwrap());
    assert!(!said.is_enough() && enough.is_enough(), "{said} {enough}");
    assert!(said.to_string().contains("dB on"), "{said}");
    assert!(said.to_string().contains("lowest step: `stage"), "{said}");
    assert!(!enough.to_string().contains("try"), "{enough}");
    let [narrow, wide] = [&narrow, &wide].map(|compiled| sqnr(&model, compiled));
    let lowest = |sqnr: &[f64]| sqnr.iter().copied().fold(f64::INFINITY, f64::min);
    eprintln!("int8: {narrow:.1?}\nchosen: {wide:.1?}");
    assert!(lowest(&narrow) < ENOUGH_DB - 10.0, "{narrow:.1?}");
    assert!(lowest(&wide) >= ENOUGH_DB, "{wide:.1?}");

    // A pinned stage stays, whatever it costs.
    let pinned = choices[1].widened[0].stage;
    let pins = &mut model.description.quantization.pins;
    pins.insert(pinned.to_string(), Bits::Int8);
    let choice = choose(&model);
    assert!(choice.widened.iter().all(|widened| widened.stage != pinned));
    let layers = model.network.layers.iter().zip(&choice.precision.layers);
    for (layer, precision) in layers {
        if layer.name.stage() == Some(pinned) {
            assert_eq!(precision.stream, Stream::Int8, "{}", layer.name);
        }
    }
}

#[test]
fn outliers_get_a_wide_stream_where_they_need_it() {
    check(SMALL, 32);
}

/// The same in full size.
#[test]
#[ignore = "takes many minutes"]
fn outliers_of_a_full_size_network_get_a_wide_stream() {
    check(FULL, 16);
}
