//! A test of a board's RAM, through the debug probe.

use std::time::Duration;

use probe_rs::{MemoryInterface as _, Session};

use super::connect::Connection;
use super::error::ProbeError;
use tadpool_boards::Region;

/// Bytes that are written and read at a time.
const PIECE_BYTES: usize = 1024;
const HALT_TIME: Duration = Duration::from_secs(2);

/// A word of RAM that does not hold what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadWord {
    /// Its address.
    pub address: u64,
    /// The value that was written.
    pub written: u32,
    /// The value that was read.
    pub read: u32,
}

impl Connection {
    /// Writes the first and last KiB of a `memory`, and a word at each power of two between,
    /// and reads them back: a line of data or of address that is missing shows. Stops the
    /// core, and leaves nothing of what was there.
    ///
    /// # Errors
    /// A [`ProbeError`] if the link breaks.
    pub fn test_ram(&mut self, memory: &Region) -> Result<Option<BadWord>, ProbeError> {
        test(&mut self.session, memory).map_err(|error| ProbeError::Lost {
            doing: "its RAM was tested",
            cause: self.cause(&error),
        })
    }
}

fn test(session: &mut Session, memory: &Region) -> Result<Option<BadWord>, probe_rs::Error> {
    let mut core = session.core(0)?;
    core.halt(HALT_TIME)?;
    let places = places(memory);
    // Once as it is and once inverted, so that each bit is both.
    for inverted in [0, u32::MAX] {
        for &(address, length) in &places {
            let words: Vec<u32> = (0..length).map(|at| word(address, at) ^ inverted).collect();
            core.write_32(address, &words)?;
        }
        for &(address, length) in &places {
            let mut found = vec![0; length];
            core.read_32(address, &mut found)?;
            let expected = (0..length).map(|at| word(address, at) ^ inverted);
            let bad = found.iter().zip(expected).position(|(a, b)| *a != b);
            if let Some(at) = bad {
                return Ok(Some(BadWord {
                    address: address + 4 * at as u64,
                    written: word(address, at) ^ inverted,
                    read: found[at],
                }));
            }
        }
    }
    Ok(None)
}

/// Addresses and lengths in words: the ends, and a word at each power of two.
fn places(memory: &Region) -> Vec<(u64, usize)> {
    let (origin, length) = (u64::from(memory.origin), u64::from(memory.length));
    let piece = (PIECE_BYTES as u64).min(length / 2 / 4 * 4);
    let words = piece as usize / 4;
    let between = (0..u64::from(u32::BITS))
        .map(|bit| 1 << bit)
        .filter(|offset| (piece..length.saturating_sub(piece)).contains(offset));
    let ends = [(origin, words), (origin + (length - piece) / 4 * 4, words)];
    let between = between.map(|offset| (origin + offset, 1));
    ends.into_iter().chain(between).collect()
}

/// The value that is written to the `at`-th word from `address`: no other has it.
fn word(address: u64, at: usize) -> u32 {
    (address as u32 + 4 * at as u32).wrapping_mul(0x9e37_79b1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_within_the_memory_and_apart() {
        for length in [0x100, 0x4000, 0x5_0000, 0x0008_2000] {
            let memory = Region {
                origin: 0x2000_0000,
                length,
            };
            let mut places = places(&memory);
            places.sort_unstable();
            let end = 0x2000_0000 + u64::from(length);
            for pair in places.windows(2) {
                assert!(pair[0].0 + 4 * pair[0].1 as u64 <= pair[1].0, "{places:x?}");
            }
            let last = places.last().unwrap();
            assert!(last.0 + 4 * last.1 as u64 <= end, "{places:x?}");
        }
    }
}
