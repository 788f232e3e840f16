//! ST's NUCLEO-U575ZI-Q at 160 MHz.

use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::pac::{FLASH, ICACHE, PWR};
use embassy_stm32::rcc::{Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk, VoltageScale, clocks};
use tadpool_protocol::Setup;

use super::{Parts, setup_of_core};
use crate::timers::CoreTimer;

/// Pin D7 of the Arduino connector.
pub(super) type Busy = Output<'static>;

#[cfg(feature = "mlperf-uart")]
pub(super) use super::stm32_uart::Uart;

pub(super) static TIMER: CoreTimer = CoreTimer::new();

pub(super) fn init() -> Parts<Busy> {
    let mut config = embassy_stm32::Config::default();
    let rcc = &mut config.rcc;
    rcc.voltage_range = VoltageScale::RANGE1;
    rcc.hsi = true;
    // 16 MHz / 2 * 40 / 2, from the chip's oscillator, which is more exact than the one that
    // it starts with; the HAL switches on the booster that 55 MHz and more need.
    rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV2,
        mul: PllMul::MUL40,
        divp: None,
        divq: None,
        divr: Some(PllDiv::DIV2),
    });
    rcc.sys = Sysclk::PLL1_R;
    let peripherals = embassy_stm32::init(config);
    FLASH.acr().modify(|acr| acr.set_prften(true));
    // The cache invalidates itself at reset (RM0456, 8.4.6), and then can be switched on.
    while ICACHE.sr().read().busyf() {}
    ICACHE.cr().modify(|cr| cr.set_en(true));
    let hclk = clocks(&peripherals.RCC).hclk1.to_hertz();
    Parts {
        busy: Output::new(peripherals.PF13, Level::Low, Speed::VeryHigh),
        setup: Setup {
            flash_cache: ICACHE.cr().read().en(),
            flash_wait_states: Some(FLASH.acr().read().latency()),
            boost: Some(PWR.vosr().read().boostrdy()),
            ..setup_of_core(hclk.map_or(0, |clock| clock.0))
        },
        #[cfg(feature = "mlperf-uart")]
        uart: Uart::new(peripherals.USART1, peripherals.PA10, peripherals.PA9),
    }
}
