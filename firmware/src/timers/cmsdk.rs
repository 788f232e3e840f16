//! The timer of Arm's Cortex-M System Design Kit, 32 bits.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

use crate::measure::Timer;
use crate::mmio::Register;

const ENABLE: u32 = 1 << 0;
const ENABLE_INTERRUPT: u32 = 1 << 3;
const PENDING: u32 = 1 << 0;

/// A timer that counts down from `u32::MAX` and starts again.
#[derive(Debug)]
pub(crate) struct CmsdkTimer {
    control: Register,
    value: Register,
    reload: Register,
    interrupt: Register,
    periods: AtomicU32,
}

/// Number of an interrupt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interrupt(pub(crate) u16);

// SAFETY: the number never changes.
#[allow(unsafe_code)]
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self.0
    }
}

impl CmsdkTimer {
    /// The timer whose registers begin at `base`.
    ///
    /// # Safety
    ///
    /// `base` must be the address of such a timer.
    #[allow(unsafe_code)]
    pub(crate) const unsafe fn at(base: usize) -> Self {
        // SAFETY: the offsets are those of the timer's registers.
        unsafe {
            Self {
                control: Register::at(base),
                value: Register::at(base + 4),
                reload: Register::at(base + 8),
                interrupt: Register::at(base + 12),
                periods: AtomicU32::new(0),
            }
        }
    }

    /// Starts counting; `interrupt` is the number of the timer's interrupt.
    #[allow(unsafe_code)]
    pub(crate) fn start(&self, interrupt: Interrupt) {
        self.reload.write(u32::MAX);
        self.value.write(u32::MAX);
        self.control.write(ENABLE | ENABLE_INTERRUPT);
        // SAFETY: no critical section relies on this interrupt being masked.
        unsafe { NVIC::unmask(interrupt) }
    }

    /// To be called by the timer's interrupt.
    pub(crate) fn on_interrupt(&self) {
        self.interrupt.write(PENDING);
        self.periods
            .store(self.periods.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

impl Timer for CmsdkTimer {
    const PERIOD: u64 = 1 << 32;

    fn elapsed(&self) -> u32 {
        // The period ends when the counter arrives at 0, a tick before it
        // starts again.
        0_u32.wrapping_sub(self.value.read())
    }

    fn is_pending(&self) -> bool {
        self.interrupt.read() & PENDING != 0
    }

    fn periods(&self) -> u32 {
        self.periods.load(Ordering::Relaxed)
    }
}
