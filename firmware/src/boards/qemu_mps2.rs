//! Arm's MPS2+ FPGA board with application notes 385, 386 and 500, which share
//! one memory map.
#![allow(unsafe_code)]

use crate::mmio::Register;
use crate::pins::RegisterPin;
use crate::timers::{CmsdkTimer, Interrupt};

const TIMER_INTERRUPT: Interrupt = Interrupt(8);
const LED_0: u32 = 1 << 0;

// SAFETY: timer 0 of the memory map.
pub(super) static TIMER: CmsdkTimer = unsafe { CmsdkTimer::at(0x4000_0000) };
// SAFETY: the LEDs of the FPGA system control in the memory map.
const LEDS: Register = unsafe { Register::at(0x4002_8000) };

pub(super) fn init() -> RegisterPin {
    TIMER.start(TIMER_INTERRUPT);
    RegisterPin::new(LEDS, LED_0)
}

pub(crate) fn on_interrupt(interrupt: i16) -> bool {
    let is_timer = interrupt == TIMER_INTERRUPT.0 as i16;
    if is_timer {
        TIMER.on_interrupt();
    }
    is_timer
}
