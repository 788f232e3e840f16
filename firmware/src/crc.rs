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

use tadpool_kernels::checksum;

pub(crate) use unit::NAME;

/// Bytes between two feeds of the watchdog, which may wait for 100 ms only: software on a slow
/// core takes some 20 for them.
const PIECE: usize = if cfg!(feature = "watchdog") {
    1 << 14
} else {
    usize::MAX
};

/// CRC-32 of what has the checksum `crc`, which is zero of nothing, followed by `bytes`.
pub(crate) fn crc32_on(crc: u32, bytes: &[u8]) -> u32 {
    in_pieces(crc, bytes, |crc, piece| {
        unit::crc32_on(crc, piece).unwrap_or_else(|| checksum::crc32_on(crc, piece))
    })
}

/// The same without the unit.
pub(crate) fn in_software(crc: u32, bytes: &[u8]) -> u32 {
    in_pieces(crc, bytes, checksum::crc32_on)
}

fn in_pieces(crc: u32, bytes: &[u8], add: impl Fn(u32, &[u8]) -> u32) -> u32 {
    bytes.chunks(PIECE).fold(crc, |crc, piece| {
        #[cfg(feature = "watchdog")]
        crate::watchdog::feed(None);
        add(crc, piece)
    })
}
