//! Chips without a unit for CRCs of 32 bits: Nordic's, emulated ones, and those that the generic
//! start-up code knows nothing of.

/// The unit's name: there is none.
pub(crate) const NAME: Option<&str> = None;

pub(super) fn crc32_on(_crc: u32, _bytes: &[u8]) -> Option<u32> {
    None
}
