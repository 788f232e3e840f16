//! The methods of quantization, as a model description chooses them: each does
//! something, and the same again.

use crate::support::made::Made;
use crate::support::network::{self, Form};
use tadpool_compiler::check::{self, CheckConfig};
use tadpool_compiler::compile::{self, CompileConfig};
use tadpool_compiler::given::images;
use tadpool_compiler::quantize::quant_model::QuantModel;

/// The default, and one change of each kind to it; the network has ReLU, so that it
/// can be equalised.
const CHOICES: [&str; 11] = [
    "",
    "ranges = \"min-max\"",
    "ranges = \"percentile:99.5\"",
    "ranges = \"kl\"",
    "rounding = \"nearest\"",
    "bias-correction = \"off\"",
    "equalisation = \"on\"",
    "weights = \"int4-mlp\"",
    "weights = \"int4\"",
    "stream = \"int16\"",
    "pins = { \"stage1.block0.mlp.fc1\" = \"int4\" }",
];

fn quantized(choice: &str, threads: usize) -> QuantModel {
    let folder = tempfile::tempdir().unwrap();
    let onnx = folder.path().join("relu.onnx");
    let form = Form {
        pooling: true,
        residual: true,
        layer_scale: 1,
        head_norm: true,
        ..Form::default()
    };
    std::fs::write(&onnx, network::write(form)).unwrap();
    let made = Made {
        onnx: &onnx,
        size: [network::HEIGHT, network::WIDTH],
        classes: 3,
        calibration: 60,
        evaluation: 24,
        with_labels: false,
        quantization: &format!("[quantization]\n{choice}\n"),
    };
    let model = compile::load(&made.write(folder.path())).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    let compiled = pool.build().unwrap().install(|| {
        compile::compile(&model, &CompileConfig::default(), &()).unwrap_or_else(|e| panic!("{e}"))
    });
    let images = images::list(&folder.path().join("evaluation"), &model.description.labels);
    let config = CheckConfig {
        hybrid_images: 1,
        shown: 0,
    };
    let check = check::check(&model, &compiled, &images.unwrap(), &config, &()).unwrap();
    let (error, logits) = (check.logit_error, check.logits);
    assert!(error < 0.25 * logits, "{choice}: {error} of {logits}");
    compiled.quantized
}

#[test]
fn every_choice_is_taken_and_deterministic() {
    let mut seen: Vec<(&str, QuantModel)> = Vec::new();
    for choice in CHOICES {
        let found = quantized(choice, 1);
        assert!(found == quantized(choice, 3), "{choice}");
        for (other, before) in &seen {
            assert!(found != *before, "`{choice}` gives what `{other}` gives");
        }
        seen.push((choice, found));
    }
}
