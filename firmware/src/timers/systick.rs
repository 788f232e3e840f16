//! The timer of every Cortex-M, 24 bits.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};

use crate::measure::{Timer, extended};

const RELOAD: u32 = 0x00ff_ffff;

/// A timer that counts down from [`RELOAD`] and starts again.
#[derive(Debug)]
pub(crate) struct SysTickTimer {
    periods: AtomicU32,
}

impl SysTickTimer {
    /// The timer, not started.
    pub(crate) const fn new() -> Self {
        Self {
            periods: AtomicU32::new(0),
        }
    }

    /// Starts counting the processor's clock.
    #[allow(unsafe_code)]
    pub(crate) fn start(&self) {
        // SAFETY: start-up runs once and nothing else uses SysTick's registers.
        let mut syst = unsafe { cortex_m::Peripherals::steal() }.SYST;
        syst.set_clock_source(SystClkSource::Core);
        syst.set_reload(RELOAD);
        syst.clear_current();
        syst.enable_interrupt();
        syst.enable_counter();
    }

    /// Does nothing: no debug probe stops this timer.
    pub(crate) fn wake(&self) {}

    /// Ticks since the start.
    pub(crate) fn now(&self) -> u64 {
        extended(self)
    }

    pub(crate) fn name(&self) -> &'static str {
        "SysTick"
    }

    /// Number of its exception, as of an interrupt.
    pub(crate) fn interrupt(&self) -> i16 {
        -1
    }

    /// To be called by the SysTick exception.
    pub(crate) fn on_interrupt(&self) {
        self.periods
            .store(self.periods.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

impl Timer for SysTickTimer {
    const PERIOD: u64 = RELOAD as u64 + 1;

    fn elapsed(&self) -> u32 {
        // The period ends when the counter arrives at 0, a tick before it
        // starts again.
        (RELOAD + 1 - SYST::get_current()) & RELOAD
    }

    fn is_pending(&self) -> bool {
        SCB::is_pendst_pending()
    }

    fn periods(&self) -> u32 {
        self.periods.load(Ordering::Relaxed)
    }
}
