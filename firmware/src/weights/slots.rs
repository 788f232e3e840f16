//! Weights in two slots apart from the image: taken from the one with the latest update that is
//! whole, and for this program.
#![allow(unsafe_code)]

use core::ptr;

use tadpool_kernels::slots::{HEADER_BYTES, Header, Unusable, newest, select};

use super::{Seal, Weights};
use crate::boards::{SLOT_BYTES, SLOTS};
use crate::crc;

/// The CRC of the image without slots, and without this, which tells this program from others.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
#[used]
static TADPOOL_PROGRAM: Seal = Seal::new(*b"PRG:");

// SAFETY: the linker script puts it before the weights; the host writes the header.
#[unsafe(link_section = ".tadpool.slot_header")]
#[used]
static SLOT_HEADER: [u8; HEADER_BYTES] = [0; HEADER_BYTES];

// SAFETY: the linker script puts it where the other slot begins, so that flashing the image
// erases what is there.
#[unsafe(link_section = ".tadpool.other_slot")]
#[used]
static OTHER_SLOT: [u8; HEADER_BYTES] = [0xff; HEADER_BYTES];

/// Chooses the slot with the latest weights that can be used.
///
/// # Errors
/// The problem of each slot, if none can.
pub(super) fn check() -> Result<Weights, [&'static str; 2]> {
    let kept: *const Seal = &raw const TADPOOL_PROGRAM;
    // SAFETY: a static of this program. Volatile, since the host has written to it.
    let Seal { crc: program, .. } = unsafe { kept.read_volatile() };
    let found = SLOTS.map(|origin| {
        // Software has the last word, as in `Weights::judge`.
        match Header::check_by(slot(origin), program, crc::crc32_on) {
            Err(Unusable::Corrupted { .. }) if crc::NAME.is_some() => {
                Header::check_by(slot(origin), program, crc::in_software)
            }
            found => found,
        }
    });
    let places = (0_u32..).zip(&found);
    for (number, problem) in places.filter_map(|(number, it)| Some((number, it.as_ref().err()?))) {
        defmt::warn!(
            "slot {=u32} of the weights is not used: {=str}",
            number,
            problem.text()
        );
    }
    let chosen = newest(&found);
    let header = chosen.and_then(|chosen| found.get(chosen)?.as_ref().ok());
    let (Some(chosen), Some(header)) = (chosen, header) else {
        return Err(found.map(|slot| slot.err().map_or("", |problem| problem.text())));
    };
    let [first, second] = SLOTS;
    let (number, origin) = match chosen {
        0 => (0, first),
        _ => (1, second),
    };
    // SAFETY: the header says that the slot's constants were linked with this very program, as
    // those of the first slot, and moved by the distance between them. Nothing writes there
    // while the program runs.
    unsafe { select(origin - first) };
    defmt::info!(
        "weights of slot {=u32}: update {=u32}, model {=u32:08x}",
        number,
        header.update,
        header.model_hash
    );
    let behind = slot(origin).get(HEADER_BYTES..).unwrap_or_default();
    let weights = behind.get(..header.length as usize).unwrap_or_default();
    Ok(Weights {
        memory: [weights, &[]],
        expected: Some(header.crc),
    })
}

/// The bytes of the slot at `origin`.
fn slot(origin: usize) -> &'static [u8] {
    // SAFETY: memory of the board that the image takes for slots only, and that nothing writes
    // while the program runs.
    unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance(origin), SLOT_BYTES) }
}
