//! ST's NUCLEO-L4R5ZI at 120 MHz.
#![allow(unsafe_code)]

use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::pac::rcc::vals::Hpre;
use embassy_stm32::pac::{FLASH, RCC};
use embassy_stm32::rcc::mux::Lpuart1sel;
use embassy_stm32::rcc::{PllMul, PllPreDiv, PllRDiv, PllSource, Sysclk};
use tadpool_protocol::Setup;

use super::{Parts, setup_of_core};
use crate::mmio::Register;
use crate::timers::CoreTimer;

/// Pin D7 of the Arduino connector.
pub(super) type Busy = Output<'static>;

#[cfg(feature = "mlperf-uart")]
pub(super) use super::stm32_uart::Uart;

pub(super) static TIMER: CoreTimer = CoreTimer::new();

// SAFETY: PWR_CR5 (RM0432, 5.4.5), which the HAL's register map does not have.
const POWER_CONTROL_5: Register = unsafe { Register::at(0x4000_7080) };
/// Its bit R1MODE.
const NO_BOOST: u32 = 1 << 8;
// SAFETY: FLASH_OPTR (RM0432, 3.7.7): the options that were loaded at reset.
const FLASH_OPTIONS: Register = unsafe { Register::at(0x4002_2020) };
/// Its bit DBANK.
const DUAL_BANK: u32 = 1 << 22;

/// 16 MHz / 2 * 30 / 2
const CORE_HZ: u32 = 120_000_000;
/// Between 100 and 120 MHz in boost mode (reference manual RM0432, table 12).
const WAIT_STATES: u8 = 5;
/// The core's clock must be halved for a microsecond while it rises above 80 MHz (RM0432,
/// 5.1.8).
const HALVED_CYCLES: u32 = 120;

pub(super) fn init() -> Parts<Busy> {
    let mut config = embassy_stm32::Config::default();
    config.rcc.hsi = true;
    config.rcc.sys = Sysclk::HSI;
    // Of the serial port: the oscillator, whose rate does not change after the HAL has looked.
    config.rcc.mux.lpuart1sel = Lpuart1sel::HSI;
    // Resets the power controller, whose boost mode has to be on above 80 MHz. So the HAL
    // leaves the core at 16 MHz, and what lies beyond it comes afterwards.
    let peripherals = embassy_stm32::init(config);
    start_pll();
    let acr = FLASH.acr().read();
    Parts {
        busy: Output::new(peripherals.PF13, Level::Low, Speed::VeryHigh),
        setup: Setup {
            flash_cache: acr.icen() && acr.dcen(),
            flash_wait_states: Some(acr.latency()),
            boost: Some(POWER_CONTROL_5.read() & NO_BOOST == 0),
            dual_bank: Some(FLASH_OPTIONS.read() & DUAL_BANK != 0),
            ..setup_of_core(CORE_HZ)
        },
        #[cfg(feature = "mlperf-uart")]
        uart: Uart::new(peripherals.LPUART1, peripherals.PG8, peripherals.PG7),
    }
}

/// Clocks the core with [`CORE_HZ`]: voltage first, then wait states, then the clock.
fn start_pll() {
    // The HAL leaves the power controller's registers clocked.
    POWER_CONTROL_5.write(POWER_CONTROL_5.read() & !NO_BOOST);
    RCC.pllcfgr().write(|pll| {
        pll.set_pllsrc(PllSource::HSI);
        pll.set_pllm(PllPreDiv::DIV2);
        pll.set_plln(PllMul::MUL30);
        pll.set_pllr(PllRDiv::DIV2);
        pll.set_pllren(true);
    });
    RCC.cr().modify(|cr| cr.set_pllon(true));
    while !RCC.cr().read().pllrdy() {}
    FLASH.acr().modify(|acr| {
        acr.set_latency(WAIT_STATES);
        acr.set_icen(true);
        acr.set_dcen(true);
        acr.set_prften(true);
    });
    while FLASH.acr().read().latency() != WAIT_STATES {}
    RCC.cfgr().modify(|cfgr| cfgr.set_hpre(Hpre::DIV2));
    RCC.cfgr().modify(|cfgr| cfgr.set_sw(Sysclk::PLL1_R));
    while RCC.cfgr().read().sws() != Sysclk::PLL1_R {}
    cortex_m::asm::delay(HALVED_CYCLES);
    RCC.cfgr().modify(|cfgr| cfgr.set_hpre(Hpre::DIV1));
}
