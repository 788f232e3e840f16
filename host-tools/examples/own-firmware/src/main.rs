//! Classifies a picture with a model that the build script generated.
//!
//! The same few lines work in a `no_std` firmware; only where the pixels come
//! from and where the label goes differ.

#![expect(clippy::print_stdout, reason = "a command prints")]

#[allow(dead_code, unreachable_pub, reason = "generated for every kind of use")]
mod model {
    include!(concat!(env!("OUT_DIR"), "/model/model.rs"));
}

use model::{ARENA_BYTES, Arena, Fault, INPUT_BYTES, NAME};

fn main() -> Result<(), Fault> {
    let mut arena = Arena::new();
    let label = classify(&mut arena, &sky_over_sea())?;
    println!("{NAME}: {label}, in {ARENA_BYTES} bytes of RAM");
    Ok(())
}

/// The label of the class with the largest logit.
fn classify(arena: &mut Arena, pixels: &[u8; INPUT_BYTES]) -> Result<&'static str, Fault> {
    arena.input_mut().copy_from_slice(pixels);
    Ok(model::infer(arena)?.label().unwrap_or("nothing"))
}

/// A made-up picture: light blue above, dark blue below.
fn sky_over_sea() -> [u8; INPUT_BYTES] {
    let mut pixels = [0; INPUT_BYTES];
    let (sky, sea) = pixels.split_at_mut(INPUT_BYTES / 2);
    for (half, color) in [(sky, [170, 200, 235]), (sea, [30, 70, 120])] {
        for pixel in half.chunks_exact_mut(3) {
            pixel.copy_from_slice(&color);
        }
    }
    pixels
}
