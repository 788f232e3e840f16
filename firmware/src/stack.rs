//! How much of the stack is used: it is painted, and the paint that is left is
//! counted.
//!
//! The linker places the stack at the lower end of RAM, so an overflow runs
//! into nothing and faults; the paint is for measuring, not for safety.
#![allow(unsafe_code)]

use core::ptr;

use cortex_m::register::msp;

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

/// Where the stack begins: its highest address, exclusive.
pub(crate) fn top() -> usize {
    (&raw const _stack_start).expose_provenance()
}

/// Where the stack ends: its lowest address.
pub(crate) fn bottom() -> usize {
    (&raw const _stack_end).expose_provenance()
}
