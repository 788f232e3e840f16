//! Arm's MPS2+ FPGA board with application note 505.
#![allow(unsafe_code)]

use crate::mmio::Register;
use crate::pins::RegisterPin;
use crate::timers::SysTickTimer;

const LED_0: u32 = 1 << 0;

pub(super) static TIMER: SysTickTimer = SysTickTimer::new();
// SAFETY: the LEDs of the FPGA I/O block in the memory map, secure alias.
const LEDS: Register = unsafe { Register::at(0x5030_2000) };

pub(super) fn init() -> RegisterPin {
    // SAFETY: `init` runs once and nothing else uses SysTick's registers.
    let mut core = unsafe { cortex_m::Peripherals::steal() };
    TIMER.start(&mut core.SYST);
    RegisterPin::new(LEDS, LED_0)
}

pub(crate) fn on_interrupt(interrupt: i16) -> bool {
    let is_timer = interrupt == SysTickTimer::INTERRUPT;
    if is_timer {
        TIMER.on_interrupt();
    }
    is_timer
}
