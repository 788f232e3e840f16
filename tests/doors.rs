//! Files as they come from strangers: hostile, broken, or of a kind that other programs
//! do not stand.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tadpool_compiler::compile::{self, CompileError};
use tadpool_compiler::import::onnx::OnnxError;
use tadpool_compiler::import::{ImportError, import_file};

use crate::support;

fn seed(name: &str) -> PathBuf {
    support::fixtures()
        .join("../../../host-tools/fuzz/seeds/onnx")
        .join(name)
}

/// tract never returns from a LayerNormalization of a scalar. Nothing reads this one's.
#[test]
fn a_dead_node_does_not_hang_the_reference() {
    let start = Instant::now();
    let loaded = compile::load(&seed("dead_layer_norm.onnx"));
    assert!(
        start.elapsed() < Duration::from_secs(45),
        "{:?}",
        start.elapsed()
    );
    let model = loaded.unwrap_or_else(|error| panic!("{error}"));
    let image = vec![0.5; model.network.input.elements()];
    let scores = model.reference.run(&image).unwrap();
    assert_eq!(scores.len(), model.network.classes());
}

/// A few hundred bytes say that a billion weights lie in a file beside them.
#[test]
fn a_sparse_file_of_weights_is_refused_by_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::copy(seed("four_bits_outside.onnx"), &path).unwrap();
    let sparse = File::create(folder.path().join("sparse.bin")).unwrap();
    sparse.set_len(500 << 20).unwrap();
    match import_file(&path) {
        Err(ImportError::Onnx {
            source: OnnxError::Sizes { .. } | OnnxError::TooMuchData { .. },
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
}

/// Less than two kilobytes join the image with itself until it has millions of channels, and then
/// name them again and again: each channel of each value was kept, in twelve gigabytes.
#[test]
fn an_image_of_millions_of_channels_is_not_followed() {
    let start = Instant::now();
    match import_file(&seed("image_joined_with_itself.onnx")) {
        Err(ImportError::Unsupported { .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn names_do_not_reach_the_terminal_as_they_are() {
    for name in ["escape_names.onnx", "outside.onnx"] {
        let error = import_file(&seed(name)).unwrap_err().to_string();
        assert!(
            !error.contains('\u{1b}') && !error.contains('\u{202e}'),
            "{error:?}"
        );
    }
    let error = import_file(&seed("escape_names.onnx"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("\\u{1b}"), "{error}");
}

#[cfg(unix)]
#[test]
fn weights_behind_a_link_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::copy(seed("outside.onnx"), &path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    let error = import_file(&path).unwrap_err();
    assert!(
        matches!(
            &error,
            ImportError::Onnx {
                source: OnnxError::External { .. },
                ..
            }
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("outside the model's folder"),
        "{error}"
    );
}

/// A file that is no network is refused by one sentence that names it once.
#[test]
fn what_is_no_network_is_named_once() {
    let folder = tempfile::tempdir().unwrap();
    let (pointer, inner) = (
        folder.path().join("lfs.onnx"),
        folder.path().join("in.onnx"),
    );
    let oid = "0".repeat(64);
    let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 1\n");
    std::fs::write(&pointer, text).unwrap();
    std::fs::create_dir(&inner).unwrap();
    let mut cases = vec![
        (pointer, "Git LFS pointer"),
        (inner, "is a folder"),
        (folder.path().join("none.onnx"), "cannot read"),
    ];
    #[cfg(unix)]
    {
        let pipe = folder.path().join("pipe.onnx");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        cases.push((pipe, "is a pipe"));
    }
    for (path, expected) in cases {
        let error = import_file(&path).unwrap_err().to_string();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(error.contains(expected), "{error}");
        assert_eq!(error.matches(name).count(), 1, "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

/// A folder stands for the description in it, and what is no file is refused at once.
#[test]
fn a_folder_is_its_description() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let model = compile::load(&models.join("poolformer-cifar10")).unwrap();
    assert_eq!(model.description.name, "poolformer-cifar10");
    let error = compile::load(&models).unwrap_err();
    assert!(
        matches!(error, CompileError::NoDescription { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("model.toml"), "{error}");
    #[cfg(unix)]
    for device in ["/dev/zero", "/dev/tty"] {
        let error = compile::load(Path::new(device)).unwrap_err().to_string();
        assert!(error.contains(device), "{error}");
    }
}
