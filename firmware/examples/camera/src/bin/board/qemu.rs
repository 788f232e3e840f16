//! The emulator: a camera in software, words on the console, and an end after a
//! few frames.

use core::fmt::Debug;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use camera::{Prediction, SimulatedCamera};
use cortex_m_semihosting::{debug, hprintln};
use defmt_rtt as _;

const FRAMES: usize = 4;

pub(crate) fn camera() -> SimulatedCamera {
    SimulatedCamera::new()
}

pub(crate) fn show(prediction: &Prediction) {
    static SHOWN: AtomicUsize = AtomicUsize::new(0);
    let Prediction { label, logits } = prediction;
    hprintln!("{label} {logits:?}");
    let shown = SHOWN.load(Ordering::Relaxed) + 1;
    SHOWN.store(shown, Ordering::Relaxed);
    if shown == FRAMES {
        debug::exit(debug::EXIT_SUCCESS);
    }
}

pub(crate) fn fail(problem: &dyn Debug) -> ! {
    hprintln!("{problem:?}");
    loop {
        debug::exit(debug::EXIT_FAILURE);
    }
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    fail(info)
}
