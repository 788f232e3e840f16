//! Texas Instruments' LM3S6965 evaluation board.
#![allow(unsafe_code)]

use crate::mmio::Register;
use crate::pins::RegisterPin;
use crate::timers::SysTickTimer;

const PORT_F: u32 = 1 << 5;
const LED: u32 = 1 << 0;

pub(super) static TIMER: SysTickTimer = SysTickTimer::new();
// SAFETY: the clock gates of the GPIO ports in the memory map.
const CLOCK_GATES: Register = unsafe { Register::at(0x400f_e108) };
// SAFETY: direction of port F's pins in the memory map.
const DIRECTION: Register = unsafe { Register::at(0x4002_5400) };
// SAFETY: digital enable of port F's pins in the memory map.
const DIGITAL: Register = unsafe { Register::at(0x4002_551c) };
// SAFETY: port F's data, all pins, in the memory map.
const DATA: Register = unsafe { Register::at(0x4002_53fc) };

pub(super) fn init() -> RegisterPin {
    // SAFETY: `init` runs once and nothing else uses SysTick's registers.
    let mut core = unsafe { cortex_m::Peripherals::steal() };
    TIMER.start(&mut core.SYST);
    CLOCK_GATES.write(CLOCK_GATES.read() | PORT_F);
    DIRECTION.write(DIRECTION.read() | LED);
    DIGITAL.write(DIGITAL.read() | LED);
    RegisterPin::new(DATA, LED)
}

pub(crate) fn on_interrupt(interrupt: i16) -> bool {
    let is_timer = interrupt == SysTickTimer::INTERRUPT;
    if is_timer {
        TIMER.on_interrupt();
    }
    is_timer
}
