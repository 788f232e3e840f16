//! The watchdog of the nRF52840 (product specification, 6.36), the nRF5340 (7.42) and the
//! nRF54L15 (datasheet, "WDT"), by their oscillator of 32 768 Hz. A reset by it keeps the RAM.

#[cfg(feature = "nrf52840-dk")]
use embassy_nrf::pac::{POWER as RESET, WDT};
#[cfg(feature = "nrf5340-dk")]
use embassy_nrf::pac::{RESET, WDT0 as WDT};
#[cfg(feature = "nrf54l15-dk")]
use embassy_nrf::pac::{RESET, WDT31 as WDT};

use embassy_nrf::pac::wdt::vals::{Halt, Rr, Sleep};

pub(super) const EXCEPTION: Option<i16> = None;

const COUNTER_HZ: u64 = 32_768;
/// What the oscillator may be faster than that, as a part: it starts uncalibrated, within 5 %.
const MARGIN: u64 = 16;

/// Bits of the causes of a reset: the watchdogs of the chip's core.
#[cfg(not(feature = "nrf54l15-dk"))]
const DOGS: u32 = 1 << 1;
/// Bits of the causes of a reset: the watchdogs of the chip's core.
#[cfg(feature = "nrf54l15-dk")]
const DOGS: u32 = 1 << 1 | 1 << 2;

pub(super) fn start(limit_ms: u32) {
    // It goes on through a reset by software, and is set up once.
    if WDT.runstatus().read().0 != 0 {
        return;
    }
    WDT.config().write(|config| {
        config.set_halt(Halt::Pause);
        config.set_sleep(Sleep::Run);
    });
    let ticks = u64::from(limit_ms) * COUNTER_HZ * (MARGIN + 1) / (1000 * MARGIN);
    WDT.crv().write_value(ticks as u32);
    WDT.rren().write(|enabled| enabled.set_rr(0, true));
    WDT.tasks_start().write_value(1);
}

pub(super) fn feed() {
    WDT.rr(0).write(|reload| reload.set_rr(Rr::Reload));
}

/// Whether the last reset was its; asked once.
pub(super) fn has_reset() -> bool {
    let was_its = RESET.resetreas().read().0 & DOGS != 0;
    // A one clears a cause.
    RESET.resetreas().write(|causes| causes.0 = DOGS);
    was_its
}
