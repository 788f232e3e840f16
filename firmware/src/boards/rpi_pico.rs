//! Raspberry Pi's Pico (125 MHz) and Pico 2 (150 MHz): code and weights in serial
//! flash, read through a cache of 16 KB.
//!
//! The chips' registers are used directly: their HALs take four times as long to
//! compile as all the rest of the firmware, and the clocks are one page.
#![allow(unsafe_code)]

use rp_pac::clocks::vals::{ClkRefCtrlSrc, ClkSysCtrlAuxsrc, ClkSysCtrlSrc};
use rp_pac::xosc::vals::{CtrlFreqRange, Enable};
use rp_pac::{CLOCKS, IO_BANK0, PADS_BANK0, PLL_SYS, RESETS, XIP_CTRL, XOSC};
use tadpool_protocol::Setup;

use super::{Parts, setup_of_core};
use crate::pins::RegisterPin;
use crate::timers::CoreTimer;

/// Pin GP22, whose output register the board's file names.
pub(super) type Busy = RegisterPin;

pub(super) static TIMER: CoreTimer = CoreTimer::new();

const BUSY_GPIO: usize = 22;
/// The pins' function that hands them to the core.
const OF_THE_CORE: u8 = 5;

const CRYSTAL_HZ: u32 = 12_000_000;
/// Both chips' oscillator at 1.5 GHz.
const PLL_MULTIPLIER: u16 = 125;
/// The dividers of the oscillator's clock.
const PLL_DIVIDERS: (u8, u8) = if cfg!(feature = "rpi-pico") {
    (6, 2)
} else {
    (5, 2)
};
/// The crystal's start takes up to 64 ms: in units of 256 of its periods.
const CRYSTAL_START: u16 = 3_008;

/// The code that the boot ROM runs first: sets up the serial flash.
#[cfg(feature = "rpi-pico")]
// SAFETY: the linker script reserves the first 256 bytes for it.
#[unsafe(link_section = ".boot2")]
#[used]
static SECOND_STAGE: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;

/// Tells the boot ROM that this is a program for the Arm core, secure (data
/// sheet, 5.9.5).
#[cfg(feature = "rpi-pico2")]
// SAFETY: the linker script places it behind the vector table.
#[unsafe(link_section = ".start_block")]
#[used]
static IMAGE_DEFINITION: [u32; 5] = [0xffff_ded3, 0x1021_0142, 0x0000_01ff, 0, 0xab12_3579];

pub(super) fn init() -> Parts<Busy> {
    let core_hz = start_clocks();
    RESETS.reset().modify(|reset| {
        reset.set_io_bank0(false);
        reset.set_pads_bank0(false);
    });
    while {
        let done = RESETS.reset_done().read();
        !done.io_bank0() || !done.pads_bank0()
    } {}
    rp_pac::SIO
        .gpio_oe(0)
        .value_set()
        .write_value(1 << BUSY_GPIO);
    let control = IO_BANK0.gpio(BUSY_GPIO).ctrl();
    control.modify(|control| control.set_funcsel(OF_THE_CORE));
    PADS_BANK0.gpio(BUSY_GPIO).modify(|pad| {
        pad.set_od(false);
        #[cfg(feature = "rpi-pico2")]
        pad.set_iso(false);
    });
    let cache = XIP_CTRL.ctrl().read();
    #[cfg(feature = "rpi-pico")]
    let flash_cache = cache.en();
    #[cfg(feature = "rpi-pico2")]
    let flash_cache = cache.en_secure();
    Parts {
        busy: RegisterPin::of_board(),
        setup: Setup {
            flash_cache,
            crystal: true,
            ..setup_of_core(core_hz)
        },
    }
}

/// Clocks the core by the PLL, and returns how fast.
fn start_clocks() -> u32 {
    XOSC.ctrl()
        .write(|control| control.set_freq_range(CtrlFreqRange::_1_15MHZ));
    XOSC.startup()
        .write(|startup| startup.set_delay(CRYSTAL_START));
    XOSC.ctrl()
        .modify(|control| control.set_enable(Enable::ENABLE));
    while !XOSC.status().read().stable() {}
    CLOCKS
        .clk_ref_ctrl()
        .modify(|control| control.set_src(ClkRefCtrlSrc::XOSC_CLKSRC));
    while !is_selected(
        CLOCKS.clk_ref_selected().as_ptr().cast(),
        ClkRefCtrlSrc::XOSC_CLKSRC as u8,
    ) {}
    // Whatever the boot ROM left the core on, it must not be the PLL.
    select_system_clock(ClkSysCtrlSrc::CLK_REF);

    RESETS.reset().modify(|reset| reset.set_pll_sys(true));
    RESETS.reset().modify(|reset| reset.set_pll_sys(false));
    while !RESETS.reset_done().read().pll_sys() {}
    PLL_SYS.cs().modify(|cs| cs.set_refdiv(1));
    PLL_SYS
        .fbdiv_int()
        .write(|multiplier| multiplier.set_fbdiv_int(PLL_MULTIPLIER));
    PLL_SYS.pwr().modify(|off| {
        off.set_pd(false);
        off.set_vcopd(false);
    });
    while !PLL_SYS.cs().read().lock() {}
    let (first, second) = PLL_DIVIDERS;
    PLL_SYS.prim().write(|dividers| {
        dividers.set_postdiv1(first);
        dividers.set_postdiv2(second);
    });
    PLL_SYS.pwr().modify(|off| off.set_postdivpd(false));

    CLOCKS
        .clk_sys_ctrl()
        .modify(|control| control.set_auxsrc(ClkSysCtrlAuxsrc::CLKSRC_PLL_SYS));
    select_system_clock(ClkSysCtrlSrc::CLKSRC_CLK_SYS_AUX);
    CRYSTAL_HZ * u32::from(PLL_MULTIPLIER) / u32::from(first * second)
}

fn select_system_clock(source: ClkSysCtrlSrc) {
    CLOCKS
        .clk_sys_ctrl()
        .modify(|control| control.set_src(source));
    while !is_selected(CLOCKS.clk_sys_selected().as_ptr().cast(), source as u8) {}
}

/// Whether a clock runs on its source number `source`: a bit for each, in a
/// register that the two chips' descriptions type differently.
fn is_selected(selected: *const u32, source: u8) -> bool {
    // SAFETY: the callers pass registers, which can be read at any time.
    unsafe { selected.read_volatile() & (1 << source) != 0 }
}
