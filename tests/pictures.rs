//! Pictures as Pillow reads them, and pictures that are refused.
//!
//! `models/export/pictures.py` writes the fixtures with Pillow's pixels beside them.

use std::path::{Path, PathBuf};

use tadpool_compiler::calibrate::{Finding, LabelledPixels, findings};
use tadpool_compiler::compile::{ENOUGH_DB, Lowest, Quality};
use tadpool_compiler::given::images::{self, ImageError};
use tadpool_compiler::given::model_toml::{self, Channels, Feed, InputDescription};
use tadpool_compiler::import::import_file;
use tadpool_compiler::network::LayerName;
use tadpool_kernels::checksum::fnv1a;

use crate::support;

const WIDTH: usize = 19;
const HEIGHT: usize = 14;

fn folder() -> PathBuf {
    support::fixtures().join("../pictures")
}

fn input(channels: Channels, height: usize, width: usize) -> InputDescription {
    let count = channels.count();
    InputDescription {
        height,
        width,
        channels,
        mean: vec![0.0; count],
        std: vec![1.0; count],
        feed: Feed::Image,
    }
}

/// Pictures in the folder, with the size that they are seen in.
fn pictures() -> Vec<(PathBuf, [usize; 2])> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.with_added_extension("rgb").exists());
    paths.sort();
    let size = |path: &Path| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let turned = [
            "orientation5",
            "orientation6",
            "orientation7",
            "orientation8",
        ];
        match turned.contains(&name.as_str()) {
            true => [WIDTH, HEIGHT],
            false => [HEIGHT, WIDTH],
        }
    };
    let sized = paths.into_iter().map(|path| (path.clone(), size(&path)));
    sized.collect()
}

#[test]
fn pictures_have_pillows_pixels() {
    let pictures = pictures();
    assert_eq!(pictures.len(), 25);
    for (path, [height, width]) in pictures {
        for (channels, end) in [(Channels::Rgb, "rgb"), (Channels::Gray, "gray")] {
            let expected = std::fs::read(path.with_added_extension(end)).unwrap();
            let pixels = images::load(&path, &input(channels, height, width));
            let pixels = pixels.unwrap_or_else(|error| panic!("{error}"));
            assert!(pixels == expected, "{} as {end}", path.display());
        }
    }
}

#[test]
fn a_fourth_channel_is_alpha() {
    let rgba = input(Channels::Rgba, HEIGHT, WIDTH);
    let alpha = |name: &str| -> Vec<u8> {
        let pixels = images::load(&folder().join(name), &rgba).unwrap();
        pixels.iter().skip(3).step_by(4).copied().collect()
    };
    assert!(alpha("420.jpg").iter().all(|&alpha| alpha == 255));
    assert_eq!(alpha("alpha.png"), alpha("gray-alpha.png"));
    assert!(alpha("palette-transparent.png").iter().any(|&a| a < 255));
}

#[test]
fn the_evaluation_set_has_pillows_pixels() {
    let set = support::fixtures().join("../../../models/cifar10/evaluation");
    let files = images::list(&set, &[]).unwrap();
    assert_eq!(files.len(), 1000);
    let input = input(Channels::Rgb, 32, 32);
    let pixels: Vec<u8> = files
        .iter()
        .flat_map(|file| images::load(&file.path, &input).unwrap())
        .collect();
    let expected = std::fs::read_to_string(folder().join("cifar10.txt")).unwrap();
    assert_eq!(format!("{:08x}", fnv1a(&pixels)), expected.trim());
}

#[test]
fn a_turned_picture_of_another_size_is_told_so() {
    let path = folder().join("orientation6.jpg");
    let error = images::load(&path, &input(Channels::Rgb, HEIGHT, WIDTH)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("has 14x19 pixels, turned as its EXIF orientation says"),
        "{text}"
    );
}

#[test]
fn print_colours_are_refused() {
    let path = folder().join("print.jpg");
    let error = images::load(&path, &input(Channels::Rgb, HEIGHT, WIDTH)).unwrap_err();
    assert!(matches!(error, ImageError::Colours { .. }), "{error}");
    assert!(error.to_string().contains("print.jpg"), "{error}");
}

/// Wherever a file is cut, it is refused or has all its pixels: not one is made up.
#[test]
fn cut_pictures_are_refused() {
    let names = [
        "444.jpg",
        "420.jpg",
        "progressive.jpg",
        "gray.jpg",
        "orientation3.jpg",
        "palette.png",
        "alpha.png",
        "rgb16.png",
        "plain.bmp",
        "plain.ppm",
    ];
    for name in names {
        let path = folder().join(name);
        let bytes = std::fs::read(&path).unwrap();
        let input = input(Channels::Rgb, HEIGHT, WIDTH);
        let whole = images::decode(&bytes, &path, &input).unwrap();
        for length in 0..bytes.len() {
            match images::decode(&bytes[..length], &path, &input) {
                Err(error) => assert!(error.to_string().contains(name), "{error}"),
                Ok(pixels) => {
                    assert!(pixels == whole, "{name} cut to {length} of {}", bytes.len());
                    assert!(!name.ends_with("jpg"), "{name} cut to {length}");
                }
            }
        }
    }
}

/// A picture whose end is missing is refused by name in whatever folder it lies.
#[test]
fn a_cut_picture_is_named() {
    let bytes = std::fs::read(folder().join("422.jpg")).unwrap();
    let cut = tempfile::tempdir().unwrap();
    let path = cut.path().join("half.jpg");
    std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let error = images::load(&path, &input(Channels::Rgb, HEIGHT, WIDTH)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("half.jpg` is cut off"), "{text}");
    // What follows the end is no part of the picture.
    let mut longer = bytes.clone();
    longer.extend(b"made by a camera");
    let input = input(Channels::Rgb, HEIGHT, WIDTH);
    let pixels = images::decode(&longer, &path, &input).unwrap();
    assert_eq!(pixels, images::decode(&bytes, &path, &input).unwrap());
}

/// Pictures of one colour are called blank, whatever the colour; others are not.
#[test]
fn blank_calibration_pictures_are_called_blank() {
    let folder = support::fixtures().join("../../../models/poolformer-cifar10");
    let description = model_toml::read(&folder.join("model.toml")).unwrap();
    let network = import_file(&description.onnx).unwrap().model;
    let described = description.fit(&network).unwrap();
    let files = images::list(&described.calibration.clone().unwrap(), &[]).unwrap();
    let unlabelled = |pixels| LabelledPixels {
        pixels,
        label: None,
    };
    let mut sample: Vec<_> = files
        .iter()
        .take(3)
        .map(|file| unlabelled(images::load(&file.path, &described.input).unwrap()))
        .collect();
    let blank = |findings: &[Finding]| {
        findings.iter().find_map(|finding| match finding {
            Finding::Flat { .. } => Some(finding.to_string()),
            _ => None,
        })
    };
    assert_eq!(
        blank(&findings(&network, &described.input, &sample, 100)),
        None
    );
    sample.push(unlabelled([200, 30, 90].repeat(32 * 32)));
    sample.push(unlabelled(vec![0; 32 * 32 * 3]));
    let said = blank(&findings(&network, &described.input, &sample, 100)).unwrap();
    assert!(
        said.starts_with("2 of 5 calibration images are blank"),
        "{said}"
    );
}

/// Two classes may have one name: labels are for display.
#[test]
fn labels_may_repeat() {
    let path = support::fixtures().join("../../../models/poolformer-cifar10/model.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let description = model_toml::parse(&text.replace("\"truck\"", "\"automobile\""), &path);
    let description = description.unwrap();
    let network = import_file(&description.onnx).unwrap().model;
    let labels = description.fit(&network).unwrap().labels;
    assert_eq!(labels[1], labels[9]);
}

/// What is said of an output that misses the bar.
#[test]
fn a_noisy_output_is_said_to_be() {
    let quality = |output_db| Quality {
        images: 32,
        output_db: Some(output_db),
        lowest: Some(Lowest {
            step: LayerName::Head,
            sqnr_db: 12.0,
        }),
        remedies: vec!["more images".to_owned(), "other ranges".to_owned()],
    };
    assert!(quality(ENOUGH_DB).is_enough());
    assert_eq!(
        quality(13.4).to_string(),
        "the output is at 13.4 dB on 32 calibration images, below 25 dB (lowest step: `head`, \
         12.0 dB); try more images, or other ranges"
    );
}
