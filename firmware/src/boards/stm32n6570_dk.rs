//! ST's STM32N6570-DK at 600 MHz, the most without raising the core's voltage.
//!
//! The chip has no flash memory of its own: a debug probe writes the image into
//! RAM and starts it there.

use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::pac::RCC;
use embassy_stm32::pac::rcc::vals::{Cpusw, Cpusws, Syssw, Syssws};
use embassy_stm32::rcc::{
    CpuClk, IcConfig, Icint, Icsel, Pll, Plldivm, Pllpdiv, Pllsel, SupplyConfig, SysClk,
};

use super::{Parts, enable_core_caches, setup_of_core};
use crate::timers::CoreTimer;

/// The red LED.
pub(super) type Busy = Output<'static>;

pub(super) static TIMER: CoreTimer = CoreTimer::new();

/// 64 MHz / 4 * 75
const PLL_HZ: u32 = 1_200_000_000;
const CORE_DIVIDER: u32 = 2;
const BUS_DIVIDER: u32 = 3;

pub(super) fn init() -> Parts<Busy> {
    leave_pll();
    let of_pll = |divider: u32| {
        Some(IcConfig {
            source: Icsel::PLL1,
            divider: Icint::from_bits(divider as u8 - 1),
        })
    };
    let mut config = embassy_stm32::Config::default();
    let rcc = &mut config.rcc;
    rcc.supply_config = SupplyConfig::External;
    rcc.pll1 = Some(Pll::Oscillator {
        source: Pllsel::HSI,
        divm: Plldivm::from_bits(4),
        fractional: 0,
        divn: 75,
        divp1: Pllpdiv::DIV1,
        divp2: Pllpdiv::DIV1,
    });
    rcc.cpu = CpuClk::Ic1;
    rcc.sys = SysClk::Ic2;
    rcc.ic1 = of_pll(CORE_DIVIDER);
    // The buses, the neural processor that is not used, and its RAM.
    rcc.ic2 = of_pll(BUS_DIVIDER);
    rcc.ic6 = of_pll(BUS_DIVIDER);
    rcc.ic11 = of_pll(BUS_DIVIDER);
    let peripherals = embassy_stm32::init(config);
    enable_core_caches();
    Parts {
        busy: Output::new(peripherals.PG10, Level::Low, Speed::VeryHigh),
        // The HAL reports the buses' clock only.
        setup: setup_of_core(PLL_HZ / CORE_DIVIDER),
    }
}

/// Clocks core and buses by the chip's own oscillator, and forgets the PLL's set-up: the boot
/// ROM may have left them on the PLL, which the HAL refuses to change then; and a PLL that is
/// set up already, as by this program before it was started anew, the HAL takes for none.
fn leave_pll() {
    RCC.csr().write(|set| set.set_hsions(true));
    while !RCC.sr().read().hsirdy() {}
    RCC.cfgr().modify(|cfgr| {
        cfgr.set_cpusw(Cpusw::HSI);
        cfgr.set_syssw(Syssw::HSI);
    });
    while RCC.cfgr().read().cpusws() != Cpusws::HSI {}
    while RCC.cfgr().read().syssws() != Syssws::HSI {}
    RCC.ccr().write(|clear| clear.set_pllonc(0, true));
    while RCC.sr().read().pllrdy(0) {}
    RCC.pllcfgr1(0).write(|_| {});
}
