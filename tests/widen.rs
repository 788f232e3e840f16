//! Streams of sixteen bits where eight are too few: a PoolFormer-S12 in geometry,
//! with outliers.

mod support;

use support::outliers;
use tadpool::check;
use tadpool::compile::{self, CompileConfig, Compiled, Model};
use tadpool::images;
use tadpool::model_toml::{Bits, RoundingMethod, StreamChoice};
use tadpool::quant_model::Stream;
use tadpool::widen::ENOUGH_DB;

/// Pixels of a side; a full-size image has 224. Maps are smaller, channels and
/// depth are those of the real network.
const SIDE: usize = 64;
const IMAGES: usize = 12;

fn compiled(model: &Model) -> Compiled {
    compile::compile(model, &CompileConfig::default(), &()).unwrap_or_else(|e| panic!("{e}"))
}

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
    check::sqnr(&model.network, &compiled.quantized, &program, &images)
        .unwrap()
        .into_iter()
        .map(|sqnr| sqnr.unwrap_or(f64::INFINITY))
        .collect()
}

#[test]
fn outliers_get_a_wide_stream_where_they_need_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = outliers::write(folder.path(), SIDE, IMAGES);
    let mut model = compile::load(&path).unwrap();

    // Careful rounding of all these weights takes minutes.
    model.description.quantization.rounding = RoundingMethod::Nearest;

    model.description.quantization.stream = StreamChoice::Int8;
    let narrow = compiled(&model);
    assert!(narrow.choice.widened.is_empty());
    let noisy = sqnr(&model, &narrow);
    eprintln!("{noisy:.1?}");

    model.description.quantization.stream = StreamChoice::Auto;
    let wide = compiled(&model);
    let clean = sqnr(&model, &wide);
    eprintln!("{:?} {clean:.1?}", wide.choice.widened);
    let below = |sqnr: &[f64]| sqnr.iter().filter(|&&db| db < ENOUGH_DB).count();
    assert!(below(&noisy) > 5 && noisy.last().is_some_and(|&db| db < ENOUGH_DB));
    assert_eq!(below(&clean), 0, "{clean:.1?}");
    assert!(!wide.choice.widened.is_empty());

    // A pinned stage stays, whatever it costs.
    let pinned = wide.choice.widened[0].stage.clone();
    let pins = &mut model.description.quantization.pins;
    pins.insert(pinned.clone(), Bits::Int8);
    let kept = compiled(&model);
    assert!(kept.choice.widened.iter().all(|w| w.stage != pinned));
    for (layer, precision) in model
        .network
        .layers
        .iter()
        .zip(&kept.choice.precision.layers)
    {
        if layer.name.starts_with(&format!("{pinned}.")) {
            assert_eq!(precision.stream, Stream::Int8, "{}", layer.name);
        }
    }
}
