//! Stand-in for a generated model: sums and differences of the pixels.
#![no_std]
#![forbid(unsafe_code)]

use tadpool_kernels::{Fault, Observer};

/// Name of the model.
pub const NAME: &str = "stand-in";
/// Rows of the image.
pub const INPUT_HEIGHT: usize = 32;
/// Columns of the image.
pub const INPUT_WIDTH: usize = 32;
/// Bytes of a pixel.
pub const INPUT_CHANNELS: usize = 3;
/// Bytes of the image.
pub const INPUT_BYTES: usize = INPUT_HEIGHT * INPUT_WIDTH * INPUT_CHANNELS;
/// Length of the output.
pub const CLASSES: usize = 3;
/// Names of the classes.
pub const LABELS: [&str; CLASSES] = ["red", "green", "blue"];
/// Bytes of the arena.
pub const ARENA_BYTES: usize = 4096;
/// Kernel calls of an inference.
pub const STEPS: usize = 2;
/// Names of the steps.
pub const STEP_NAMES: [&str; STEPS] = ["weigh", "sum"];
/// Multiply-accumulates of the steps.
pub const STEP_MACS: [u32; STEPS] = [INPUT_BYTES as u32, 0];
/// First bytes of the model's hash.
pub const MODEL_HASH: u32 = 0x5354_414e;

static WEIGHTS: [i8; 64] = {
    let mut weights = [0; 64];
    let mut i = 0;
    while i < 64 {
        weights[i] = (i * 7 % 127) as i8 - 60;
        i += 1;
    }
    weights
};

/// Static memory of an inference.
#[derive(Debug)]
#[repr(align(8))]
pub struct Arena([u8; ARENA_BYTES]);

/// Scores of the classes, Q16.16.
pub type Logits = [i32; CLASSES];

impl Arena {
    /// An arena of zeros.
    pub const fn new() -> Self {
        Self([0; ARENA_BYTES])
    }

    /// Where the pixels go: `u8`, row by row, channel fastest.
    pub fn input_mut(&mut self) -> &mut [u8; INPUT_BYTES] {
        self.0.first_chunk_mut().expect("the input fits")
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

/// Scores the image in the arena.
pub fn infer(arena: &mut Arena) -> Result<Logits, Fault> {
    infer_observed(arena, &mut ())
}

/// Scores the image in the arena and shows each step to `observer`.
pub fn infer_observed(arena: &mut Arena, observer: &mut impl Observer) -> Result<Logits, Fault> {
    let (pixels, scratch) = arena
        .0
        .split_first_chunk_mut::<INPUT_BYTES>()
        .ok_or(Fault::Geometry)?;
    for (pixel, weight) in pixels.iter_mut().zip(WEIGHTS.iter().cycle()) {
        *pixel = ((i32::from(*pixel) * i32::from(*weight)) >> 8) as u8;
    }
    observer.step(0, pixels);
    let mut logits = [0; CLASSES];
    for pixel in pixels.chunks_exact(INPUT_CHANNELS) {
        for (logit, &value) in logits.iter_mut().zip(pixel) {
            *logit += i32::from(value.cast_signed()) << 8;
        }
    }
    let output = scratch.get_mut(..4 * CLASSES).ok_or(Fault::Geometry)?;
    for (bytes, logit) in output.chunks_exact_mut(4).zip(&logits) {
        bytes.copy_from_slice(&logit.to_le_bytes());
    }
    observer.step(1, output);
    Ok(logits)
}
