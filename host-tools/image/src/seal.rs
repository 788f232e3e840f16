//! The CRC of an image's weights, in the image itself, where the firmware compares it.

use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol};
use tadpool_kernels::checksum::crc32_on;

use super::elf::{COPIED_WEIGHTS, ElfError, WEIGHTS};

/// Where the firmware finds the CRC: the mark, one, and the CRC.
const SYMBOL: &str = "TADPOOL_WEIGHTS";
const MARK: &[u8] = b"CRC:";
const SIZE: usize = 12;

/// Writes the CRC of the weights into the image in `bytes`, from the file at `path`.
///
/// # Errors
/// An [`ElfError`] if the image has no weights, or no place for it.
pub fn seal(path: &Path, bytes: &mut [u8]) -> Result<(), ElfError> {
    let (place, crc) = {
        let file = object::File::parse(&*bytes).map_err(|error| ElfError::new(path, error))?;
        let missing = |what: &str| ElfError::new(path, format!("it has no {what}"));
        let mut crc = 0;
        for name in [WEIGHTS, COPIED_WEIGHTS] {
            let weights = file
                .section_by_name(name)
                .ok_or_else(|| missing("weights"))?;
            let weights = weights.data().map_err(|error| ElfError::new(path, error))?;
            crc = crc32_on(crc, weights);
        }
        (
            place(&file).ok_or_else(|| missing("place for their CRC"))?,
            crc,
        )
    };
    let room = place
        .checked_add(SIZE)
        .and_then(|end| bytes.get_mut(place..end));
    match room.and_then(|room| room.split_at_mut_checked(MARK.len())) {
        Some((mark, rest)) if mark == MARK => {
            let words = [1_u32.to_le_bytes(), crc.to_le_bytes()];
            rest.copy_from_slice(&words.concat());
            Ok(())
        }
        _ => Err(ElfError::new(
            path,
            "the place for the CRC of its weights is not where it says",
        )),
    }
}

/// Where in the file the CRC's symbol is.
fn place(file: &object::File<'_>) -> Option<usize> {
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(SYMBOL))?;
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    let (start, _) = section.file_range()?;
    let within = symbol.address().checked_sub(section.address())?;
    usize::try_from(start.checked_add(within)?).ok()
}
