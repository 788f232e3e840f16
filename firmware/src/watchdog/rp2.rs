//! The watchdog of the RP2040 (data sheet, 4.7) and the RP2350 (12.9), by the crystal's clock
//! of 12 MHz.

use rp_pac::{PSM, WATCHDOG};

use crate::boards::WATCHDOG_LIMIT_MS;

pub(super) const EXCEPTION: Option<i16> = None;

/// Periods of the crystal in a microsecond.
const CYCLES: u16 = 12;
/// Counts in a microsecond: the RP2040 takes two (erratum E1).
const COUNTS: u32 = if cfg!(feature = "rpi-pico") { 2 } else { 1 };

/// Everything that a reset can be of.
const ALL_PARTS: u32 = if cfg!(feature = "rpi-pico") {
    0x0001_ffff
} else {
    0x01ff_ffff
};

pub(super) fn start(_limit_ms: u32) {
    WATCHDOG.ctrl().modify(|control| control.set_enable(false));
    // Everything starts anew but the oscillators, which this clock is from.
    PSM.wdsel().write(|parts| {
        parts.0 = ALL_PARTS;
        parts.set_rosc(false);
        parts.set_xosc(false);
    });
    #[cfg(feature = "rpi-pico")]
    WATCHDOG.tick().write(|tick| {
        tick.set_cycles(CYCLES);
        tick.set_enable(true);
    });
    #[cfg(feature = "rpi-pico2")]
    {
        let ticks = rp_pac::TICKS;
        ticks
            .watchdog_cycles()
            .write(|cycles| cycles.set_watchdog_cycles(CYCLES));
        ticks
            .watchdog_ctrl()
            .write(|control| control.set_enable(true));
    }
    feed();
    WATCHDOG.ctrl().modify(|control| {
        control.set_pause_jtag(true);
        control.set_pause_dbg0(true);
        control.set_pause_dbg1(true);
        control.set_enable(true);
    });
}

pub(super) fn feed() {
    let counts = WATCHDOG_LIMIT_MS * 1000 * COUNTS;
    WATCHDOG.load().write(|load| load.set_load(counts));
}

/// Whether the last reset was its. Power-up and the reset pin clear that; on the RP2040 a reset by
/// a debug probe does not, which then is told as one of the watchdog's.
pub(super) fn has_reset() -> bool {
    WATCHDOG.reason().read().timer()
}
