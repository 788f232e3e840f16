//! ST's NUCLEO-G0B1RE at 64 MHz.

use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::pac::FLASH;
use embassy_stm32::rcc::{Pll, PllMul, PllPreDiv, PllRDiv, PllSource, Sysclk, clocks};
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
    // 16 MHz * 8 / 2, from the chip's oscillator: the board has no fast crystal.
    rcc.pll = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV1,
        mul: PllMul::MUL8,
        divp: None,
        divq: None,
        divr: Some(PllRDiv::DIV2),
    });
    rcc.sys = Sysclk::PLL1_R;
    let peripherals = embassy_stm32::init(config);
    // The cache, for instructions only, is on since the reset. Prefetch stays off: it can give
    // the core wrong data between the two banks (errata sheet ES0548, 2.2.10).
    let acr = FLASH.acr().read();
    let hclk = clocks(&peripherals.RCC).hclk1.to_hertz();
    Parts {
        busy: Output::new(peripherals.PA8, Level::Low, Speed::VeryHigh),
        setup: Setup {
            flash_cache: acr.icen(),
            flash_wait_states: Some(acr.latency().to_bits()),
            ..setup_of_core(hclk.map_or(0, |clock| clock.0))
        },
        #[cfg(feature = "mlperf-uart")]
        uart: Uart::new(peripherals.USART2, peripherals.PA3, peripherals.PA2),
    }
}
