//! The whole check on a small committed network, against figures that this file
//! computes on its own from the bytes of every step.

use crate::support;
use std::path::Path;

use crate::support::made::Made;
use serde_json::{Value, json};
use tadpool_compiler::check::{self, Check, CheckConfig};
use tadpool_compiler::compile::{self, CompileConfig, Compiled, Model};
use tadpool_compiler::given::images::{self, ImageFile};
use tadpool_compiler::network::float::{self, View};
use tadpool_compiler::place::program::Arena;
use tadpool_compiler::quantize::quant_model::{QuantLayer, QuantOp, Stream};
use tadpool_kernels::Observer;
use tadpool_kernels::norm::Stats;

/// Images for calibration and for the check, and those of the hybrids.
const CALIBRATION: usize = 60;
const IMAGES: usize = 45;
const HYBRIDS: usize = 9;

struct Checked {
    model: Model,
    compiled: Compiled,
    images: Vec<ImageFile>,
    check: Check,
}

fn checked(folder: &Path, with_labels: bool) -> Checked {
    checked_as(
        Made {
            with_labels,
            ..small(&support::fixtures().join("pool_script17.onnx"))
        },
        folder,
    )
}

fn small(onnx: &Path) -> Made<'_> {
    Made {
        onnx,
        size: [16, 16],
        classes: 5,
        calibration: CALIBRATION,
        evaluation: IMAGES,
        with_labels: true,
        quantization: "[quantization.pins]\nstage2 = \"int16\"\n",
    }
}

fn checked_as(made: Made<'_>, folder: &Path) -> Checked {
    let model = compile::load(&made.write(folder)).unwrap();
    let compiled = compile::compile(&model, &CompileConfig::default(), &()).unwrap();
    let description = &model.description;
    let evaluation = description.evaluation.as_ref().unwrap();
    let images = images::list(evaluation, &description.labels).unwrap();
    assert_eq!(images.len(), IMAGES);
    let config = CheckConfig {
        hybrid_images: HYBRIDS,
        shown: 3,
    };
    let check = check::check(&model, &compiled, &images, &config, &()).unwrap();
    Checked {
        model,
        compiled,
        images,
        check,
    }
}

/// Fractional bits and bytes of what a layer writes.
fn width(layer: &QuantLayer) -> (f64, usize) {
    match (&layer.op, layer.stream) {
        (QuantOp::Head(_), _) => (1.0, 4),
        (_, Stream::Int8) => (1.0, 1),
        (_, Stream::Int16) => (256.0, 2),
    }
}

fn integers(layer: &QuantLayer, bytes: &[u8]) -> Vec<i64> {
    bytes
        .chunks(width(layer).1)
        .map(|bytes| match *bytes {
            [a] => i64::from(a as i8),
            [a, b] => i64::from(i16::from_le_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            _ => unreachable!("a value of one, two or four bytes"),
        })
        .collect()
}

fn reals(layer: &QuantLayer, bytes: &[u8]) -> Vec<f32> {
    let quant = layer.output_quant;
    let real = |q: i64| {
        let q = q as f64 / width(layer).0;
        (quant.scale * (q - f64::from(quant.zero_point))) as f32
    };
    integers(layer, bytes).into_iter().map(real).collect()
}

/// The bytes that a layer would write for these values.
fn bytes(layer: &QuantLayer, values: &[f32]) -> Vec<u8> {
    let quant = layer.output_quant;
    let (fraction, size) = width(layer);
    let limit = 128.0 * fraction;
    values
        .iter()
        .flat_map(|&value| {
            let q = f64::from(value) / quant.scale + f64::from(quant.zero_point);
            let q = (q * fraction).round().clamp(-limit, limit - 1.0) as i32;
            q.to_le_bytes()[..size].to_vec()
        })
        .collect()
}

struct Written(Vec<Vec<u8>>);

impl Observer for Written {
    fn step(&mut self, _step: usize, output: &[u8]) {
        self.0.push(output.to_vec());
    }
}

/// Pixels, the float network's maps and the bytes of the integer one.
struct Run {
    pixels: Vec<u8>,
    maps: Vec<Vec<f32>>,
    written: Vec<Vec<u8>>,
}

fn run(checked: &Checked, file: &ImageFile) -> Run {
    let input = &checked.model.description.input;
    let pixels = images::load(&file.path, input).unwrap();
    let mut maps = Vec::new();
    float::run(
        &checked.model.network,
        &images::normalise(&pixels, input),
        |view| {
            if view.kind == View::Output {
                maps.push(view.values.to_vec());
            }
        },
    );
    let mut written = Written(Vec::new());
    let program = checked.compiled.program();
    program
        .infer(&pixels, &mut Arena::default(), &mut written)
        .unwrap();
    Run {
        pixels,
        maps,
        written: written.0,
    }
}

fn largest(values: &[f32]) -> usize {
    let highest = values.iter().copied().fold(f32::MIN, f32::max);
    values.iter().position(|&value| value == highest).unwrap()
}

#[track_caller]
fn assert_near(found: f64, expected: f64, what: &str) {
    let near = (found - expected).abs() <= 1e-6 * expected.abs().max(1e-3);
    assert!(near, "{what}: {found}, by hand {expected}");
}

#[test]
fn figures_are_those_of_the_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let checked = checked(folder.path(), true);
    let layers = &checked.compiled.quantized.layers;
    let streams: Vec<Stream> = layers.iter().map(|layer| layer.stream).collect();
    assert!(streams.contains(&Stream::Int8) && streams.contains(&Stream::Int16));
    let runs: Vec<Run> = checked
        .images
        .iter()
        .map(|file| run(&checked, file))
        .collect();

    for (number, (layer, step)) in layers.iter().zip(&checked.check.steps).enumerate() {
        assert_eq!(step.name, layer.name.to_string());
        let of_runs = |of: &dyn Fn(&Run) -> Vec<f32>| runs.iter().flat_map(of).collect::<Vec<_>>();
        let float = of_runs(&|run| run.maps[number].clone());
        let integer = of_runs(&|run| reals(layer, &run.written[number]));
        let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            let pairs = float.iter().zip(&integer);
            pairs.map(|(&a, &b)| of(f64::from(a), f64::from(b))).sum()
        };
        let (signal, noise) = (sum(&|a, _| a * a), sum(&|a, b| (a - b).powi(2)));
        let (error, name) = (&step.error, &step.name);
        assert_near(
            error.sqnr_db.unwrap(),
            10.0 * (signal / noise).log10(),
            name,
        );
        let cosine = sum(&|a, b| a * b) / (signal * sum(&|_, b| b * b)).sqrt();
        assert_near(error.cosine, cosine, name);
        let pairs = float.iter().zip(&integer);
        let errors = pairs.map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs());
        let largest_error = errors.fold(0.0, f64::max);
        assert_near(error.largest_error, largest_error, name);
        if matches!(layer.op, QuantOp::Head(_)) {
            assert_eq!((error.clipped, error.range_used), (None, None));
            continue;
        }
        // A float value is cut off if the integers end before it.
        let fraction = width(layer).0;
        let (low, high) = (-128.0 * fraction - 0.5, 128.0 * fraction - 0.5);
        let outside = float.iter().filter(|&&value| {
            let q = f64::from(value) / layer.output_quant.scale;
            let q = fraction * (q + f64::from(layer.output_quant.zero_point));
            q < low || q > high
        });
        let outside = outside.count() as f64;
        assert_near(error.clipped.unwrap(), outside / float.len() as f64, name);
        let all = runs
            .iter()
            .flat_map(|run| integers(layer, &run.written[number]));
        let (least, most) = all.fold((i64::MAX, i64::MIN), |(a, b), q| (a.min(q), b.max(q)));
        let used = (most - least) as f64 / fraction + 1.0;
        let used = (used * fraction / (256.0 * fraction)).min(1.0);
        // In steps of eight bits, whatever is stored.
        let found = error.range_used.unwrap();
        assert!(
            (found - used).abs() < 1.0 / 256.0,
            "{name}: {found}, by hand {used}"
        );
    }
    assert!(
        checked
            .check
            .steps
            .iter()
            .any(|step| step.error.clipped > Some(0.0))
    );
    predictions(&checked, &runs);
    sensitivity(&checked, &runs);
}

/// Agreement, top-1 and the images shown.
fn predictions(checked: &Checked, runs: &[Run]) {
    let layers = &checked.compiled.quantized.layers;
    let (last, check) = (layers.len() - 1, &checked.check);
    let float = |run: &Run| largest(&run.maps[last]);
    let integer = |run: &Run| largest(&reals(&layers[last], &run.written[last]));
    let same = runs.iter().filter(|run| float(run) == integer(run)).count();
    let agreement = check.agreement.unwrap();
    assert_eq!((agreement.part, agreement.whole), (same, IMAGES));
    let right = |of: &dyn Fn(&Run) -> usize| {
        let pairs = checked.images.iter().zip(runs);
        pairs
            .filter(|(file, run)| file.label == Some(of(run)))
            .count()
    };
    let accuracy = check.accuracy.unwrap();
    assert_eq!(accuracy.float.part, right(&float));
    assert_eq!(accuracy.integer.part, right(&integer));
    assert_eq!(check.disagreements.len(), (IMAGES - same).min(3));
}

/// The effect of one step in integers on the logits.
fn sensitivity(checked: &Checked, runs: &[Run]) {
    let layers = &checked.compiled.quantized.layers;
    let program = checked.compiled.program();
    let chosen: Vec<&Run> = runs.iter().step_by(IMAGES.div_ceil(HYBRIDS)).collect();
    assert_eq!(checked.check.hybrid_images, chosen.len());
    for (number, step) in checked.check.steps.iter().enumerate() {
        let (mut noise, mut count, mut changed) = (0.0, 0, 0);
        for run in &chosen {
            let map = match number {
                0 => run.pixels.clone(),
                _ => bytes(&layers[number - 1], &run.maps[number - 1]),
            };
            let read = match number {
                0 => Vec::new(),
                _ => integers(&layers[number - 1], &map),
            };
            let stats = Stats {
                sum: read.iter().sum(),
                sum_of_squares: read.iter().map(|q| (q * q) as u64).sum(),
            };
            let mut arena = Arena::default();
            let written = program.step(number, &map, &stats, &mut arena).unwrap();
            let values = reals(&layers[number], written);
            let logits = float::resume(&checked.model.network, number + 1, values, |_| {});
            let expected = run.maps.last().unwrap();
            for (a, b) in logits.iter().zip(expected) {
                noise += f64::from(a - b).powi(2);
                count += 1;
            }
            changed += usize::from(largest(&logits) != largest(expected));
        }
        let expected = (noise / f64::from(count)).sqrt();
        assert_near(step.alone.logit_error, expected, &step.name);
        assert_eq!(step.alone.changed, Some(changed), "{}", step.name);
        // A step that reads sums of another width would be far off.
        assert!(
            expected < 0.1 * checked.check.logits,
            "{}: {expected}",
            step.name
        );
    }
}

/// Names, and what kind of value each has.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("true or false"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("text"),
        Value::Array(values) => values.iter().take(1).map(shape).collect(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), shape(value)));
            Value::Object(fields.collect())
        }
    }
}

#[test]
fn reports_have_one_shape() {
    let folder = tempfile::tempdir().unwrap();
    let checked = checked(folder.path(), true);
    let value = serde_json::to_value(&checked.check).unwrap();
    insta::assert_json_snapshot!(shape(&value));
}

/// The largest value of a feature map is no prediction.
#[test]
fn a_network_without_a_head_predicts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let onnx = support::fixtures().join("../family/convformer_papers_script17_features.onnx");
    let made = Made {
        size: [24, 20],
        classes: 0,
        with_labels: false,
        quantization: "",
        ..small(&onnx)
    };
    let Checked { model, check, .. } = checked_as(made, folder.path());
    assert_eq!((check.images, check.agreement), (IMAGES, None));
    assert_eq!(check.accuracy, None);
    assert!(check.disagreements.is_empty());
    assert!(check.steps.iter().all(|step| step.alone.changed.is_none()));
    assert!(check.logit_error > 0.0);
    let page = tadpool_report::html(&check, &model.description.input, &[], &[], None).unwrap();
    assert!(
        !page.contains("same prediction") && !page.contains("disagree"),
        "{page}"
    );
}

#[test]
fn images_without_labels_have_no_accuracy() {
    let folder = tempfile::tempdir().unwrap();
    let Checked { model, check, .. } = checked(folder.path(), false);
    assert_eq!(check.accuracy, None);
    assert_eq!(
        (check.images, check.agreement.unwrap().whole),
        (IMAGES, IMAGES)
    );
    let notes = ["<odd> images".to_owned()];
    let page = tadpool_report::html(&check, &model.description.input, &notes, &[], None).unwrap();
    assert!(page.contains("the images have no labels"));
    assert!(page.contains("&#60;odd&#62; images"), "{page}");
}
