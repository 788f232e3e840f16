//! The application core of Nordic's nRF5340 DK at 128 MHz.

use embassy_nrf::config::{Config, HfclkSource};
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::pac::clock::vals::Hclk;
use embassy_nrf::pac::{CACHE, CLOCK};
use tadpool_protocol::Setup;

use super::{Parts, setup_of_core};
use crate::timers::CoreTimer;

/// Pin D7 of the Arduino connector.
pub(super) type Busy = Output<'static>;

pub(super) static TIMER: CoreTimer = CoreTimer::new();

/// The core's clock undivided; half of it is what it has out of reset.
const FULL_HZ: u32 = 128_000_000;

pub(super) fn init() -> Parts<Busy> {
    let mut config = Config::default();
    config.hfclk_source = HfclkSource::ExternalXtal;
    // Before the cache is on: it may write to the flash's page of options.
    let peripherals = embassy_nrf::init(config);
    CLOCK.hfclkctrl().write(|clock| clock.set_hclk(Hclk::Div1));
    CACHE.enable().write(|cache| cache.set_enable(true));
    let core_hz = match CLOCK.hfclkctrl().read().hclk() {
        Hclk::Div1 => FULL_HZ,
        _ => FULL_HZ / 2,
    };
    Parts {
        busy: Output::new(peripherals.P1_09, Level::Low, OutputDrive::Standard),
        setup: Setup {
            flash_cache: CACHE.enable().read().enable(),
            crystal: true,
            ..setup_of_core(core_hz)
        },
    }
}
