//! The values that the firmware checks at its start, in the image itself: the CRC of its weights or,
//! where they lie in slots, the first slot's header and the CRC of the program.

use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol};
use tadpool_kernels::checksum::crc32_on;

use super::elf::{COPIED_WEIGHTS, ElfError, WEIGHTS};
use super::slots::{SLOT_HEADER, Update};

/// Where the firmware finds the CRC of the weights: the mark, one, and the CRC.
const WEIGHTS_CRC: Seal = Seal {
    symbol: "TADPOOL_WEIGHTS",
    mark: b"CRC:",
};
/// The same for the CRC of the program, in an image with slots.
pub(crate) const PROGRAM: Seal = Seal {
    symbol: "TADPOOL_PROGRAM",
    mark: b"PRG:",
};
pub(crate) const SEAL_BYTES: usize = 12;

/// A static of the firmware that the host writes a CRC into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seal {
    symbol: &'static str,
    mark: &'static [u8; 4],
}

/// Writes into the image in `bytes`, from the file at `path`, what it compares at its start.
///
/// # Errors
/// An [`ElfError`] if the image has no weights, or no place for their CRC.
pub fn seal(path: &Path, bytes: &mut [u8]) -> Result<(), ElfError> {
    let file = object::File::parse(&*bytes).map_err(|error| ElfError::new(path, error))?;
    let missing = |what: &str| ElfError::new(path, format!("it has no {what}"));
    if let Some(sealed) = place(&file, PROGRAM) {
        let header = file
            .section_by_name(SLOT_HEADER)
            .and_then(|section| section.file_range())
            .ok_or_else(|| missing("header of a slot"))?;
        let update = Update::linked(path, bytes)?;
        let (start, header) = (header.0 as usize, update.first_header());
        let room = bytes
            .get_mut(start..)
            .and_then(|it| it.get_mut(..header.len()));
        room.ok_or_else(|| missing("header of a slot"))?
            .copy_from_slice(&header);
        return write(path, bytes, sealed, PROGRAM, update.program);
    }
    let mut crc = 0;
    for name in [WEIGHTS, COPIED_WEIGHTS] {
        let weights = file
            .section_by_name(name)
            .ok_or_else(|| missing("weights"))?;
        let weights = weights.data().map_err(|error| ElfError::new(path, error))?;
        crc = crc32_on(crc, weights);
    }
    let sealed = place(&file, WEIGHTS_CRC).ok_or_else(|| missing("place for their CRC"))?;
    write(path, bytes, sealed, WEIGHTS_CRC, crc)
}

/// Writes a CRC where the firmware reads it.
fn write(
    path: &Path,
    bytes: &mut [u8],
    place: usize,
    seal: Seal,
    crc: u32,
) -> Result<(), ElfError> {
    let room = place
        .checked_add(SEAL_BYTES)
        .and_then(|end| bytes.get_mut(place..end));
    match room.and_then(|room| room.split_at_mut_checked(seal.mark.len())) {
        Some((mark, rest)) if mark == seal.mark => {
            let words = [1_u32.to_le_bytes(), crc.to_le_bytes()];
            rest.copy_from_slice(&words.concat());
            Ok(())
        }
        _ => Err(ElfError::new(
            path,
            "the place for its CRC is not where it says",
        )),
    }
}

/// Where in the file a static is that has a CRC.
pub(crate) fn place(file: &object::File<'_>, seal: Seal) -> Option<usize> {
    let symbol = file
        .symbols()
        .find(|symbol| symbol.name() == Ok(seal.symbol))?;
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    let (start, _) = section.file_range()?;
    let within = symbol.address().checked_sub(section.address())?;
    usize::try_from(start.checked_add(within)?).ok()
}
