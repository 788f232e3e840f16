//! Nordic's nRF52840 DK at 64 MHz.

use embassy_nrf::config::{Config, HfclkSource};
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::pac::NVMC;
use tadpool_protocol::Setup;

use super::{Parts, setup_of_core};
use crate::timers::CoreTimer;

/// Pin D7 of the Arduino connector.
pub(super) type Busy = Output<'static>;

pub(super) static TIMER: CoreTimer = CoreTimer::new();

/// The chip's only core clock.
const CORE_HZ: u32 = 64_000_000;

pub(super) fn init() -> Parts<Busy> {
    let mut config = Config::default();
    config.hfclk_source = HfclkSource::ExternalXtal;
    let peripherals = embassy_nrf::init(config);
    NVMC.icachecnf().modify(|cache| cache.set_cacheen(true));
    Parts {
        busy: Output::new(peripherals.P1_08, Level::Low, OutputDrive::Standard),
        setup: Setup {
            flash_cache: NVMC.icachecnf().read().cacheen(),
            // Two on a miss of the cache (product specification, 4.3).
            flash_wait_states: Some(2),
            crystal: true,
            ..setup_of_core(CORE_HZ)
        },
    }
}
