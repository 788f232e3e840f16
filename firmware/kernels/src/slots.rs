//! Weights in two slots of flash that are written apart from the program: an update goes to
//! the slot that is not in use, so that one that is cut off changes nothing, and one that is
//! not wanted is undone.
//!
//! A slot is a [`Header`] and, behind it, all constants of a network: weights, tables, and
//! the steps, which point to them. Those pointers are absolute, so what is written differs
//! from slot to slot; the program reaches a step through [`Placed`], which adds how far the
//! slot in use is from the one that the program was linked for. So a kernel is given the same
//! references as ever, and takes no more instructions.
//!
//! The constants must be those that the program was compiled for, but for their values: sizes,
//! places and the types' layouts are in its code. [`Header::program`] tells: it is the CRC of
//! the program that the constants were linked with.

use core::fmt;

use crate::checksum::crc32_on;

pub use crate::arch::placed::{Placed, select};

/// Bytes of a header: words, the least significant byte first.
///
/// | word | what it is |
/// |---|---|
/// | 0 | `TPWS` |
/// | 1 | version of the format, 1 |
/// | 2 | number of the update; the valid slot with the larger one is used |
/// | 3 | CRC-32 of the program that the constants are for |
/// | 4 | hash of the model |
/// | 5 | bytes behind the header |
/// | 6 | their CRC-32 |
/// | 7 | CRC-32 of the words before |
pub const HEADER_BYTES: usize = 32;
/// Version of the format.
pub const FORMAT: u32 = 1;

const MARK: u32 = u32::from_le_bytes(*b"TPWS");
const WORDS: usize = HEADER_BYTES / 4;

/// The header of a slot, which describes its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Number of the update; the valid slot with the larger one is used.
    pub update: u32,
    /// CRC-32 of the program that the constants are for.
    pub program: u32,
    /// Hash of the model.
    pub model_hash: u32,
    /// Bytes behind the header.
    pub length: u32,
    /// CRC-32 of these.
    pub crc: u32,
}

/// Why a slot is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// It was erased.
    Empty,
    /// Its header is not one, or was not written as a whole.
    Broken,
    /// Another version of the format.
    Format {
        /// The version.
        found: u32,
    },
    /// Its constants are for another program.
    OtherProgram {
        /// CRC-32 of that program.
        found: u32,
    },
    /// It was not written as a whole, or its bytes have changed.
    Corrupted {
        /// CRC-32 of its bytes, or of none if there are not as many.
        found: u32,
        /// That of what was to be written.
        expected: u32,
    },
}

impl Header {
    /// The header's bytes.
    pub fn bytes(&self) -> [u8; HEADER_BYTES] {
        let words = [
            MARK,
            FORMAT,
            self.update,
            self.program,
            self.model_hash,
            self.length,
            self.crc,
        ];
        let sum = sum(&words);
        let mut bytes = [0; HEADER_BYTES];
        let (places, _) = bytes.as_chunks_mut::<4>();
        for (place, word) in places.iter_mut().zip(words.into_iter().chain([sum])) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    /// The header at the beginning of `slot`.
    ///
    /// # Errors
    /// An [`Unusable`] if there is none of this format.
    pub fn read(slot: &[u8]) -> Result<Self, Unusable> {
        let Some(bytes) = slot.first_chunk::<HEADER_BYTES>() else {
            return Err(Unusable::Broken);
        };
        if bytes.iter().all(|&byte| byte == 0xff) {
            return Err(Unusable::Empty);
        }
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let [mark, format, update, program, model_hash, length, crc, own] = words;
        let [summed @ .., _] = &words;
        if mark != MARK || own != sum(summed) {
            return Err(Unusable::Broken);
        }
        match format {
            FORMAT => Ok(Self {
                update,
                program,
                model_hash,
                length,
                crc,
            }),
            found => Err(Unusable::Format { found }),
        }
    }

    /// The header of `slot`, all bytes of which are at hand, if the slot can be used by the
    /// program whose CRC is given.
    ///
    /// # Errors
    /// An [`Unusable`] if it cannot.
    pub fn check(slot: &[u8], program: u32) -> Result<Self, Unusable> {
        Self::check_by(slot, program, crc32_on)
    }

    /// [`Header::check`] with another [`crc32_on`], as by a unit of the chip.
    ///
    /// # Errors
    /// An [`Unusable`] if the slot cannot be used.
    pub fn check_by(
        slot: &[u8],
        program: u32,
        crc32_on: impl Fn(u32, &[u8]) -> u32,
    ) -> Result<Self, Unusable> {
        let header = Self::read(slot)?;
        if header.program != program {
            return Err(Unusable::OtherProgram {
                found: header.program,
            });
        }
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let behind = slot.get(HEADER_BYTES..).and_then(|all| all.get(..length));
        let found = behind.map_or(0, |bytes| crc32_on(0, bytes));
        match found == header.crc && behind.is_some() {
            true => Ok(header),
            false => Err(Unusable::Corrupted {
                found,
                expected: header.crc,
            }),
        }
    }
}

/// CRC-32 of words.
fn sum(words: &[u32]) -> u32 {
    let add = |crc, word: &u32| crc32_on(crc, &word.to_le_bytes());
    words.iter().fold(0, add)
}

/// Index of the slot that is used: the one with the latest update, of those that can be; the
/// first one of two that are the same.
pub fn newest(slots: &[Result<Header, Unusable>; 2]) -> Option<usize> {
    match slots {
        [Ok(first), Ok(second)] => Some(usize::from(second.update > first.update)),
        [Ok(_), Err(_)] => Some(0),
        [Err(_), Ok(_)] => Some(1),
        [Err(_), Err(_)] => None,
    }
}

impl Unusable {
    /// The problem in a few words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Broken => "no header",
            Self::Format { .. } => "a header of another version",
            Self::OtherProgram { .. } => "weights for another firmware",
            Self::Corrupted { .. } => "half-written or corrupted",
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Unusable {}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics fails"
)]
mod tests {
    use super::*;
    use crate::checksum::crc32;

    const PROGRAM: u32 = 0x1234_5678;

    /// A slot of 100 bytes, of which 50 are behind the header.
    fn slot(update: u32) -> [u8; 100] {
        let mut slot = [0xff; 100];
        for (place, byte) in slot.iter_mut().skip(HEADER_BYTES).zip(0..50) {
            *place = byte;
        }
        let header = Header {
            update,
            program: PROGRAM,
            model_hash: 7,
            length: 50,
            crc: crc32(&slot[HEADER_BYTES..][..50]),
        };
        slot[..HEADER_BYTES].copy_from_slice(&header.bytes());
        slot
    }

    #[test]
    fn a_whole_slot_is_used() {
        let header = Header::check(&slot(3), PROGRAM).unwrap();
        assert_eq!(
            (header.update, header.model_hash, header.length),
            (3, 7, 50)
        );
        assert_eq!(Header::read(&header.bytes()), Ok(header));
    }

    /// Flash is written in ascending order: wherever that ends, the slot is not used.
    #[test]
    fn a_slot_that_was_written_in_part_is_not() {
        let whole = slot(3);
        for written in 0..HEADER_BYTES + 50 {
            let mut part = [0xff; 100];
            part[..written].copy_from_slice(&whole[..written]);
            let found = Header::check(&part, PROGRAM).unwrap_err();
            match written {
                0 => assert_eq!(found, Unusable::Empty),
                1..HEADER_BYTES => assert_eq!(found, Unusable::Broken),
                _ => assert!(matches!(found, Unusable::Corrupted { .. }), "{written}"),
            }
        }
    }

    #[test]
    fn every_bit_that_flips_is_noticed() {
        for bit in 0..(HEADER_BYTES + 50) * 8 {
            let mut slot = slot(3);
            slot[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::check(&slot, PROGRAM).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn slots_of_others_are_not_used() {
        let other = Header::check(&slot(3), PROGRAM + 1);
        assert_eq!(other, Err(Unusable::OtherProgram { found: PROGRAM }));
        assert_eq!(Header::check(&[0; 31], PROGRAM), Err(Unusable::Broken));
        let mut format = slot(3);
        format[4] = 2;
        let words: std::vec::Vec<u32> = (0..7)
            .map(|word| u32::from_le_bytes(format[4 * word..][..4].try_into().unwrap()))
            .collect();
        format[28..32].copy_from_slice(&sum(&words).to_le_bytes());
        let found = Header::check(&format, PROGRAM);
        assert_eq!(found, Err(Unusable::Format { found: 2 }));
        // A length beyond the slot.
        let mut long = Header::read(&slot(3)).unwrap();
        long.length = u32::MAX;
        let mut slot = slot(3);
        slot[..HEADER_BYTES].copy_from_slice(&long.bytes());
        let found = Header::check(&slot, PROGRAM);
        assert!(matches!(found, Err(Unusable::Corrupted { found: 0, .. })));
    }

    #[test]
    fn the_latest_usable_slot_is_taken() {
        let header = |update| Header::check(&slot(update), PROGRAM);
        let broken = Err(Unusable::Broken);
        assert_eq!(newest(&[header(1), header(2)]), Some(1));
        assert_eq!(newest(&[header(3), header(2)]), Some(0));
        assert_eq!(newest(&[header(2), header(2)]), Some(0));
        assert_eq!(newest(&[header(1), broken]), Some(0));
        assert_eq!(newest(&[broken, header(1)]), Some(1));
        assert_eq!(newest(&[broken, Err(Unusable::Empty)]), None);
    }
}
