//! RTT's control block, where it lies in another memory than the other variables.
#![allow(unsafe_code)]

use core::ptr;

const WORD: usize = size_of::<u32>();

unsafe extern "C" {
    static mut _tadpool_rings_start: u32;
    static mut _tadpool_rings_end: u32;
    static _tadpool_rings_load: u32;
}

/// Gives the control block its value, as start-up does for variables in RAM; to be called
/// before the link or the log is used.
pub(crate) fn load() {
    let start = (&raw const _tadpool_rings_start).expose_provenance();
    let end = (&raw const _tadpool_rings_end).expose_provenance();
    let load = (&raw const _tadpool_rings_load).expose_provenance();
    for offset in (0..end - start).step_by(WORD) {
        // SAFETY: the linker script keeps a copy of the words from `start` to `end` at `load`,
        // all aligned, and nobody has used them yet.
        unsafe {
            let word = ptr::with_exposed_provenance::<u32>(load + offset).read_volatile();
            ptr::with_exposed_provenance_mut::<u32>(start + offset).write_volatile(word);
        }
    }
}
