//! Whether the weights in flash are those that were written: their CRC, which the host puts
//! into the image when it is linked.
#![allow(unsafe_code)]

use core::ptr;

use tadpool_kernels::checksum::crc32;

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
    let start = (&raw const _tadpool_weights_start).expose_provenance();
    let end = (&raw const _tadpool_weights_end).expose_provenance();
    let first = ptr::with_exposed_provenance::<u8>(start);
    // SAFETY: the linker puts the symbols at both ends of the section with the weights,
    // which nothing writes.
    let weights = unsafe { core::slice::from_raw_parts(first, end.saturating_sub(start)) };
    let found = crc32(weights);
    match found == crc {
        true => Ok(()),
        false => Err(Corrupted {
            found,
            expected: crc,
        }),
    }
}
