//! Networks whose files round their values: the scales of the file become those
//! of the integer network, and three oracles say so. ONNX Runtime's logits confirm
//! the evaluation of the file as written, tract confirms it without the rounding,
//! and the integer network is compared with it step for step of its scores.

use crate::support;
use crate::support::Noise;
use tadpool_compiler::calibrate;
use tadpool_compiler::import::graph::{Data, Graph};
use tadpool_compiler::import::interpreter::{ConfirmError, Confirmation, confirm};
use tadpool_compiler::import::onnx;
use tadpool_compiler::import::reference::{Reference, compare};
use tadpool_compiler::import::trained_scales::TrainedScales;
use tadpool_compiler::import::{Imported, Qdq, import, import_file};
use tadpool_compiler::network::Op;
use tadpool_compiler::place::memory::{self, MemoryPlan};
use tadpool_compiler::place::program::{self, Program};
use tadpool_compiler::place::schedule::{self, Schedule, ScheduleConfig};
use tadpool_compiler::quantize::quant_model::{QuantMatrix, QuantModel, QuantOp, WeightBits};
use tadpool_compiler::quantize::{self, Pixels};

/// Files, and whether they were trained for exactly what the kernels compute.
const FILES: [(&str, bool); 6] = [
    ("rounded_float_weights", true),
    ("rounded_integers", true),
    ("rounded_identity", true),
    ("rounded_clips", true),
    ("rounded_int4", true),
    ("rounded_usual", false),
];

#[test]
fn files_are_evaluated_as_their_runtime_does() {
    for (name, _) in FILES {
        let (imported, qdq) = imported(name);
        let image = support::floats(&format!("{name}.input.f32"));
        let image = support::channels_last(&image, imported.model.input.channels);
        let expected = support::floats(&format!("{name}.logits.f32"));
        let scores = qdq.interpreter.run(&image, true).unwrap();
        assert_eq!(scores.len(), expected.len());
        for (score, &expected) in scores.iter().zip(&expected) {
            let apart = (score - f64::from(expected)).abs();
            assert!(apart < 1e-4, "{name}: {scores:?} {expected:?}");
        }
        let plain = qdq.interpreter.run(&image, false).unwrap();
        assert!(
            plain.iter().zip(&scores).any(|(a, b)| (a - b).abs() > 1e-3),
            "{name}: qdq changes nothing"
        );
    }
}

#[test]
fn without_rounding_the_reference_confirms_the_import() {
    for (name, _) in FILES {
        let (imported, qdq) = imported(name);
        let reference = Reference::new(&imported.bytes, imported.model.input).unwrap();
        let images: Vec<_> = images(&imported)
            .into_iter()
            .map(|(image, _)| image)
            .collect();
        compare(&imported.model, &reference, &images, 1e-4)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        for image in &images {
            let plain = qdq.interpreter.run(image, false).unwrap();
            let reference = reference.run(image).unwrap();
            for (plain, reference) in plain.iter().zip(&reference) {
                assert!((plain - f64::from(*reference)).abs() < 1e-4, "{name}");
            }
        }
    }
}

#[test]
fn the_integer_network_computes_the_file_as_written() {
    for (name, exact) in FILES {
        let (imported, qdq) = imported(name);
        let integer = Integer::new(&imported, &qdq.scales);
        let confirmation = integer
            .confirm(&imported, &qdq)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let Confirmation {
            difference,
            rounding: moved,
            ..
        } = confirmation;
        assert!(moved > 0.0, "{name}: {confirmation:?}");
        if exact {
            assert!(difference < 0.5 * moved, "{name}: {confirmation:?}");
        }
    }
}

#[test]
fn what_is_kept_is_said() {
    for (name, exact) in FILES {
        let (imported, qdq) = imported(name);
        let kept = qdq.scales.kept(&imported.model);
        let said = [&kept.calibrated, &kept.rounded_anew].map(Vec::is_empty);
        assert_eq!(said, [exact, exact], "{name}: {kept:?}");
        assert_eq!(kept.exact == 0, exact, "{name}: {kept:?}");
    }
    let (imported, qdq) = imported("rounded_usual");
    insta::assert_json_snapshot!(qdq.scales.kept(&imported.model));
}

/// The network of `models/` that was trained for int4 weights: every layer but the
/// first and the last has them, and nothing is rounded anew.
#[test]
fn a_trained_network_keeps_all_that_it_was_trained_for() {
    let folder = support::fixtures().join("../../../models/poolformer-cifar10-qat");
    let mut imported = import_file(&folder.join("model.onnx")).unwrap();
    let scales = imported.qdq.take().expect("a file that rounds").scales;
    let kept = scales.kept(&imported.model);
    assert!(
        kept.calibrated.is_empty() && kept.rounded_anew.is_empty(),
        "{kept:?}"
    );
    assert_eq!((kept.exact, kept.matrices, kept.maps), (0, 16, 27));
    let precision = scales.precision(&imported.model);
    let last = imported.model.layers.len() - 1;
    for (index, (precision, layer)) in precision
        .layers
        .iter()
        .zip(&imported.model.layers)
        .enumerate()
    {
        let narrow = match layer.op {
            Op::ChannelMlp(_) => [true; 2],
            Op::PatchEmbedding(_) => [index > 0, false],
            _ => [false; 2],
        };
        let found = precision.weights.map(|bits| bits == WeightBits::Int4);
        assert_eq!(found, narrow, "{}", layer.name);
        assert!(index != last || !found[0]);
    }
}

/// Weights by value: those in the file are those that the kernels multiply with.
#[test]
fn the_integers_of_the_file_are_the_integers_of_the_network() {
    for name in ["rounded_integers", "rounded_identity", "rounded_int4"] {
        let (imported, qdq) = imported(name);
        let integer = Integer::new(&imported, &qdq.scales);
        let path = support::fixtures().join(format!("{name}.onnx"));
        let stored = pointwise_weights(&onnx::read(&std::fs::read(path).unwrap(), None).unwrap());
        let mut found = Vec::new();
        for layer in &integer.model.layers {
            match &layer.op {
                QuantOp::ChannelMlp(mlp) => found.extend([steps(&mlp.fc1), steps(&mlp.fc2.matrix)]),
                QuantOp::Head(head) => found.push(steps(&head.matrix)),
                _ => {}
            }
        }
        assert_eq!(found.len(), 5, "{name}");
        assert_eq!(found, stored, "{name}");
    }
}

/// A scale that was misunderstood does not pass.
#[test]
fn a_wrong_grid_is_noticed() {
    let (imported, qdq) = imported("rounded_integers");
    let layers = qdq.scales.layers.len();
    let mut wrong = Vec::new();
    for layer in 0..layers {
        let scales = &qdq.scales;
        let mut shifted = scales.clone();
        if let Some(scale) = &mut shifted.layers[layer].output {
            scale.zero_point += 120;
            wrong.push(shifted);
        }
        let mut narrow = scales.clone();
        if let Some(scale) = &mut narrow.layers[layer].output {
            scale.scale *= 0.2;
            wrong.push(narrow);
        }
        let mut hidden = scales.clone();
        if let Some(scale) = &mut hidden.layers[layer].hidden {
            scale.scale *= 0.2;
            wrong.push(hidden);
        }
    }
    assert!(wrong.len() >= 6);
    for scales in wrong {
        let result = Integer::new(&imported, &scales).confirm(&imported, &qdq);
        assert!(
            matches!(result, Err(ConfirmError::Integer { .. })),
            "{result:?}"
        );
    }
}

#[test]
fn rounding_that_has_no_integer_form_is_refused() {
    for name in ["refuse_rounded_per_channel", "refuse_rounded_other_scale"] {
        let file = format!("{name}.onnx");
        let bytes = std::fs::read(support::fixtures().join(&file)).unwrap();
        insta::assert_snapshot!(name, import(&bytes, &file).unwrap_err().to_string());
    }
}

fn imported(name: &str) -> (Imported, Qdq) {
    let path = support::fixtures().join(format!("{name}.onnx"));
    let mut imported = import_file(&path).unwrap_or_else(|error| panic!("{error}"));
    let qdq = imported.qdq.take().expect("a file that rounds");
    (imported, qdq)
}

/// The pixel that stands for zero, so that padding is exact.
const MEAN: f32 = 128.0 / 255.0;

/// Random images, normalised and as pixels.
fn images(imported: &Imported) -> Vec<(Vec<f32>, Vec<u8>)> {
    let mut noise = Noise::new(5);
    (0..8)
        .map(|_| {
            let values = noise.values(imported.model.input.elements());
            let pixels: Vec<u8> = values.iter().map(|v| ((v + 2.0) * 63.9) as u8).collect();
            let normalised = pixels.iter().map(|&p| f32::from(p) / 255.0 - MEAN);
            (normalised.collect(), pixels)
        })
        .collect()
}

/// The integer network of a file's scales.
struct Integer {
    model: QuantModel,
    schedule: Schedule,
    memory: MemoryPlan,
}

impl Integer {
    fn new(imported: &Imported, scales: &TrainedScales) -> Self {
        let images = images(imported);
        let network = &imported.model;
        let mut ranges = calibrate::min_max(network, images.len(), |index| {
            Ok::<_, ()>(images[index].0.clone())
        })
        .unwrap();
        scales.apply(&mut ranges);
        let pixels = Pixels {
            mean: vec![MEAN; 3],
            std: vec![1.0; 3],
            order: vec![0, 1, 2],
        };
        let precision = scales.precision(network);
        let model = quantize::quantize(network, &ranges, &pixels, &precision).unwrap();
        let schedule = schedule::schedule(&model, &ScheduleConfig::default());
        let memory = memory::plan(&schedule).unwrap();
        Self {
            model,
            schedule,
            memory,
        }
    }

    fn program(&self) -> Program<'_> {
        program::program(&self.model, &self.schedule, &self.memory)
    }

    fn confirm(&self, imported: &Imported, qdq: &Qdq) -> Result<Confirmation, ConfirmError> {
        confirm(
            &qdq.interpreter,
            &imported.model,
            &self.program(),
            &images(imported),
            1e-4,
        )
    }
}

/// Weights in steps of their own scale, in lowest terms.
fn steps(matrix: &QuantMatrix) -> Vec<i64> {
    let step = i64::from(matrix.bits.step());
    let weights = matrix.weights.iter();
    let steps = weights.map(|&weight| i64::from(weight) / step).collect();
    lowest_terms(matrix.inputs, steps)
}

/// Every row divided by what all its numbers are multiples of: `7 0 0` of one step
/// are the weights that `1 0 0` of seven are.
fn lowest_terms(inputs: usize, mut steps: Vec<i64>) -> Vec<i64> {
    for row in steps.chunks_mut(inputs) {
        let divisor = (1..=127).rev().find(|d| row.iter().all(|q| q % d == 0));
        row.iter_mut().for_each(|q| *q /= divisor.unwrap_or(1));
    }
    steps
}

/// Stored whole numbers of 1x1 convolutions and of the head, in execution order.
fn pointwise_weights(graph: &Graph) -> Vec<Vec<i64>> {
    let nodes = graph.nodes.iter();
    let dequantized = nodes.filter(|node| node.op == "DequantizeLinear");
    dequantized
        .filter_map(|node| graph.constant(node.input(0)?))
        .filter_map(|tensor| match (&tensor.data, &tensor.shape[..]) {
            (Data::Int(values), &[_, inputs] | &[_, inputs, 1, 1]) => {
                Some(lowest_terms(inputs, values.clone()))
            }
            _ => None,
        })
        .collect()
}
