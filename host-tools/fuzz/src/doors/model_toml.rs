//! Model descriptions.

use std::path::Path;

use tadpool_compiler::given::images;
use tadpool_compiler::given::model_toml;

const FULL: &str = r#"
name = "tiny"
onnx = "tiny.onnx"
board = "qemu-mps2-an386"
outputs = ["stage1", "head"]
[input]
height = 8
width = 6
channels = "bgr"
mean = [0.5, 0.25, 0.125]
std = [0.25, 1.0, 0.0625]
feed = "rows"
[data]
labels = ["cat", "dog", "cat"]
calibration = "../images"
evaluation = "/data"
[quantization]
ranges = "percentile:99.9"
rounding = "nearest"
bias-correction = "off"
equalisation = "on"
weights = "int4-mlp"
stream = "int16"
[quantization.pins]
"stage1.block0.mlp" = "int8"
"#;

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = super::files("models/poolformer-cifar10", "model.toml", 1 << 16);
    seeds.push(FULL.into());
    seeds
}

pub(super) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match model_toml::parse(text, Path::new("folder/model.toml")) {
        Ok(model) => {
            let pixel = vec![0x80; model.input.channels.count()];
            let values = images::normalise(&pixel, &model.input);
            assert!(values.iter().all(|value| value.is_finite()), "{values:?}");
            assert!(model.labels.iter().all(|label| !label.is_empty()));
        }
        Err(error) => super::check_error(&error),
    }
}
