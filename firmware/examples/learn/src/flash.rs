//! RAM in the place of a flash, by the traits that the flash of any chip has.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use tadpool_learn::saved_bytes;
use tadpool_model::FEATURES;

use crate::KINDS;

/// Bytes that are erased at a time.
const PAGE: usize = 1024;
/// Bytes of each of two slots.
pub(crate) const SLOT_BYTES: u32 = (saved_bytes(FEATURES, KINDS).div_ceil(PAGE) * PAGE) as u32;
const BYTES: usize = 2 * SLOT_BYTES as usize;

/// Two slots.
#[derive(Debug)]
pub struct RamFlash([u8; BYTES]);

/// A place that is not in the flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfBounds;

impl RamFlash {
    /// All of it erased, for a `static`.
    pub const fn new() -> Self {
        Self([0xff; BYTES])
    }

    fn at(&mut self, offset: u32, length: usize) -> Result<&mut [u8], OutOfBounds> {
        let rest = self.0.get_mut(offset as usize..).ok_or(OutOfBounds)?;
        rest.get_mut(..length).ok_or(OutOfBounds)
    }
}

impl Default for RamFlash {
    fn default() -> Self {
        Self::new()
    }
}

impl NorFlashError for OutOfBounds {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::OutOfBounds
    }
}

impl ErrorType for RamFlash {
    type Error = OutOfBounds;
}

impl ReadNorFlash for RamFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), OutOfBounds> {
        let found = self.at(offset, bytes.len())?;
        for (byte, &found) in bytes.iter_mut().zip(found.iter()) {
            *byte = found;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        BYTES
    }
}

impl NorFlash for RamFlash {
    const WRITE_SIZE: usize = 8;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), OutOfBounds> {
        self.at(from, to.saturating_sub(from) as usize)?.fill(0xff);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), OutOfBounds> {
        for (place, &byte) in self.at(offset, bytes.len())?.iter_mut().zip(bytes) {
            // As in flash, bits only become zero.
            *place &= byte;
        }
        Ok(())
    }
}
