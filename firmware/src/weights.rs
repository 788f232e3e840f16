//! Whether the weights in flash, and those that were copied from there to RAM, are those that
//! were written: their CRC, which the host puts into the image when it is linked.
#![allow(unsafe_code)]

use core::ptr;

use tadpool_kernels::checksum::crc32_on;

/// What is to be there; the host knows it by this name, and its mark.
#[repr(C)]
struct Expected {
    mark: [u8; 4],
    /// One, once the host has written the CRC.
    is_set: u32,
    crc: u32,
}

// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
#[used]
static TADPOOL_WEIGHTS: Expected = Expected {
    mark: *b"CRC:",
    is_set: 0,
    crc: 0,
};

unsafe extern "C" {
    static _tadpool_weights_start: u8;
    static _tadpool_weights_end: u8;
    static _tadpool_copied_weights_start: u8;
    static _tadpool_copied_weights_end: u8;
}

/// Other weights than were written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Corrupted {
    pub(crate) found: u32,
    pub(crate) expected: u32,
}

/// Compares the CRC of weights and tables with the one in the image. An image that cargo
/// alone has built has none.
pub(crate) fn check() -> Result<(), Corrupted> {
    let kept: *const Expected = &raw const TADPOOL_WEIGHTS;
    // SAFETY: a static of this program. Volatile, since the host has written to it.
    let Expected { is_set, crc, .. } = unsafe { kept.read_volatile() };
    if is_set == 0 {
        defmt::warn!("the image has no CRC of its weights");
        return Ok(());
    }
    let kept = between(
        &raw const _tadpool_weights_start,
        &raw const _tadpool_weights_end,
    );
    let copied = between(
        &raw const _tadpool_copied_weights_start,
        &raw const _tadpool_copied_weights_end,
    );
    let found = crc32_on(crc32_on(0, kept), copied);
    match found == crc {
        true => Ok(()),
        false => Err(Corrupted {
            found,
            expected: crc,
        }),
    }
}

/// What the linker has put between two of its symbols for weights.
fn between(start: *const u8, end: *const u8) -> &'static [u8] {
    let (start, end) = (start.expose_provenance(), end.expose_provenance());
    let first = ptr::with_exposed_provenance::<u8>(start);
    // SAFETY: the linker puts the symbols at both ends of a section with weights, which
    // nothing writes once the program has started.
    unsafe { core::slice::from_raw_parts(first, end.saturating_sub(start)) }
}
