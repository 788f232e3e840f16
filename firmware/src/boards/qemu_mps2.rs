//! Arm's MPS2+ FPGA board with application notes 385, 386 and 500, which share
//! one memory map; emulated.
#![allow(unsafe_code)]

use super::{COUNTER_HZ, Parts, setup_of_core};
use crate::pins::RegisterPin;
use crate::timers::{CmsdkTimer, Interrupt};

pub(super) type Busy = RegisterPin;
#[cfg(feature = "mlperf-uart")]
pub(super) type Uart = crate::uart::CmsdkUart;

// SAFETY: timer 0 of the memory map, and its interrupt.
pub(super) static TIMER: CmsdkTimer = unsafe { CmsdkTimer::at(0x4000_0000, Interrupt(8)) };

pub(super) fn init() -> Parts<Busy> {
    Parts {
        busy: RegisterPin::of_board(),
        // The timer's clock is the core's.
        setup: setup_of_core(COUNTER_HZ),
        #[cfg(feature = "mlperf-uart")]
        uart: Uart::of_board(COUNTER_HZ),
    }
}
