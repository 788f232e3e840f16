//! ST's NUCLEO-H743ZI at 400 MHz, whose chip is of revision Y, NUCLEO-H743ZI2 at 480 MHz,
//! which revision V reaches, and NUCLEO-H7A3ZI-Q at 280 MHz.

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

#[cfg(feature = "mlperf-uart")]
pub(super) use super::stm32_uart::Uart;

pub(super) static TIMER: CoreTimer = CoreTimer::new();

/// 8 MHz / 4 * this / 2 is the core's clock.
#[cfg(feature = "nucleo-h743zi")]
const PLL: (PllMul, VoltageScale) = (PllMul::MUL400, VoltageScale::Scale1);
/// 8 MHz / 4 * this / 2 is the core's clock.
#[cfg(feature = "nucleo-h743zi2")]
const PLL: (PllMul, VoltageScale) = (PllMul::MUL480, VoltageScale::Scale0);
/// 8 MHz / 4 * this / 2 is the core's clock.
#[cfg(feature = "nucleo-h7a3zi-q")]
const PLL: (PllMul, VoltageScale) = (PllMul::MUL280, VoltageScale::Scale0);

/// The core's clock over that of the AXI and peripherals' buses.
#[cfg(not(feature = "nucleo-h7a3zi-q"))]
const BUS: AHBPrescaler = AHBPrescaler::DIV2;
/// The core's clock over that of the AXI and peripherals' buses.
#[cfg(feature = "nucleo-h7a3zi-q")]
const BUS: AHBPrescaler = AHBPrescaler::DIV1;

pub(super) fn init() -> Parts<Busy> {
    let (multiplier, voltage_scale) = PLL;
    let mut config = embassy_stm32::Config::default();
    let rcc = &mut config.rcc;
    // As the board is wired. Another choice would leave the core without its supply until
    // the board is cut off from power, for the chip takes one choice only.
    #[cfg(feature = "nucleo-h7a3zi-q")]
    {
        rcc.supply_config = embassy_stm32::rcc::SupplyConfig::DirectSMPS;
    }
    // The debug probe's clock.
    rcc.hse = Some(Hse {
        freq: mhz(8),
        mode: HseMode::Bypass,
    });
    rcc.pll1 = Some(Pll {
        source: PllSource::HSE,
        prediv: PllPreDiv::DIV4,
        mul: multiplier,
        #[cfg(not(feature = "nucleo-h7a3zi-q"))]
        fracn: None,
        divp: Some(PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    rcc.sys = Sysclk::PLL1_P;
    rcc.voltage_scale = voltage_scale;
    rcc.ahb_pre = BUS;
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
    #[cfg(not(feature = "nucleo-h743zi"))]
    let busy = peripherals.PG12;
    Parts {
        busy: Output::new(busy, Level::Low, Speed::VeryHigh),
        setup: Setup {
            crystal: true,
            flash_wait_states: Some(FLASH.acr().read().latency()),
            ..setup_of_core(core_hz)
        },
        #[cfg(feature = "mlperf-uart")]
        uart: Uart::new(peripherals.USART3, peripherals.PD9, peripherals.PD8),
    }
}
