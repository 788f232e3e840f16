//! Top-1 on the evaluation images that are part of the repository: 100 of each
//! class for both trained networks.

use crate::support;
use rayon::prelude::*;
use tadpool_compiler::calibrate::{self, Finding, LabelledPixels};
use tadpool_compiler::compile::widen;
use tadpool_compiler::compile::{self, CompileConfig};
use tadpool_compiler::evaluate::{Evaluation, agreement, argmax};
use tadpool_compiler::given::images;
use tadpool_compiler::given::model_toml::{Channels, InputDescription, Quantization, WeightChoice};
use tadpool_compiler::place::program::Arena;
use tadpool_compiler::place::schedule::ScheduleConfig;
use tadpool_compiler::quantize::precision::Precision;

/// Floor of the float network's top-1; how far integers may be below it, and how
/// often they must agree, with eight-bit weights and with four-bit ones everywhere
/// but in the first and the last layer. A thousand images tell top-1 to about a
/// point.
fn check(name: &str, floor: f64) {
    let folder = support::fixtures().join("../../../models").join(name);
    let model = compile::load(&folder.join("model.toml")).unwrap();
    let calibrated = compile::calibrate(&model, &CompileConfig::default(), &()).unwrap();
    assert!(calibrated.comparison.images >= 200);
    assert!(calibrated.comparison.max_abs_diff < 1e-3);
    assert_eq!(calibrated.findings(&model).unwrap(), []);
    let network = &model.network;
    // Eight bits are enough for the stream of both.
    let chosen = widen::choose(&model, &calibrated, Precision::int8(network), &()).unwrap();
    assert_eq!(chosen.widened, []);
    let int4 = Quantization {
        weights: WeightChoice::Int4,
        ..Quantization::default()
    };
    let precisions = [
        Precision::int8(network),
        Precision::chosen(network, &int4).unwrap(),
    ];
    let compiled = precisions.map(|precision| {
        calibrated
            .compile(&model, precision, &ScheduleConfig::default())
            .unwrap()
    });
    assert!(compiled[0].memory.optimal);
    assert!(
        compiled[0].memory.arena_size <= 12 * 1024,
        "{}",
        compiled[0].memory.arena_size
    );

    let description = &model.description;
    let files = images::list(
        description.evaluation.as_ref().unwrap(),
        &description.labels,
    )
    .unwrap();
    assert_eq!(files.len(), 1000);
    let labels: Vec<usize> = files.iter().map(|file| file.label.unwrap()).collect();
    let programs = compiled.each_ref().map(|compiled| compiled.program());
    let predictions: Vec<[usize; 3]> = files
        .par_iter()
        .map_init(Arena::default, |arena, file| {
            let pixels = images::load(&file.path, &description.input).unwrap();
            let input = images::normalise(&pixels, &description.input);
            let float = argmax(&model.reference.run(&input).unwrap());
            let [int8, int4] = programs
                .each_ref()
                .map(|program| argmax(&program.infer(&pixels, arena, &mut ()).unwrap()));
            [float, int8, int4]
        })
        .collect();
    let of = |run: usize| -> Vec<usize> { predictions.iter().map(|p| p[run]).collect() };
    let top1 = |run: usize| Evaluation::new(10, &labels, &of(run)).top1();
    let float = top1(0);
    assert!(float > floor, "{name}: float {float}");
    for (run, below, agreeing) in [(1, 0.005, 0.98), (2, 0.015, 0.95)] {
        let integer = top1(run);
        assert!(
            integer > float - below,
            "{name}, run {run}: {integer}, float {float}"
        );
        let agreement = agreement(&of(0), &of(run));
        assert!(agreement > agreeing, "{name}, run {run}: {agreement}");
    }
}

#[test]
fn poolformer_keeps_its_accuracy() {
    check("poolformer-cifar10", 0.85);
}

#[test]
fn identityformer_keeps_its_accuracy() {
    check("identityformer-cifar10", 0.74);
}

/// Calibration images that were spoilt in one way are told from good ones.
#[test]
fn odd_calibration_images_are_found() {
    let folder = support::fixtures().join("../../../models/poolformer-cifar10");
    let model = compile::load(&folder.join("model.toml")).unwrap();
    let description = &model.description;
    let calibration = description.calibration.as_ref().unwrap();
    let files = images::list(calibration, &description.labels).unwrap();
    let sample: Vec<LabelledPixels> = files
        .iter()
        .step_by(2)
        .map(|file| LabelledPixels {
            pixels: images::load(&file.path, &description.input).unwrap(),
            label: file.label,
        })
        .collect();
    let found = |input: &InputDescription, sample: &[LabelledPixels]| {
        calibrate::findings(&model.network, input, sample, sample.len())
    };
    let input = &description.input;
    assert_eq!(found(input, &sample), []);

    let mut swapped = input.clone();
    swapped.channels = Channels::Bgr;
    swapped.mean.reverse();
    swapped.std.reverse();
    let findings = found(&swapped, &sample);
    assert!(
        matches!(&findings[..], [Finding::OtherReading { reading, .. }] if reading.contains("rgb")),
        "{findings:?}"
    );

    let mut unscaled = input.clone();
    unscaled.mean = vec![0.0; 3];
    unscaled.std = vec![1.0 / 255.0; 3];
    let findings = found(&unscaled, &sample);
    assert!(
        matches!(&findings[..], [Finding::OtherReading { .. }]),
        "{findings:?}"
    );

    let mut shuffled = sample.clone();
    for (index, image) in shuffled.iter_mut().enumerate() {
        image.label = Some(index % 10);
    }
    let findings = found(input, &shuffled);
    assert!(
        matches!(&findings[..], [Finding::LabelsDoNotMatch { .. }]),
        "{findings:?}"
    );

    let mut alike = sample.clone();
    alike.retain(|image| image.label.is_some_and(|label| label < 3));
    let findings = found(input, &alike);
    let few = Finding::FewClasses {
        seen: 3,
        classes: 10,
    };
    assert!(findings.contains(&few), "{findings:?}");

    let mut flat = sample[..40].to_vec();
    for image in &mut flat {
        image.pixels.fill(90);
        image.label = None;
    }
    let findings = found(input, &flat);
    assert_eq!(
        findings,
        [
            Finding::TooFew { images: 40 },
            Finding::Flat {
                flat: 40,
                images: 40
            },
            Finding::Repeated {
                repeated: 39,
                images: 40
            },
        ]
    );
}
