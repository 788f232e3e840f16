//! Weights that are a part of the image, whose CRC the host puts into it when it is linked:
//! those in flash, and those that were copied from there to RAM.
#![allow(unsafe_code)]

use core::ptr;

use super::{Seal, Weights};
use crate::run::CorruptedWeights;

// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
#[used]
static TADPOOL_WEIGHTS: Seal = Seal::new(*b"CRC:");

unsafe extern "C" {
    static _tadpool_weights_start: u8;
    static _tadpool_weights_end: u8;
    static _tadpool_copied_weights_start: u8;
    static _tadpool_copied_weights_end: u8;
}

/// Compares the CRC of weights and tables with the one in the image. An image that cargo
/// alone has built has none.
pub(super) fn check() -> Result<Weights, CorruptedWeights> {
    let kept: *const Seal = &raw const TADPOOL_WEIGHTS;
    // SAFETY: a static of this program. Volatile, since the host has written to it.
    let Seal { is_set, crc, .. } = unsafe { kept.read_volatile() };
    if is_set == 0 {
        defmt::warn!("the image has no CRC of its weights");
    }
    let kept = between(
        &raw const _tadpool_weights_start,
        &raw const _tadpool_weights_end,
    );
    let copied = between(
        &raw const _tadpool_copied_weights_start,
        &raw const _tadpool_copied_weights_end,
    );
    let weights = Weights {
        memory: [kept, copied],
        expected: (is_set != 0).then_some(crc),
    };
    weights.compared()
}

/// The memory between two symbols that the linker puts around weights.
fn between(start: *const u8, end: *const u8) -> &'static [u8] {
    let (start, end) = (start.expose_provenance(), end.expose_provenance());
    let first = ptr::with_exposed_provenance::<u8>(start);
    // SAFETY: the linker puts the symbols at both ends of a section with weights, which
    // nothing writes once the program has started.
    unsafe { core::slice::from_raw_parts(first, end.saturating_sub(start)) }
}
