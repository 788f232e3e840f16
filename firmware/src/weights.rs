//! Whether the weights are those that were written: at start, and on boards whose file asks
//! for it before each inference too, all of them or a part.

#[cfg(not(feature = "slots"))]
#[path = "weights/image.rs"]
mod place;
#[cfg(feature = "slots")]
#[path = "weights/slots.rs"]
mod place;

use crate::run::CorruptedWeights;
#[cfg(feature = "check-weights")]
use crate::run::WeightCheck;
use crate::{crc, fault};

/// Where the host puts a CRC into the image once it is linked; it knows the static by its name
/// and its mark.
#[repr(C)]
struct Seal {
    mark: [u8; 4],
    /// One, once the host has written the CRC.
    is_set: u32,
    crc: u32,
}

impl Seal {
    const fn new(mark: [u8; 4]) -> Self {
        Self {
            mark,
            is_set: 0,
            crc: 0,
        }
    }
}

/// The weights, as [`check`] found them.
#[derive(Debug)]
pub(crate) struct Weights {
    /// In the order of the CRC: where they lie, and where some were copied to.
    memory: [&'static [u8]; 2],
    /// Their CRC; none in an image that cargo alone has built.
    expected: Option<u32>,
}

impl Weights {
    /// Compares the CRC.
    fn compared(self) -> Result<Self, CorruptedWeights> {
        let Some(expected) = self.expected else {
            return Ok(self);
        };
        let [kept, copied] = self.memory;
        let found = crc::crc32_on(crc::crc32_on(0, kept), copied);
        self.judge(found, expected)?;
        Ok(self)
    }

    /// Whether a CRC of all that was `found` is the one that is expected. Software has the last
    /// word: a unit of the chip that is not as its manual says must not stop a board.
    fn judge(&self, found: u32, expected: u32) -> Result<(), CorruptedWeights> {
        if found == expected {
            return Ok(());
        }
        let Some(unit) = crc::NAME else {
            return Err(CorruptedWeights { found, expected });
        };
        let [kept, copied] = self.memory;
        let in_software = crc::in_software(crc::in_software(0, kept), copied);
        if in_software != expected {
            return Err(CorruptedWeights {
                found: in_software,
                expected,
            });
        }
        defmt::warn!(
            "{=str} gives {=u32:08x} for the weights, not {=u32:08x}",
            unit,
            found,
            expected
        );
        Ok(())
    }
}

/// Fails with a fault unless the weights are those that were written; of two slots, chooses
/// the one with the latest that are.
pub(crate) fn check() -> Weights {
    match place::check() {
        Ok(weights) => weights,
        Err(problem) => fault::of_weights(problem),
    }
}

/// The check before each inference: the next part of the weights, over and over.
#[cfg(feature = "check-weights")]
#[derive(Debug)]
pub struct Parts {
    weights: Weights,
    /// Bytes that are done, and their CRC.
    done: usize,
    crc: u32,
}

#[cfg(feature = "check-weights")]
impl Parts {
    pub(crate) fn of(weights: Weights) -> Self {
        Self {
            weights,
            done: 0,
            crc: 0,
        }
    }
}

#[cfg(feature = "check-weights")]
impl WeightCheck for Parts {
    fn check(&mut self) -> Result<(), CorruptedWeights> {
        let Self {
            weights,
            done,
            crc: until_now,
        } = self;
        let memory = weights.memory;
        let Some(expected) = weights.expected else {
            return Ok(());
        };
        let all_bytes = memory.iter().map(|memory| memory.len()).sum::<usize>();
        let mut bytes = all_bytes.div_ceil(crate::boards::CHECK_PARTS);
        let mut before = *done;
        for memory in memory {
            let rest = memory.get(before..).unwrap_or_default();
            before = before.saturating_sub(memory.len());
            let part = rest.get(..bytes).unwrap_or(rest);
            *until_now = crc::crc32_on(*until_now, part);
            *done += part.len();
            bytes -= part.len();
        }
        if *done < all_bytes {
            return Ok(());
        }
        *done = 0;
        weights.judge(core::mem::take(until_now), expected)
    }
}
