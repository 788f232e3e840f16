//! Pieces that the tests share: the fixtures, images, and networks written in Rust.

#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod emulated;
pub(crate) mod integer;
pub(crate) mod made;
pub(crate) mod network;
pub(crate) mod outliers;
pub(crate) mod placed;
pub(crate) mod proto;
pub(crate) mod refused;
pub(crate) mod written;

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Emulated boards of cores that have kernels of their own.
pub(crate) const CORES: [&str; 3] = ["qemu-mps2-an385", "qemu-mps2-an386", "qemu-mps3-an547"];

/// `fixtures/onnx/manifest.toml`.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) model: Vec<Fixture>,
    pub(crate) unsupported: Vec<Fixture>,
    pub(crate) form: Vec<Fixture>,
}

/// A file of the manifest and what it holds.
#[derive(Debug, Deserialize)]
pub(crate) struct Fixture {
    pub(crate) file: String,
    pub(crate) network: String,
    pub(crate) input_shape: [usize; 4],
    pub(crate) dims: Vec<usize>,
    pub(crate) depths: Vec<usize>,
    pub(crate) mlp_ratio: usize,
    pub(crate) classes: usize,
    pub(crate) stem: [usize; 3],
    pub(crate) downsampling: [usize; 3],
    pub(crate) input: Option<String>,
    pub(crate) logits: Option<String>,
}

pub(crate) fn manifest() -> Manifest {
    let text = std::fs::read_to_string(fixtures().join("manifest.toml")).expect("the manifest");
    toml::from_str(&text).expect("a well-formed manifest")
}

/// `fixtures/family/manifest.toml`.
#[derive(Debug, Deserialize)]
pub(crate) struct Family {
    pub(crate) model: Vec<Member>,
}

/// A small instance of a network of the family, in one form.
#[derive(Debug, Deserialize)]
pub(crate) struct Member {
    pub(crate) file: String,
    pub(crate) network: String,
    pub(crate) source: String,
    pub(crate) exporter: String,
    pub(crate) opset: u32,
    pub(crate) simplified: bool,
    pub(crate) layers: Vec<String>,
}

pub(crate) fn family() -> Family {
    let path = fixtures().join("../family/manifest.toml");
    let text = std::fs::read_to_string(path).expect("the manifest");
    toml::from_str(&text).expect("a well-formed manifest")
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/onnx")
}

/// Little-endian floats of a fixture.
pub(crate) fn floats(file: &str) -> Vec<f32> {
    read_floats(&fixtures().join(file))
}

pub(crate) fn read_floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).expect("a fixture");
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect()
}

/// From `channels x height x width` to `height x width x channels`.
pub(crate) fn channels_last(planes: &[f32], channels: usize) -> Vec<f32> {
    let tokens = planes.len() / channels;
    (0..tokens)
        .flat_map(|t| (0..channels).map(move |c| planes[c * tokens + t]))
        .collect()
}

/// Pseudo-random values between -2 and 2, the same for the same seed.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn value(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 22) as f32 - 2.0
    }

    pub(crate) fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}
