//! The core's own counter: its cycle counter where that advances, or else
//! SysTick. Both count the core's clock.

use ::core::sync::atomic::{AtomicBool, Ordering};

use super::cycles::CycleCounter;
use super::systick::SysTickTimer;

/// Whichever of the two there is.
///
/// SysTick always runs: where the cycle counter counts, SysTick's interrupt looks
/// at it often enough to notice that it started again from zero.
#[derive(Debug)]
pub(crate) struct CoreTimer {
    cycles: CycleCounter,
    systick: SysTickTimer,
    has_cycles: AtomicBool,
}

impl CoreTimer {
    pub(crate) const fn new() -> Self {
        Self {
            cycles: CycleCounter::new(),
            systick: SysTickTimer::new(),
            has_cycles: AtomicBool::new(false),
        }
    }

    pub(crate) fn start(&self) {
        self.has_cycles
            .store(self.cycles.start(), Ordering::Relaxed);
        self.systick.start();
    }

    pub(crate) fn wake(&self) {
        if self.has_cycles.load(Ordering::Relaxed) {
            self.cycles.wake();
        }
    }

    pub(crate) fn now(&self) -> u64 {
        if self.has_cycles.load(Ordering::Relaxed) {
            self.cycles.now()
        } else {
            self.systick.now()
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.has_cycles.load(Ordering::Relaxed) {
            "the cycle counter"
        } else {
            self.systick.name()
        }
    }

    pub(crate) fn interrupt(&self) -> i16 {
        self.systick.interrupt()
    }

    pub(crate) fn on_interrupt(&self) {
        self.cycles.look();
        self.systick.on_interrupt();
    }
}
