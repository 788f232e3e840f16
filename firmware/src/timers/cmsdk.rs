//! The timer of Arm's Cortex-M System Design Kit, 32 bits.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

use crate::measure::{Timer, extended};
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
    status: Register,
    interrupt: Interrupt,
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
    /// The timer whose registers begin at `base`, with its interrupt.
    ///
    /// # Safety
    ///
    /// `base` must be the address of such a timer.
    #[allow(unsafe_code)]
    pub(crate) const unsafe fn at(base: usize, interrupt: Interrupt) -> Self {
        // SAFETY: the offsets are those of the timer's registers.
        unsafe {
            Self {
                control: Register::at(base),
                value: Register::at(base + 4),
                reload: Register::at(base + 8),
                status: Register::at(base + 12),
                interrupt,
                periods: AtomicU32::new(0),
            }
        }
    }

    /// Starts counting.
    #[allow(unsafe_code)]
    pub(crate) fn start(&self) {
        self.reload.write(u32::MAX);
        self.value.write(u32::MAX);
        self.control.write(ENABLE | ENABLE_INTERRUPT);
        // SAFETY: no critical section relies on this interrupt being masked.
        unsafe { NVIC::unmask(self.interrupt) }
    }

    /// Does nothing: no debug probe stops this timer.
    pub(crate) fn wake(&self) {}

    /// Ticks since the start.
    pub(crate) fn now(&self) -> u64 {
        extended(self)
    }

    pub(crate) fn name(&self) -> &'static str {
        "a CMSDK timer"
    }

    /// Number of its interrupt.
    pub(crate) fn interrupt(&self) -> i16 {
        self.interrupt.0 as i16
    }

    /// To be called by the timer's interrupt.
    pub(crate) fn on_interrupt(&self) {
        self.status.write(PENDING);
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
        self.status.read() & PENDING != 0
    }

    fn periods(&self) -> u32 {
        self.periods.load(Ordering::Relaxed)
    }
}
