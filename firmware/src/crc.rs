//! CRC-32 of memory, by the chip's unit where it has one and else in software.
//!
//! A unit's `crc32_on` gives none if the unit does not answer.

#[cfg(any(feature = "rpi-pico", feature = "rpi-pico2"))]
#[path = "crc/rp2.rs"]
mod unit;
#[cfg(not(any(feature = "stm32", feature = "rpi-pico", feature = "rpi-pico2")))]
#[path = "crc/software.rs"]
mod unit;
#[cfg(feature = "stm32")]
#[path = "crc/stm32.rs"]
mod unit;

pub(crate) use tadpool_kernels::checksum::crc32_on as in_software;
pub(crate) use unit::NAME;

/// CRC-32 of what has the checksum `crc`, which is zero of nothing, followed by `bytes`.
pub(crate) fn crc32_on(crc: u32, bytes: &[u8]) -> u32 {
    unit::crc32_on(crc, bytes).unwrap_or_else(|| in_software(crc, bytes))
}
