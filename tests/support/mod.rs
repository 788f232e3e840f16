//! What the tests share: the fixtures, images, and networks written in Rust.

#![allow(dead_code, reason = "every test file uses a part of it")]

pub mod integer;
pub mod network;
pub mod refused;

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// `fixtures/onnx/manifest.toml`.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    pub model: Vec<Fixture>,
    pub unsupported: Vec<Fixture>,
}

/// A file of the manifest and what it holds.
#[derive(Debug, Deserialize)]
pub struct Fixture {
    pub file: String,
    pub network: String,
    pub input_shape: [usize; 4],
    pub dims: Vec<usize>,
    pub depths: Vec<usize>,
    pub mlp_ratio: usize,
    pub classes: usize,
    pub stem: [usize; 3],
    pub downsampling: [usize; 3],
    pub input: Option<String>,
    pub logits: Option<String>,
}

pub fn manifest() -> Manifest {
    let text = std::fs::read_to_string(fixtures().join("manifest.toml")).expect("the manifest");
    toml::from_str(&text).expect("a well-formed manifest")
}

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/onnx")
}

/// Little-endian floats of a fixture.
pub fn floats(file: &str) -> Vec<f32> {
    let bytes = std::fs::read(fixtures().join(file)).expect("a fixture");
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect()
}

/// From `channels x height x width` to `height x width x channels`.
pub fn channels_last(planes: &[f32], channels: usize) -> Vec<f32> {
    let tokens = planes.len() / channels;
    (0..tokens)
        .flat_map(|t| (0..channels).map(move |c| planes[c * tokens + t]))
        .collect()
}

/// Pseudo-random values between -2 and 2, the same for the same seed.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn value(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 22) as f32 - 2.0
    }

    pub fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.value()).collect()
    }
}
