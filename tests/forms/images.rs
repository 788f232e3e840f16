//! Pre-processing in a file, before its first convolution.

use super::{check, check_image, imported};
use crate::support::Noise;
use crate::support::proto::image_info;
use crate::support::proto::{float, int, ints};
use crate::support::written::{CHANNELS, SIZE, STYLES, Written, relu};
use tadpool_compiler::import::reference::{Reference, compare};
use tadpool_compiler::import::{Imported, import_file_of_size};
use tract_onnx::pb::tensor_proto::DataType;

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];

const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn assert_statistics(imported: &[Imported], mean: [f32; 3], std: [f32; 3]) {
    for imported in imported {
        let (found_mean, found_std) = imported.input.statistics();
        let close = |found: &[f32], expected: &[f32]| {
            found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-4)
        };
        assert!(
            close(&found_mean, &mean) && close(&found_std, &std),
            "{found_mean:?} {found_std:?}"
        );
        assert_eq!(imported.notes.len(), 1, "{:?}", imported.notes);
    }
}

#[test]
fn an_image_that_the_file_normalises() {
    let shape = [1, 3, 1, 1];
    let found = check_image("subtract, divide", |w| {
        let (mean, std) = (w.tensor(&shape, &MEAN), w.tensor(&[3, 1, 1], &STD));
        let centred = w.op("Sub", &["image", &mean], vec![]);
        w.op("Div", &[&centred, &std], vec![])
    });
    assert_statistics(&found, MEAN, STD);
    let found = check_image("multiply, add", |w| {
        let factors = STD.map(|std| 1.0 / std);
        let terms: Vec<f32> = MEAN
            .iter()
            .zip(STD)
            .map(|(mean, std)| -mean / std)
            .collect();
        let (factors, terms) = (w.tensor(&shape, &factors), w.tensor(&shape, &terms));
        let scaled = w.either("Mul", "image", &factors);
        w.either("Add", &scaled, &terms)
    });
    assert_statistics(&found, MEAN, STD);
    let found = check_image("batch norm", |w| {
        let (one, zero) = (w.tensor(&[3], &[1.0; 3]), w.tensor(&[3], &[0.0; 3]));
        let (mean, variance) = (
            w.tensor(&[3], &MEAN),
            w.tensor(&[3], &STD.map(|std| std * std)),
        );
        let inputs = ["image", &one, &zero, &mean, &variance];
        w.op("BatchNormalization", &inputs, vec![float("epsilon", 1e-12)])
    });
    assert_statistics(&found, MEAN, STD);
    let found = check_image("bytes to -1..1", |w| {
        let (half, one) = (w.number(127.5), w.number(1.0));
        let scaled = w.op("Div", &["image", &half], vec![]);
        w.op("Sub", &[&scaled, &one], vec![])
    });
    assert_statistics(&found, [0.5; 3], [0.5; 3]);
    let found = check_image("turned into its negative", |w| {
        let one = w.number(1.0);
        w.op("Sub", &[&one, "image"], vec![])
    });
    assert!(
        found
            .iter()
            .all(|imported| imported.input.scale == [1.0; 3])
    );
}

#[test]
fn an_image_of_bytes_with_channels_innermost() {
    let found = check_image("bytes", |w| {
        w.image([1, SIZE, SIZE, 3], DataType::Uint8);
        let turned = w.op("Transpose", &["image"], vec![ints("perm", &[0, 3, 1, 2])]);
        let real = w.op("Cast", &[&turned], vec![int("to", 1)]);
        let (white, std) = (w.number(255.0), w.tensor(&[3, 1, 1], &STD));
        let unit = w.op("Div", &[&real, &white], vec![]);
        let mean = w.tensor(&[1, 3, 1, 1], &MEAN);
        let centred = w.op("Sub", &[&unit, &mean], vec![]);
        w.op("Div", &[&centred, &std], vec![])
    });
    assert_statistics(&found, MEAN, STD);
    let found = check_image("normalised before it is turned", |w| {
        w.image([1, SIZE, SIZE, 3], DataType::Float);
        let factors = w.tensor(&[3], &STD.map(|std| 1.0 / (255.0 * std)));
        let means = MEAN.map(|mean| 255.0 * mean);
        let means = w.tensor(&[1, 1, 1, 3], &means);
        let centred = w.op("Sub", &["image", &means], vec![]);
        let scaled = w.either("Mul", &centred, &factors);
        w.op("Transpose", &[&scaled], vec![ints("perm", &[0, 3, 1, 2])])
    });
    assert_statistics(&found, MEAN, STD);
}

#[test]
fn an_image_whose_channels_are_reordered() {
    check_image("gather", |w| {
        let order = w.integers(&[3], &[2, 1, 0]);
        w.op("Gather", &["image", &order], vec![int("axis", 1)])
    });
    check_image("a list of indices, as dynamo writes it", |w| {
        let order = w.integers(&[3, 1], &[2, 0, 1]);
        let turn = || vec![ints("perm", &[1, 0, 2, 3])];
        let front = w.op("Transpose", &["image"], turn());
        let listed = w.op("GatherND", &[&front, &order], vec![int("batch_dims", 0)]);
        w.op("Transpose", &[&listed], turn())
    });
    check_image("a list of indices of innermost channels", |w| {
        w.image([1, SIZE, SIZE, 3], DataType::Float);
        let order = w.integers(&[3, 1], &[1, 2, 0]);
        let front = w.op("Transpose", &["image"], vec![ints("perm", &[3, 0, 1, 2])]);
        let listed = w.op("GatherND", &[&front, &order], vec![]);
        let back = w.op("Transpose", &[&listed], vec![ints("perm", &[1, 2, 3, 0])]);
        w.op("Transpose", &[&back], vec![ints("perm", &[0, 3, 1, 2])])
    });
    check_image("slice, then a mean of each channel", |w| {
        let [start, end] = [-1, i64::MIN + 1].map(|place| w.integers(&[1], &[place]));
        let [axis, step] = [1, -1].map(|place| w.integers(&[1], &[place]));
        let turned = w.op("Slice", &["image", &start, &end, &axis, &step], vec![]);
        let mean = w.tensor(&[1, 3, 1, 1], &[103.53, 116.28, 123.675]);
        w.op("Sub", &[&turned, &mean], vec![])
    });
}

#[test]
fn a_batch_of_several_images_is_taken_as_one() {
    for (seed, style) in STYLES.into_iter().enumerate() {
        let mut w = Written::new(seed as u64 + 23, style);
        w.image([4, 3, SIZE, SIZE], DataType::Float);
        let x = w.stem("image");
        let x = w.block(&x, Written::norm, relu);
        let mean = w.op("GlobalAveragePool", &[&x], vec![]);
        let sizes = w.integers(&[2], &[4, CHANNELS as i64]);
        let vector = w.op("Reshape", &[&mean, &sizes], vec![]);
        let scores = w.scores(&vector, CHANNELS);
        let imported = check("a batch of four", &w.file(&[&scores]));
        assert_eq!(imported.input.batch, 4);
    }
}

#[test]
fn a_symbolic_size_comes_from_the_description() {
    let mut w = Written::new(29, STYLES[1]);
    let sizes = [None, Some(3), None, None];
    w.graph.input = vec![image_info(sizes)];
    let x = w.stem("image");
    let scores = w.rest(&x);
    let bytes = w.file(&[&scores]);
    let error = imported(&bytes).unwrap_err();
    assert!(error.contains("`input.height`"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("symbolic.onnx");
    std::fs::write(&path, bytes).unwrap();
    let imported = import_file_of_size(&path, Some([SIZE, SIZE + 4])).unwrap();
    let input = imported.model.input;
    assert_eq!([input.height, input.width], [SIZE, SIZE + 4]);
    let reference = Reference::of(&imported.bytes, input, imported.input).unwrap();
    let image = Noise::new(3).values(input.elements());
    compare(&imported.model, &reference, [image], 1e-4).unwrap();
}
