//! Nothing but an inference, for `tadpool` to look through: what it can reach,
//! what it can panic on, and how much stack it can need.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

#[path = "../model_hash.rs"]
mod model_hash;

use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m as _; // has the critical section that `static_cell` takes on Armv6-M
use static_cell::ConstStaticCell;
use tadpool_kernels::Fault;
use tadpool_model::{Arena, COMES_IN_ROWS, Prediction, infer};

static ARENA: ConstStaticCell<Arena> = ConstStaticCell::new(Arena::new());

/// Where the inference begins; its name is the one that `tadpool` looks for.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn tadpool_inference(arena: &mut Arena) -> Result<Prediction<'_>, Fault> {
    if COMES_IN_ROWS {
        // The first step runs in here.
        arena.put_pixels(0, black_box(&[0; 16]))?;
    }
    infer(arena)
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let arena = ARENA.take();
    loop {
        let _ = black_box(tadpool_inference(black_box(arena)));
    }
}

#[panic_handler]
#[inline(never)]
fn panicked(_: &PanicInfo<'_>) -> ! {
    loop {
        black_box(());
    }
}
