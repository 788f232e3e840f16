//! Refusals and their texts; hostile files are refused at all.

use crate::support;
use std::fmt::Write as _;
use std::path::Path;

use crate::support::Noise;
use crate::support::network::{Form, write};
use crate::support::proto::model;
use crate::support::refused::broken::broken_files;
use crate::support::refused::near_misses as near_miss_graphs;
use prost::Message;
use tadpool_compiler::given::images;
use tadpool_compiler::given::model_toml::{self, ModelDescription};
use tadpool_compiler::import::reference::{Reference, ReferenceError, compare};
use tadpool_compiler::import::{ImportError, import, import_file};

#[test]
fn unsupported_fixtures() {
    let manifest = support::manifest();
    assert!(
        manifest.unsupported.len() >= 3,
        "the manifest lists the fixtures"
    );
    for fixture in manifest.unsupported {
        let bytes = std::fs::read(support::fixtures().join(&fixture.file)).unwrap();
        let error = import(&bytes, &fixture.file).unwrap_err();
        assert!(matches!(error, ImportError::Unsupported { .. }), "{error}");
        insta::assert_snapshot!(fixture.file.trim_end_matches(".onnx"), error.to_string());
    }
}

#[test]
fn near_misses() {
    let mut text = String::new();
    for (name, graph) in near_miss_graphs() {
        let bytes = model(graph, 18).encode_to_vec();
        let error = import(&bytes, "near.onnx").unwrap_err();
        assert!(
            matches!(error, ImportError::Unsupported { .. }),
            "{name}: {error}"
        );
        writeln!(text, "{name}: {error}").unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn broken_onnx_files() {
    let mut text = String::new();
    for (name, bytes) in broken_files() {
        let error = import(&bytes, "broken.onnx").unwrap_err();
        assert!(
            !matches!(error, ImportError::Unsupported { .. }),
            "{name}: {error}"
        );
        writeln!(text, "{name}: {error}").unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_missing_file_is_named() {
    let error = import_file(Path::new("no/such.onnx"))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("cannot read `no/such.onnx`: "), "{error}");
}

#[test]
fn truncated_files_are_refused() {
    let bytes = write(Form::default());
    for length in 0..bytes.len() {
        assert!(
            import(&bytes[..length], "cut.onnx").is_err(),
            "{length} of {} bytes",
            bytes.len()
        );
    }
}

/// Damage may go unnoticed in a weight, but nothing panics, hangs or eats the
/// memory; and what the reference thinks of it is an error or a result.
#[test]
fn damaged_files_never_panic() {
    let forms = [0, 2, 3].map(|norm| Form {
        norm,
        pooling: true,
        head_norm: true,
        ..Form::default()
    });
    let mut imported = 0;
    for bytes in forms.map(write) {
        for place in 0..bytes.len() {
            for change in [1 << (place % 8), 0xff] {
                let mut damaged = bytes.clone();
                damaged[place] ^= change;
                let Ok(model) = import(&damaged, "damaged.onnx") else {
                    continue;
                };
                imported += 1;
                if imported % 499 == 0 {
                    let image = Noise::new(1).values(model.input.elements());
                    if let Ok(reference) = Reference::new(&damaged, model.input) {
                        let _ = compare(&model, &reference, [image], 1e-3);
                    }
                }
            }
        }
    }
    assert!(imported > 100, "damage in weights is not noticed");
}

#[test]
fn noise_is_refused() {
    let mut noise = Noise::new(5);
    for length in 0..300 {
        let bytes: Vec<u8> = (0..length)
            .map(|_| (noise.value() * 64.0) as i32 as u8)
            .collect();
        assert!(import(&bytes, "noise.onnx").is_err());
    }
}

#[test]
fn an_import_that_computes_something_else_is_refused() {
    let bytes = write(Form::default());
    let mut model = import(&bytes, "network.onnx").unwrap();
    let reference = Reference::new(&bytes, model.input).unwrap();
    let tadpool_compiler::network::Op::Head(head) = &mut model.layers.last_mut().unwrap().op else {
        panic!()
    };
    head.linear.bias[1] += 0.5;
    let images = [Noise::new(1).values(model.input.elements())];
    let error = compare(&model, &reference, &images, 1e-3).unwrap_err();
    let ReferenceError::Difference {
        image: 0,
        class: 1,
        difference,
        allowed,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert!((difference - 0.5).abs() < 1e-4);
    let scores = reference.run(&images[0]).unwrap();
    let largest = scores
        .iter()
        .fold(1.0f32, |max, score| max.max(score.abs()));
    assert_eq!(allowed, 1e-3 * largest);
    head_is_named(&error.to_string());
    model.layers.pop();
    let error = compare(&model, &reference, &images, 1e-3).unwrap_err();
    assert!(
        matches!(error, ReferenceError::Classes { reference: 3, .. }),
        "{error}"
    );
}

fn head_is_named(text: &str) {
    assert!(text.starts_with("score 1 of image 0 is "), "{text}");
    assert!(text.ends_with(" is allowed"), "{text}");
}

#[test]
fn broken_model_descriptions() {
    let good = std::fs::read_to_string(
        support::fixtures().join("../../../models/poolformer-cifar10/model.toml"),
    )
    .unwrap();
    let cases = [
        ("not toml", "name = [".to_owned()),
        ("no input", "name = \"a\"\nonnx = \"b\"".to_owned()),
        ("unknown field", format!("colour = 1\n{good}")),
        ("unknown channels", good.replace("\"rgb\"", "\"cmyk\"")),
        ("wrong type", good.replace("height = 32", "height = \"32\"")),
        ("negative size", good.replace("height = 32", "height = -32")),
        (
            "crate name",
            good.replace("\"poolformer-cifar10\"", "\"Pool Former\""),
        ),
        (
            "too few means",
            good.replace("[0.4914, 0.4822, 0.4465]", "[0.5]"),
        ),
        ("deviation of zero", good.replace("0.2435", "0.0")),
        (
            "control character",
            good.replace("\"airplane\"", "\"air\\u0007plane\""),
        ),
        (
            "pixels from 0 to 255",
            good.replace("[0.4914, 0.4822, 0.4465]", "[125.3, 123.0, 113.9]"),
        ),
    ];
    let mut text = String::new();
    for (name, content) in cases {
        let error = model_toml::parse(&content, Path::new("model.toml")).unwrap_err();
        writeln!(text, "{name}: {error}").unwrap();
    }
    let network = import(&write(Form::default()), "network.onnx").unwrap();
    let description = model_toml::parse(&good, Path::new("model.toml")).unwrap();
    let error = description.fit(&network).unwrap_err();
    writeln!(text, "another image size: {error}").unwrap();
    let mut labels = ModelDescription::of_onnx(Path::new("network.onnx"), &network);
    labels.labels.pop();
    writeln!(
        text,
        "a label is missing: {}",
        labels.fit(&network).unwrap_err()
    )
    .unwrap();
    insta::assert_snapshot!(text);
}

#[test]
fn a_description_fits_its_network() {
    let folder = support::fixtures().join("../../../models/poolformer-cifar10");
    let description = model_toml::read(&folder.join("model.toml")).unwrap();
    let network = import_file(&description.onnx).unwrap().model;
    let description = description.fit(&network).unwrap();
    assert_eq!(description.labels[9], "truck");
    let images = images::list(&description.calibration.unwrap(), &description.labels).unwrap();
    assert!(images.len() >= 100 && images.is_sorted());
    assert!(images.iter().all(|image| image.label.is_some()));
    let pixels = images::load(&images[0].path, &description.input).unwrap();
    assert_eq!(pixels.len(), 32 * 32 * 3);
    let values = images::normalise(&pixels, &description.input);
    let expected = (f32::from(pixels[1]) / 255.0 - 0.4822) / 0.2435;
    assert!((values[1] - expected).abs() < 1e-6);
}

#[test]
fn broken_images() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let network = import(&write(Form::default()), "network.onnx").unwrap();
    let mut input = ModelDescription::of_onnx(Path::new("network.onnx"), &network).input;
    let ppm = b"P6 5 6 255\n"
        .iter()
        .copied()
        .chain(0..90)
        .collect::<Vec<u8>>();
    std::fs::write(at("good.ppm"), &ppm).unwrap();
    assert_eq!(
        images::load(&at("good.ppm"), &input).unwrap(),
        (0..90).collect::<Vec<u8>>()
    );

    let huge = b"P6 100000 100000 255\n";
    let jpeg = std::fs::read(
        images::list(
            &support::fixtures().join("../../../models/cifar10/calibration/cat"),
            &[],
        )
        .unwrap()[0]
            .path
            .clone(),
    )
    .unwrap();
    let mut text = String::new();
    let cases: [(&str, &[u8]); 7] = [
        ("cut.ppm", &ppm[..50]),
        ("huge.ppm", huge),
        ("empty.png", b""),
        ("text.png", b"this is no image"),
        ("large.jpg", &jpeg),
        ("cut.jpg", &jpeg[..60]),
        (
            "head.png",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff\x08\x02\0\0\0",
        ),
    ];
    for (name, content) in cases {
        std::fs::write(at(name), content).unwrap();
        writeln!(text, "{}", images::load(&at(name), &input).unwrap_err()).unwrap();
    }
    writeln!(
        text,
        "{}",
        images::load(&at("none.png"), &input).unwrap_err()
    )
    .unwrap();

    let labels = ["cat".to_owned(), "dog".to_owned()];
    for (name, file) in [
        ("a", "bird/1.png"),
        ("b", "cat/notes.txt"),
        ("c", ".hidden"),
    ] {
        let path = at(name).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, b"").unwrap();
        writeln!(text, "{}", images::list(&at(name), &labels).unwrap_err()).unwrap();
    }
    writeln!(
        text,
        "{}",
        images::list(&at("nowhere"), &labels).unwrap_err()
    )
    .unwrap();
    insta::assert_snapshot!(text.replace(&folder.path().display().to_string(), "FOLDER"));

    // Damaged pixels may decode, but nothing panics.
    (input.height, input.width) = (32, 32);
    for place in 0..jpeg.len() {
        let mut damaged = jpeg.clone();
        damaged[place] ^= 1 << (place % 8);
        std::fs::write(at("damaged.jpg"), &damaged).unwrap();
        let _ = images::load(&at("damaged.jpg"), &input);
    }
}
