//! ST's NUCLEO-H743ZI at 400 MHz, whose chip is of revision Y, and NUCLEO-H743ZI2 at
//! 480 MHz, which revision V reaches.

use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::pac::FLASH;
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, Hse, HseMode, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk,
    VoltageScale, clocks,
};
use embassy_stm32::time::mhz;
use tadpool_protocol::Setup;

use super::{Parts, enable_core_caches, setup_of_core};
use crate::timers::CoreTimer;

/// Pin D7 of the Arduino connector.
pub(super) type Busy = Output<'static>;

pub(super) static TIMER: CoreTimer = CoreTimer::new();

/// 8 MHz / 4 * this / 2 is the core's clock.
#[cfg(feature = "nucleo-h743zi")]
const PLL: (PllMul, VoltageScale) = (PllMul::MUL400, VoltageScale::Scale1);
/// 8 MHz / 4 * this / 2 is the core's clock.
#[cfg(feature = "nucleo-h743zi2")]
const PLL: (PllMul, VoltageScale) = (PllMul::MUL480, VoltageScale::Scale0);

pub(super) fn init() -> Parts<Busy> {
    let (multiplier, voltage_scale) = PLL;
    let mut config = embassy_stm32::Config::default();
    let rcc = &mut config.rcc;
    // The debug probe's clock.
    rcc.hse = Some(Hse {
        freq: mhz(8),
        mode: HseMode::Bypass,
    });
    rcc.pll1 = Some(Pll {
        source: PllSource::HSE,
        prediv: PllPreDiv::DIV4,
        mul: multiplier,
        fracn: None,
        divp: Some(PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    rcc.sys = Sysclk::PLL1_P;
    rcc.voltage_scale = voltage_scale;
    rcc.ahb_pre = AHBPrescaler::DIV2;
    rcc.apb1_pre = APBPrescaler::DIV2;
    rcc.apb2_pre = APBPrescaler::DIV2;
    rcc.apb3_pre = APBPrescaler::DIV2;
    rcc.apb4_pre = APBPrescaler::DIV2;
    let peripherals = embassy_stm32::init(config);
    enable_core_caches();
    let core_hz = clocks(&peripherals.RCC)
        .sys
        .to_hertz()
        .map_or(0, |clock| clock.0);
    #[cfg(feature = "nucleo-h743zi")]
    let busy = peripherals.PF13;
    #[cfg(feature = "nucleo-h743zi2")]
    let busy = peripherals.PG12;
    Parts {
        busy: Output::new(busy, Level::Low, Speed::VeryHigh),
        setup: Setup {
            crystal: true,
            flash_wait_states: Some(FLASH.acr().read().latency()),
            ..setup_of_core(core_hz)
        },
    }
}
