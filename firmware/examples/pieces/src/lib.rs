//! Parts of the emulated board (MPS2+ with a Cortex-M4) that both programs need: a clock that
//! counts instructions, a picture, and a way to end.
#![no_std]

#[cfg(target_os = "none")]
mod board;
#[cfg(target_os = "none")]
pub use board::{Clock, Interrupt, fail, report};

use tadpool_model::INPUT_BYTES;

/// A made-up picture: light blue above, dark blue below.
pub fn picture() -> [u8; INPUT_BYTES] {
    let mut pixels = [0; INPUT_BYTES];
    let (sky, sea) = pixels.split_at_mut(INPUT_BYTES / 2);
    for (half, color) in [(sky, [170, 200, 235]), (sea, [30, 70, 120])] {
        for pixel in half.chunks_exact_mut(3) {
            pixel.copy_from_slice(&color);
        }
    }
    pixels
}

/// `part` in hundredths of a percent of `whole`.
pub fn hundredths(part: u32, whole: u32) -> u32 {
    (u64::from(part) * 10_000 / u64::from(whole.max(1))) as u32
}
