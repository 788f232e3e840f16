//! The lines that a cache holds during an execution.

use super::Cache;

/// The lines of a cache, by their numbers: addresses over the bytes of a line.
#[derive(Debug)]
pub(super) struct Lines {
    ways: usize,
    /// Sets less one.
    mask: u32,
    /// The lines of each set, the one used most recently first.
    lines: Vec<u32>,
    pub(super) allocates_stores: bool,
}

/// The number of no line.
const NONE: u32 = u32::MAX;

impl Lines {
    /// Nothing yet. The cache is one that [`super::MemoryMap::check`] allowed.
    pub(super) fn new(cache: &Cache) -> Self {
        let lines = cache.bytes / cache.line_bytes;
        let ways = if cache.ways == 0 { lines } else { cache.ways };
        Self {
            ways: ways as usize,
            mask: lines / ways - 1,
            lines: vec![NONE; lines as usize],
            allocates_stores: cache.allocates_stores,
        }
    }

    /// Whether a line is there, which then is the one used most recently.
    pub(super) fn has(&mut self, line: u32) -> bool {
        let set = self.set(line);
        if set[0] == line {
            return true;
        }
        let found = set.iter().position(|&other| other == line);
        if let Some(at) = found {
            set[..=at].rotate_right(1);
        }
        found.is_some()
    }

    /// Brings a line in that is not there.
    pub(super) fn bring(&mut self, line: u32) {
        let set = self.set(line);
        set.rotate_right(1);
        set[0] = line;
    }

    fn set(&mut self, line: u32) -> &mut [u32] {
        let set = (line & self.mask) as usize * self.ways;
        &mut self.lines[set..set + self.ways]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Misses of the lines of a loop that is gone through four times.
    fn misses(ways: u32, lines: u32) -> usize {
        let mut cache = Lines::new(&Cache {
            name: String::new(),
            bytes: 64,
            line_bytes: 8,
            ways,
            allocates_stores: false,
        });
        let mut miss = |line| {
            let is_missed = !cache.has(line);
            if is_missed {
                cache.bring(line);
            }
            is_missed
        };
        let turns = (0..4).flat_map(|_| 0..lines);
        turns.filter(|&line| miss(line)).count()
    }

    #[test]
    fn a_loop_that_fits_is_missed_once() {
        assert_eq!(misses(0, 8), 8);
        assert_eq!(misses(2, 8), 8);
        assert_eq!(misses(1, 8), 8);
    }

    #[test]
    fn a_loop_a_line_too_long_is_always_missed_by_one_set() {
        assert_eq!(misses(0, 9), 4 * 9);
        // Only the set with three lines.
        assert_eq!(misses(2, 9), 6 + 4 * 3);
        assert_eq!(misses(1, 9), 7 + 4 * 2);
    }
}
