//! The independent watchdog of ST's chips, by their oscillator of about 32 kHz: what the
//! board's file says is taken as the least time, whatever that oscillator's tolerance.

use embassy_stm32::pac::iwdg::vals::{Key, Pr};
#[cfg(feature = "stm32n6570-dk")]
use embassy_stm32::pac::rcc::vals::{RsrIwdgrstf, RsrRmvf};
use embassy_stm32::pac::{DBGMCU, RCC, rcc};

#[cfg(not(any(
    feature = "nucleo-h743zi",
    feature = "nucleo-h743zi2",
    feature = "nucleo-h7a3zi-q"
)))]
use embassy_stm32::pac::IWDG;
#[cfg(any(
    feature = "nucleo-h743zi",
    feature = "nucleo-h743zi2",
    feature = "nucleo-h7a3zi-q"
))]
use embassy_stm32::pac::IWDG1 as IWDG;

pub(super) const EXCEPTION: Option<i16> = None;

/// The fastest that the oscillator is, 47 kHz of an STM32F4, over the prescaler: ticks in a
/// thousand seconds.
const TICKS_PER_1000_S: u32 = 47_000_000_u32.div_ceil(256);
/// The largest value of the counter, of 12 bits.
const MOST_TICKS: u32 = 0xfff;

/// Prescaler or counter are being updated.
const UPDATING: u32 = 0b11;

pub(super) fn start(limit_ms: u32) {
    freeze();
    let ticks = (limit_ms / 1000 * TICKS_PER_1000_S + limit_ms % 1000 * TICKS_PER_1000_S / 1000)
        .div_ceil(1000);
    IWDG.kr().write(|key| key.set_key(Key::START));
    IWDG.kr().write(|key| key.set_key(Key::ENABLE));
    IWDG.pr()
        .write(|prescaler| prescaler.set_pr(Pr::DIVIDE_BY256));
    IWDG.rlr()
        .write(|reload| reload.set_rl(ticks.min(MOST_TICKS) as u16));
    // The values take some periods of its oscillator to arrive. Should they not, it ends this.
    while IWDG.sr().read().0 & UPDATING != 0 {}
    feed();
}

pub(super) fn feed() {
    IWDG.kr().write(|key| key.set_key(Key::RESET));
}

/// Halts it while a debug probe halts the core.
fn freeze() {
    #[cfg(any(
        feature = "nucleo-f411re",
        feature = "stm32f407g-disc1",
        feature = "stm32f746g-disco"
    ))]
    DBGMCU.apb1fzr().modify(|freeze| freeze.set_iwdg(true));
    #[cfg(feature = "nucleo-g0b1re")]
    {
        RCC.apbenr1().modify(|clocks| clocks.set_dbgen(true));
        DBGMCU.apb1fzr().modify(|freeze| freeze.set_iwdg(true));
    }
    #[cfg(feature = "nucleo-l4r5zi")]
    DBGMCU.apb1fzr1().modify(|freeze| freeze.set_iwdg(true));
    #[cfg(feature = "nucleo-u575zi-q")]
    DBGMCU
        .apb1lfzr()
        .modify(|freeze| freeze.set_dbg_iwdg_stop(true));
    #[cfg(any(
        feature = "nucleo-h743zi",
        feature = "nucleo-h743zi2",
        feature = "nucleo-h7a3zi-q"
    ))]
    DBGMCU.apb4fzr1().modify(|freeze| freeze.set_iwdg1(true));
    #[cfg(feature = "stm32n6570-dk")]
    DBGMCU
        .apb4fz1()
        .modify(|freeze| freeze.set_dbg_iwdg_stop(true));
}

/// Whether the last reset was its; asked once.
pub(super) fn has_reset() -> bool {
    #[cfg(any(
        feature = "nucleo-h743zi",
        feature = "nucleo-h743zi2",
        feature = "nucleo-h7a3zi-q",
        feature = "stm32n6570-dk"
    ))]
    let causes = RCC.rsr();
    #[cfg(not(any(
        feature = "nucleo-h743zi",
        feature = "nucleo-h743zi2",
        feature = "nucleo-h7a3zi-q",
        feature = "stm32n6570-dk"
    )))]
    let causes = RCC.csr();
    let was_its = is_its(causes.read());
    #[cfg(not(feature = "stm32n6570-dk"))]
    causes.modify(|causes| causes.set_rmvf(true));
    #[cfg(feature = "stm32n6570-dk")]
    causes.modify(|causes| causes.set_rmvf(RsrRmvf::CLEAR));
    was_its
}

#[cfg(any(
    feature = "nucleo-f411re",
    feature = "stm32f407g-disc1",
    feature = "stm32f746g-disco"
))]
fn is_its(causes: rcc::regs::Csr) -> bool {
    causes.wdgrstf()
}

#[cfg(any(
    feature = "nucleo-g0b1re",
    feature = "nucleo-l4r5zi",
    feature = "nucleo-u575zi-q"
))]
fn is_its(causes: rcc::regs::Csr) -> bool {
    causes.iwdgrstf()
}

#[cfg(any(
    feature = "nucleo-h743zi",
    feature = "nucleo-h743zi2",
    feature = "nucleo-h7a3zi-q"
))]
fn is_its(causes: rcc::regs::Rsr) -> bool {
    causes.iwdg1rstf()
}

#[cfg(feature = "stm32n6570-dk")]
fn is_its(causes: rcc::regs::Rsr) -> bool {
    causes.iwdgrstf() == RsrIwdgrstf::OCCURRED
}
