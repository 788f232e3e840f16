//! Emulated boards that are timed by SysTick; their files differ in where
//! the LED is.

use super::{COUNTER_HZ, Parts, setup_of_core};
use crate::pins::RegisterPin;
use crate::timers::SysTickTimer;

pub(super) type Busy = RegisterPin;
#[cfg(feature = "mlperf-uart")]
pub(super) type Uart = crate::uart::CmsdkUart;

pub(super) static TIMER: SysTickTimer = SysTickTimer::new();

pub(super) fn init() -> Parts<Busy> {
    Parts {
        busy: RegisterPin::of_board(),
        // The emulator clocks SysTick and the core alike.
        setup: setup_of_core(COUNTER_HZ),
        #[cfg(feature = "mlperf-uart")]
        uart: Uart::of_board(COUNTER_HZ),
    }
}
