//! ST's 32F746GDISCOVERY: an STM32F746NG at 216 MHz, with 16 MB of serial flash
//! that can hold the weights.
//!
//! Code at 0x0800_0000 is fetched over AXI, through the core's caches. The flash's
//! accelerator serves its other address, 0x0020_0000, only, and stays off.

use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::pac::FLASH;
use embassy_stm32::qspi::enums::{
    AddressSize, ChipSelectHighTime, DummyCycles, MemorySize, QspiWidth, SampleShifting,
};
use embassy_stm32::qspi::{self, Qspi, TransferConfig};
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, Hse, HseMode, Pll, PllMul, PllPDiv, PllPreDiv, PllSource, Sysclk,
};
use embassy_stm32::time::mhz;
use embassy_stm32::{Config, Peri, peripherals as p};
use tadpool_protocol::Setup;

use super::{Parts, WEIGHTS_ORIGIN, enable_core_caches, setup_of_core};
use crate::timers::CoreTimer;

/// Pin D7 of the Arduino connector.
pub(super) type Busy = Output<'static>;

#[cfg(feature = "mlperf-uart")]
pub(super) use super::stm32_uart::Uart;

pub(super) static TIMER: CoreTimer = CoreTimer::new();

/// Where the serial flash appears.
const SERIAL_FLASH: u32 = 0x9000_0000;
/// Micron N25Q128A: fast read with address and data on four lines, after the
/// ten dummy cycles that it has by default.
const QUAD_READ: TransferConfig = TransferConfig {
    iwidth: QspiWidth::SING,
    awidth: QspiWidth::QUAD,
    dwidth: QspiWidth::QUAD,
    instruction: 0xeb,
    address: None,
    dummy: DummyCycles::_10,
};

pub(super) fn init() -> Parts<Busy> {
    let mut config = Config::default();
    let rcc = &mut config.rcc;
    rcc.hse = Some(Hse {
        freq: mhz(25),
        mode: HseMode::Oscillator,
    });
    rcc.pll_src = PllSource::HSE;
    // 25 MHz / 25 * 432 / 2
    rcc.pll = Some(Pll {
        prediv: PllPreDiv::DIV25,
        mul: PllMul::MUL432,
        divp: Some(PllPDiv::DIV2),
        divq: None,
        divr: None,
    });
    rcc.sys = Sysclk::PLL1_P;
    rcc.ahb_pre = AHBPrescaler::DIV1;
    rcc.apb1_pre = APBPrescaler::DIV4;
    rcc.apb2_pre = APBPrescaler::DIV2;
    let peripherals = embassy_stm32::init(config);
    if WEIGHTS_ORIGIN == SERIAL_FLASH {
        map_serial_flash(SerialFlash {
            controller: peripherals.QUADSPI,
            data: (
                peripherals.PD11,
                peripherals.PD12,
                peripherals.PE2,
                peripherals.PD13,
            ),
            clock: peripherals.PB2,
            select: peripherals.PB6,
        });
    }
    enable_core_caches();
    let clocks = embassy_stm32::rcc::clocks(&peripherals.RCC);
    let core_hz = clocks.hclk1.to_hertz().map_or(0, |clock| clock.0);
    Parts {
        busy: Output::new(peripherals.PI3, Level::Low, Speed::VeryHigh),
        setup: Setup {
            flash_wait_states: Some(FLASH.acr().read().latency().to_bits()),
            crystal: true,
            ..setup_of_core(core_hz)
        },
        #[cfg(feature = "mlperf-uart")]
        uart: Uart::new(peripherals.USART1, peripherals.PB7, peripherals.PA9),
    }
}

struct SerialFlash {
    controller: Peri<'static, p::QUADSPI>,
    data: (
        Peri<'static, p::PD11>,
        Peri<'static, p::PD12>,
        Peri<'static, p::PE2>,
        Peri<'static, p::PD13>,
    ),
    clock: Peri<'static, p::PB2>,
    select: Peri<'static, p::PB6>,
}

/// Makes the serial flash readable at [`SERIAL_FLASH`], for good.
fn map_serial_flash(flash: SerialFlash) {
    let mut config = qspi::Config::default();
    config.memory_size = MemorySize::_16MiB;
    config.address_size = AddressSize::_24bit;
    config.prescaler = 1; // 216 MHz / 2; the memory takes 108 MHz
    config.cs_high_time = ChipSelectHighTime::_6Cycle;
    config.sample_shifting = SampleShifting::HalfCycle;
    let (d0, d1, d2, d3) = flash.data;
    let mut driver = Qspi::new_blocking_bank1(
        flash.controller,
        d0,
        d1,
        d2,
        d3,
        flash.clock,
        flash.select,
        config,
    );
    driver.enable_memory_map(&QUAD_READ);
    // Dropping the driver would take the pins away.
    core::mem::forget(driver);
}
