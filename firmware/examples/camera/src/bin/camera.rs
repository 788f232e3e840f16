//! Classifies in a loop, one thing after the other.
#![no_std]
#![no_main]

mod board;

use camera::{SpiCamera, classify_next};
use static_cell::ConstStaticCell;
use tadpool_model::Arena;

static ARENA: ConstStaticCell<Arena> = ConstStaticCell::new(Arena::new());

#[cortex_m_rt::entry]
fn main() -> ! {
    let arena = ARENA.take();
    let mut camera = SpiCamera::new(board::camera());
    loop {
        match classify_next(&mut camera, arena) {
            Ok(prediction) => board::show(&prediction),
            Err(problem) => board::fail(&problem),
        }
    }
}
