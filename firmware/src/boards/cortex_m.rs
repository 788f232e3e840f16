//! Any Cortex-M: at the clock that it has out of reset, with its caches as they are, timed by
//! the core's own counter. Nothing here is of one chip.

use super::{COUNTER_HZ, Parts, setup_of_core};
use crate::run::NoPin;
use crate::timers::CoreTimer;

pub(super) type Busy = NoPin;

pub(super) static TIMER: CoreTimer = CoreTimer::new();

pub(super) fn init() -> Parts<Busy> {
    Parts {
        busy: NoPin,
        // Both counters count the core's clock.
        setup: setup_of_core(COUNTER_HZ),
    }
}
