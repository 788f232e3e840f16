//! How much of the stack is used: it is painted, and the paint that is left is
//! counted.
//!
//! The linker places the stack at the lower end of RAM, so an overflow runs into nothing, or
//! into what [`guard`] closes, and faults; the paint is for measuring, not for safety.
#![allow(unsafe_code)]

use core::ptr;

use cortex_m::register::msp;

use crate::boards::GUARD_BYTES;
use crate::mmio::Register;
use crate::run::StackGauge;

const PAINT: u32 = 0xcccc_cccc;
const WORD: usize = size_of::<u32>();
/// Bytes below the stack pointer that `paint` may be using itself, or an
/// interrupt. They count as used.
const OWN_BYTES: usize = 256;

unsafe extern "C" {
    static mut _stack_start: u32;
    static mut _stack_end: u32;
}

/// The main stack.
#[derive(Debug)]
pub struct MainStack;

impl StackGauge for MainStack {
    fn size_bytes(&self) -> usize {
        top() - bottom()
    }

    fn paint(&mut self) {
        let end = (msp::read() as usize).saturating_sub(OWN_BYTES) / WORD * WORD;
        for address in (bottom()..end).step_by(WORD) {
            // SAFETY: the words are aligned, lie within the stack by the
            // linker's symbols, and below every frame that is alive.
            unsafe { ptr::with_exposed_provenance_mut::<u32>(address).write_volatile(PAINT) }
        }
    }

    fn used_bytes(&self) -> usize {
        let is_paint = |address: &usize| {
            // SAFETY: the words are aligned and lie within the stack by the
            // linker's symbols.
            unsafe { ptr::with_exposed_provenance::<u32>(*address).read_volatile() == PAINT }
        };
        let unused = (bottom()..top()).step_by(WORD).take_while(is_paint).count();
        self.size_bytes() - unused * WORD
    }
}

/// Closes the memory below the stack, so that an overflow faults whatever lies there: by a
/// region without access of the core's memory protection unit (Armv6-M and Armv7-M). Cores
/// that have a limit of the stack's pointer, and those without the unit, are left alone.
pub(crate) fn guard() {
    const NO_EXECUTE: u32 = 1 << 28;
    const ENABLE: u32 = 1 << 0;
    const DEFAULT_MAP: u32 = 1 << 2;
    // SAFETY: registers of the system control space of every Cortex-M; cores without the unit
    // read them as zero. The region holds nothing that the program uses, as the build script
    // has made sure of, and everything else is as it was, by the default map.
    unsafe {
        let [kind, control, number, base, attributes] = [
            0xe000_ed90,
            0xe000_ed94,
            0xe000_ed98,
            0xe000_ed9c,
            0xe000_eda0,
        ]
        .map(|address| Register::at(address));
        if GUARD_BYTES == 0 || kind.read() == 0 {
            return;
        }
        number.write(0);
        base.write(bottom() as u32 - GUARD_BYTES);
        // No access is all zeros; the size is two to the power of this field, and one more.
        let size = GUARD_BYTES.trailing_zeros() - 1;
        attributes.write(NO_EXECUTE | size << 1 | ENABLE);
        control.write(DEFAULT_MAP | ENABLE);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// Where the stack begins: its highest address, exclusive.
pub(crate) fn top() -> usize {
    (&raw const _stack_start).expose_provenance()
}

/// Where the stack ends: its lowest address.
pub(crate) fn bottom() -> usize {
    (&raw const _stack_end).expose_provenance()
}
