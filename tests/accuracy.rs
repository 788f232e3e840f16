//! Top-1 on the evaluation images that are part of the repository: 100 of each
//! class for both trained networks.

mod support;

use tadpool::compile::{self, CompileConfig};
use tadpool::evaluate::{Evaluation, agreement, argmax};
use tadpool::images;
use tadpool::program::Arena;

/// Floor of the float network's top-1, and how far int8 may be below it: a
/// thousand images tell top-1 to about a point.
fn check(name: &str, floor: f64) {
    let folder = support::fixtures().join("../../../models").join(name);
    let model = compile::load(&folder.join("model.toml")).unwrap();
    let compiled = compile::compile(&model, &CompileConfig::default(), &()).unwrap();
    assert!(compiled.comparison.images >= 200);
    assert!(compiled.comparison.max_abs_diff < 1e-3);
    assert!(compiled.memory.optimal);
    assert!(
        compiled.memory.arena_size <= 12 * 1024,
        "{}",
        compiled.memory.arena_size
    );

    let description = &model.description;
    let files = images::list(
        description.evaluation.as_ref().unwrap(),
        &description.labels,
    )
    .unwrap();
    assert_eq!(files.len(), 1000);
    let labels: Vec<usize> = files.iter().map(|file| file.label.unwrap()).collect();
    let program = compiled.program();
    let mut arena = Arena::default();
    let (mut float, mut int8) = (Vec::new(), Vec::new());
    for file in &files {
        let pixels = images::load(&file.path, &description.input).unwrap();
        let input = images::normalise(&pixels, &description.input);
        float.push(argmax(&model.reference.run(&input).unwrap()));
        int8.push(argmax(
            &program.infer(&pixels, &mut arena, &mut ()).unwrap(),
        ));
    }
    let float_top1 = Evaluation::new(10, &labels, &float).top1();
    let int8_top1 = Evaluation::new(10, &labels, &int8).top1();
    let agreement = agreement(&float, &int8);
    assert!(float_top1 > floor, "{name}: float {float_top1}");
    assert!(
        int8_top1 > float_top1 - 0.01,
        "{name}: int8 {int8_top1}, float {float_top1}"
    );
    assert!(agreement > 0.97, "{name}: {agreement}");
}

#[test]
fn poolformer_keeps_its_accuracy() {
    check("poolformer-cifar10", 0.85);
}

#[test]
fn identityformer_keeps_its_accuracy() {
    check("identityformer-cifar10", 0.74);
}
