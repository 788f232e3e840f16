//! Classifies the pictures that the build script took from the calibration. An application
//! takes them from a camera instead: `Arena::input_mut`, `put_pixels` or `push_rows`.
#![no_std]
#![no_main]

use @crate@::golden::GOLDEN;
use @crate@::model::{Arena, NAME};
use static_cell::ConstStaticCell;

static ARENA: ConstStaticCell<Arena> = ConstStaticCell::new(Arena::new());

#[cortex_m_rt::entry]
fn main() -> ! {
    let arena = ARENA.take();
    for picture in &GOLDEN {
        let prediction = match arena.put_pixels(0, picture.pixels) {
            Ok(()) => arena.infer(),
            Err(fault) => Err(fault),
        };
        match prediction {
            Ok(prediction) => defmt::info!(
                "{=str} of {=str}: {=str}, logits {}",
                NAME,
                picture.name,
                prediction.label().unwrap_or("no label"),
                prediction.logits(),
            ),
            Err(fault) => defmt::error!("{=str}: {}", picture.name, fault),
        }
    }
    @crate@::end()
}
