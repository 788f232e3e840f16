//! The watchdog of the nRF52840 (product specification, 6.36). A reset by it keeps the RAM.

use embassy_nrf::pac::wdt::vals::{Halt, Rr, Sleep};
use embassy_nrf::pac::{POWER, WDT};

pub(super) const EXCEPTION: Option<i16> = None;

const COUNTER_HZ: u64 = 32_768;

pub(super) fn start(limit_ms: u32) {
    // It goes on through a reset by software, and is set up once.
    if WDT.runstatus().read().runstatus() {
        return;
    }
    WDT.config().write(|config| {
        config.set_halt(Halt::Pause);
        config.set_sleep(Sleep::Run);
    });
    let ticks = u64::from(limit_ms) * COUNTER_HZ / 1000;
    WDT.crv().write_value(ticks as u32);
    WDT.rren().write(|enabled| enabled.set_rr(0, true));
    WDT.tasks_start().write_value(1);
}

pub(super) fn feed() {
    WDT.rr(0).write(|reload| reload.set_rr(Rr::Reload));
}

/// Whether the last reset was its; asked once.
pub(super) fn has_reset() -> bool {
    let was_its = POWER.resetreas().read().dog();
    // A one clears a cause.
    POWER.resetreas().write(|cause| cause.set_dog(true));
    was_its
}
