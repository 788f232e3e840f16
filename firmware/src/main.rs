//! The firmware image.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use static_cell::ConstStaticCell;
use tadpool_firmware::boards;
#[cfg(feature = "mlperf")]
use tadpool_firmware::mlperf::{Buffers, serve};
#[cfg(not(feature = "mlperf"))]
use tadpool_firmware::run::{Buffers, serve};
use tadpool_model::Arena;

static ARENA: ConstStaticCell<Arena> = ConstStaticCell::new(Arena::new());
#[cfg(feature = "mlperf")]
static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
#[cfg(not(feature = "mlperf"))]
static BUFFERS: ConstStaticCell<Buffers<{ tadpool_model::STEPS }>> =
    ConstStaticCell::new(Buffers::new());

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut board = boards::init();
    boards::check_weights(&mut board);
    // There is one start, so nobody has taken them.
    if let (Some(arena), Some(buffers)) = (ARENA.try_take(), BUFFERS.try_take()) {
        serve(&mut board, arena, buffers);
    }
    boards::stop()
}
