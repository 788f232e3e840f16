//! Nordic's nRF54L15 DK at 128 MHz.

use embassy_nrf::config::{ClockSpeed, Config, HfclkSource};
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::pac::oscillators::vals::Currentfreq;
use embassy_nrf::pac::{ICACHE, OSCILLATORS};
use tadpool_protocol::Setup;

use super::{Parts, setup_of_core};
use crate::timers::CoreTimer;

/// Pin P1.11 of the connector for port 1.
pub(super) type Busy = Output<'static>;

pub(super) static TIMER: CoreTimer = CoreTimer::new();

pub(super) fn init() -> Parts<Busy> {
    let mut config = Config::default();
    config.clock_speed = ClockSpeed::CK128;
    config.hfclk_source = HfclkSource::ExternalXtal;
    let peripherals = embassy_nrf::init(config);
    ICACHE.enable().write(|cache| cache.set_enable(true));
    let core_hz = match OSCILLATORS.pll().currentfreq().read().currentfreq() {
        Currentfreq::Ck128m => 128_000_000,
        _ => 64_000_000,
    };
    Parts {
        busy: Output::new(peripherals.P1_11, Level::Low, OutputDrive::Standard),
        setup: Setup {
            flash_cache: ICACHE.enable().read().enable(),
            crystal: true,
            ..setup_of_core(core_hz)
        },
    }
}
