//! The cycle counter of the core's Data Watchpoint and Trace unit, 32 bits.
//! Armv6-M has none; emulators have one that stands still.

use core::sync::atomic::{AtomicU32, Ordering};

#[cfg(not(tadpool_armv6m))]
use cortex_m::peripheral::DWT;

use crate::measure::{Timer, extended};

/// The counter, and how often it started again from zero.
///
/// It has no interrupt: [`Self::look`] must be called more than once in each
/// period, from the interrupt of another timer.
#[derive(Debug)]
pub(crate) struct CycleCounter {
    seen: AtomicU32,
    periods: AtomicU32,
}

impl CycleCounter {
    /// The counter, not started.
    pub(crate) const fn new() -> Self {
        Self {
            seen: AtomicU32::new(0),
            periods: AtomicU32::new(0),
        }
    }

    /// Starts counting; false if it does not advance.
    #[cfg(not(tadpool_armv6m))]
    #[allow(unsafe_code)]
    pub(crate) fn start(&self) -> bool {
        if !DWT::has_cycle_counter() {
            return false;
        }
        // SAFETY: start-up runs once and nothing else uses this register.
        let mut core = unsafe { cortex_m::Peripherals::steal() };
        self.wake();
        core.DWT.set_cycle_count(0);
        let before = DWT::cycle_count();
        cortex_m::asm::delay(16);
        DWT::cycle_count() != before
    }

    #[cfg(tadpool_armv6m)]
    pub(crate) fn start(&self) -> bool {
        false
    }

    /// Counts on: a debug probe that ends its session switches the unit off (`TRCENA` in
    /// `DEMCR`), which stops the counter.
    #[cfg(not(tadpool_armv6m))]
    #[allow(unsafe_code)]
    pub(crate) fn wake(&self) {
        // SAFETY: these bits are only ever set here, and by debug probes.
        let mut core = unsafe { cortex_m::Peripherals::steal() };
        core.DCB.enable_trace();
        DWT::unlock();
        core.DWT.enable_cycle_counter();
    }

    #[cfg(tadpool_armv6m)]
    pub(crate) fn wake(&self) {}

    /// Cycles since the start.
    pub(crate) fn now(&self) -> u64 {
        extended(self)
    }

    /// Notices that the counter started again; to be called in one interrupt
    /// only.
    pub(crate) fn look(&self) {
        let now = self.elapsed();
        if now < self.seen.load(Ordering::Relaxed) {
            let periods = self.periods.load(Ordering::Relaxed) + 1;
            self.periods.store(periods, Ordering::Relaxed);
        }
        self.seen.store(now, Ordering::Relaxed);
    }
}

impl Timer for CycleCounter {
    const PERIOD: u64 = 1 << 32;

    #[cfg(not(tadpool_armv6m))]
    fn elapsed(&self) -> u32 {
        DWT::cycle_count()
    }

    #[cfg(tadpool_armv6m)]
    fn elapsed(&self) -> u32 {
        0
    }

    fn is_pending(&self) -> bool {
        self.elapsed() < self.seen.load(Ordering::Relaxed)
    }

    fn periods(&self) -> u32 {
        self.periods.load(Ordering::Relaxed)
    }
}
