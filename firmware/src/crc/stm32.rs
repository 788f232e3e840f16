//! The CRC calculation unit of ST's chips, which the core feeds word by word, through its caches.
//! It has a clock while it is used.
//!
//! Source: the chapters "Cyclic redundancy check calculation unit" of RM0432, RM0433, RM0455,
//! RM0385, RM0444, RM0456 and RM0486; of the first version, without reversal, "CRC calculation
//! unit" of RM0090 and RM0383. The unit divides the most significant bit first, and all bits of
//! a word are reversed on their way in: the first byte in memory comes first, its least
//! significant bit in front. A register that is written or read before the unit has done the
//! word before makes the bus wait, so there is no flag to wait for.
#![allow(unsafe_code)]

use embassy_stm32::pac::{CRC, RCC};
use tadpool_kernels::checksum;

pub(crate) const NAME: Option<&str> = Some("the CRC calculation unit");

/// None if the unit does not take its start value, as without a clock.
pub(super) fn crc32_on(crc: u32, bytes: &[u8]) -> Option<u32> {
    // SAFETY: all bits make words.
    let (head, words, tail) = unsafe { bytes.align_to::<u32>() };
    let mut crc = checksum::crc32_on(crc, head);
    if !words.is_empty() {
        set_clock(true);
        let found = start(crc).then(|| divide(crc, words));
        set_clock(false);
        crc = found?;
    }
    Some(checksum::crc32_on(crc, tail))
}

/// Sets the unit up to go on from what has the checksum `crc`; false if it does not answer.
#[cfg(not(any(feature = "nucleo-f411re", feature = "stm32f407g-disc1")))]
fn start(crc: u32) -> bool {
    use embassy_stm32::pac::crc::vals::{Polysize, RevIn, RevOut};

    const POLYNOMIAL: u32 = 0x04c1_1db7;
    CRC.pol().write_value(POLYNOMIAL);
    CRC.init().write_value((!crc).reverse_bits());
    CRC.cr().write(|control| {
        control.set_polysize(Polysize::POLYSIZE32);
        control.set_rev_in(RevIn::WORD);
        control.set_rev_out(RevOut::REVERSED);
        control.set_reset(true);
    });
    CRC.pol().read() == POLYNOMIAL && CRC.dr32().read() == !crc
}

/// The CRC of what has the checksum `crc`, which the unit has been set up with, followed by
/// `words`.
#[cfg(not(any(feature = "nucleo-f411re", feature = "stm32f407g-disc1")))]
fn divide(_crc: u32, words: &[u32]) -> u32 {
    for &word in words {
        CRC.dr32().write_value(word);
    }
    !CRC.dr32().read()
}

/// Sets the unit up; false if it does not answer. The first version always starts with all bits
/// set.
#[cfg(any(feature = "nucleo-f411re", feature = "stm32f407g-disc1"))]
fn start(_crc: u32) -> bool {
    CRC.cr().write(|control| control.set_reset(true));
    CRC.dr().read() == u32::MAX
}

/// The CRC of what has the checksum `crc`, followed by `words`. What is to be divided first is
/// the sum of the start value and the first word, so the word brings what is missing of it.
#[cfg(any(feature = "nucleo-f411re", feature = "stm32f407g-disc1"))]
fn divide(crc: u32, words: &[u32]) -> u32 {
    let mut missing = crc;
    for &word in words {
        CRC.dr().write_value((word ^ missing).reverse_bits());
        missing = 0;
    }
    !CRC.dr().read().reverse_bits()
}

/// Switches the unit's clock on or off.
fn set_clock(is_on: bool) {
    #[cfg(feature = "nucleo-g0b1re")]
    let clocks = RCC.ahbenr();
    #[cfg(any(
        feature = "nucleo-h743zi",
        feature = "nucleo-h743zi2",
        feature = "stm32n6570-dk"
    ))]
    let clocks = RCC.ahb4enr();
    #[cfg(not(any(
        feature = "nucleo-g0b1re",
        feature = "nucleo-h743zi",
        feature = "nucleo-h743zi2",
        feature = "stm32n6570-dk"
    )))]
    let clocks = RCC.ahb1enr();
    clocks.modify(|clocks| {
        #[cfg(not(feature = "nucleo-h7a3zi-q"))]
        clocks.set_crcen(is_on);
        // RM0455, RCC_AHB1ENR; the HAL's register map has the bit where the STM32H743 has it.
        #[cfg(feature = "nucleo-h7a3zi-q")]
        {
            clocks.0 = clocks.0 & !(1 << 9) | u32::from(is_on) << 9;
        }
    });
    // The clock is there some cycles of the bus after the write (ST's errata sheets, "Delay after
    // an RCC peripheral clock enabling"): this read takes them.
    clocks.read();
}
