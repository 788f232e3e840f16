//! ST's NUCLEO-F411RE at 100 MHz and STM32F4DISCOVERY at 168 MHz.

use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::pac::FLASH;
use embassy_stm32::rcc::{
    APBPrescaler, Hse, HseMode, Pll, PllMul, PllPDiv, PllPreDiv, PllSource, Sysclk, clocks,
};
use embassy_stm32::time::mhz;
use tadpool_protocol::Setup;

use super::{Parts, setup_of_core};
use crate::timers::CoreTimer;

/// Pin D7 of the Arduino connector, or the green LED.
pub(super) type Busy = Output<'static>;

#[cfg(feature = "mlperf-uart")]
pub(super) use super::stm32_uart::Uart;

pub(super) static TIMER: CoreTimer = CoreTimer::new();

/// The debug probe's clock.
#[cfg(feature = "nucleo-f411re")]
const CLOCK: HseMode = HseMode::Bypass;
#[cfg(feature = "stm32f407g-disc1")]
const CLOCK: HseMode = HseMode::Oscillator;

/// 8 MHz / 4 * this / 2 is the core's clock.
#[cfg(feature = "nucleo-f411re")]
const PLL: PllMul = PllMul::MUL100;
/// 8 MHz / 4 * this / 2 is the core's clock.
#[cfg(feature = "stm32f407g-disc1")]
const PLL: PllMul = PllMul::MUL168;

/// The core's clock over those of the peripherals' buses.
#[cfg(feature = "nucleo-f411re")]
const BUSES: [APBPrescaler; 2] = [APBPrescaler::DIV2, APBPrescaler::DIV1];
/// The core's clock over those of the peripherals' buses.
#[cfg(feature = "stm32f407g-disc1")]
const BUSES: [APBPrescaler; 2] = [APBPrescaler::DIV4, APBPrescaler::DIV2];

pub(super) fn init() -> Parts<Busy> {
    let mut config = embassy_stm32::Config::default();
    let rcc = &mut config.rcc;
    rcc.hse = Some(Hse {
        freq: mhz(8),
        mode: CLOCK,
    });
    rcc.pll_src = PllSource::HSE;
    rcc.pll = Some(Pll {
        prediv: PllPreDiv::DIV4,
        mul: PLL,
        divp: Some(PllPDiv::DIV2),
        divq: None,
        divr: None,
    });
    rcc.sys = Sysclk::PLL1_P;
    [rcc.apb1_pre, rcc.apb2_pre] = BUSES;
    let peripherals = embassy_stm32::init(config);
    // Empty since the reset, and left off by the HAL.
    FLASH.acr().modify(|acr| {
        acr.set_icen(true);
        acr.set_dcen(true);
        acr.set_prften(true);
    });
    let acr = FLASH.acr().read();
    let hclk = clocks(&peripherals.RCC).hclk1.to_hertz();
    #[cfg(feature = "nucleo-f411re")]
    let busy = peripherals.PA8;
    #[cfg(feature = "stm32f407g-disc1")]
    let busy = peripherals.PD12;
    Parts {
        busy: Output::new(busy, Level::Low, Speed::VeryHigh),
        setup: Setup {
            flash_cache: acr.icen() && acr.dcen(),
            flash_wait_states: Some(acr.latency().to_bits()),
            crystal: true,
            ..setup_of_core(hclk.map_or(0, |clock| clock.0))
        },
        #[cfg(feature = "mlperf-uart")]
        uart: Uart::new(peripherals.USART2, peripherals.PA3, peripherals.PA2),
    }
}
