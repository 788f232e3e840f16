//! The watchdog of Arm's CMSDK (DDI 0479), as the MPS2 boards have it: a first time-out is a
//! non-maskable interrupt, a second one resets. It stops with an emulated core.
#![allow(unsafe_code)]

use crate::boards::COUNTER_HZ;
use crate::mmio::Register;

/// The non-maskable interrupt.
pub(super) const EXCEPTION: Option<i16> = Some(2);

const UNLOCK: u32 = 0x1acc_e551;
/// Interrupt and reset.
const ENABLED: u32 = 0b11;

// SAFETY: addresses of the memory map of application notes 385, 386 and 500.
const LOAD: Register = unsafe { Register::at(0x4000_8000) };
// SAFETY: as above.
const CONTROL: Register = unsafe { Register::at(0x4000_8008) };
// SAFETY: as above.
const CLEAR: Register = unsafe { Register::at(0x4000_800c) };
// SAFETY: as above.
const LOCK: Register = unsafe { Register::at(0x4000_8c00) };

pub(super) fn start(limit_ms: u32) {
    LOCK.write(UNLOCK);
    LOAD.write(limit_ms.saturating_mul(COUNTER_HZ / 1000));
    CONTROL.write(ENABLED);
}

pub(super) fn feed() {
    // Loads the counter again.
    CLEAR.write(1);
}

/// The interrupt came before: what it reported is the last fault.
pub(super) fn has_reset() -> bool {
    false
}
