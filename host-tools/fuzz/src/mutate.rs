//! Damage: seeds with some bytes changed, moved, lost or doubled.

/// Longest input.
const MAX_BYTES: usize = 1 << 16;
/// Numbers at the edges of what fits.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX,
];
/// Words that mean something to several formats.
const WORDS: [&[u8]; 16] = [
    b"\x1b[2J",
    "\u{202e}".as_bytes(),
    b"\n",
    b"\"",
    b"[",
    b"=",
    b",",
    b"-1",
    b"nan",
    b"inf",
    b"1e400",
    b"18446744073709551616",
    b"../",
    b"/dev/zero",
    b"\0",
    b"\xff\xd9",
];

/// Makes inputs from seeds, the same from the same number.
#[derive(Debug)]
pub struct Mutator {
    seeds: Vec<Vec<u8>>,
    random: fastrand::Rng,
    input: Vec<u8>,
}

impl Mutator {
    /// Inputs that begin with one of the `seeds`.
    ///
    /// # Panics
    /// There are no seeds.
    pub fn new(seeds: Vec<Vec<u8>>, number: u64) -> Self {
        assert!(!seeds.is_empty(), "no seeds");
        Self {
            seeds,
            random: fastrand::Rng::with_seed(number),
            input: Vec::new(),
        }
    }

    /// The next input.
    pub fn next_input(&mut self) -> &[u8] {
        let seed = self.random.usize(..self.seeds.len());
        self.input.clear();
        self.input.extend_from_slice(&self.seeds[seed]);
        let most = 1 << self.random.u32(..4);
        for _ in 0..self.random.u32(1..=most) {
            self.damage();
        }
        self.input.truncate(MAX_BYTES);
        &self.input
    }

    fn damage(&mut self) {
        let length = self.input.len();
        let at = self.random.usize(..=length);
        match self.random.u32(..10) {
            0 | 1 if at < length => self.input[at] ^= 1 << self.random.u32(..8),
            2 if at < length => self.input[at] = self.random.u8(..),
            3 => {
                let edge =
                    EDGES[self.random.usize(..EDGES.len())].wrapping_add(self.random.u64(..2));
                let bytes = match self.random.bool() {
                    true => edge.to_le_bytes(),
                    false => edge.to_be_bytes(),
                };
                let width = 1 << self.random.u32(..4);
                let end = (at + width).min(length);
                let from = if self.random.bool() { 0 } else { 8 - width };
                self.input[at..end].copy_from_slice(&bytes[from..from + end - at]);
            }
            4 => self.input.truncate(at),
            5 => {
                let end = at + self.length_of_piece(length - at);
                self.input.drain(at..end);
            }
            6 => {
                let end = at + self.length_of_piece(length - at);
                let piece = self.input[at..end].to_vec();
                let to = self.random.usize(..=length);
                self.input.splice(to..to, piece);
            }
            7 => {
                let word = WORDS[self.random.usize(..WORDS.len())];
                self.input.splice(at..at, word.iter().copied());
            }
            8 => {
                let other = &self.seeds[self.random.usize(..self.seeds.len())];
                let from = self.random.usize(..=other.len());
                let room = (other.len() - from).min(64);
                let piece = &other[from..from + self.random.usize(..=room)];
                self.input.splice(at..at, piece.iter().copied());
            }
            _ => {
                // A digit for another, so that texts stay texts.
                let digits = self.input[at..].iter().position(u8::is_ascii_digit);
                if let Some(digit) = digits {
                    self.input[at + digit] = b'0' + self.random.u8(..10);
                }
            }
        }
    }

    /// Mostly short.
    fn length_of_piece(&mut self, room: usize) -> usize {
        let most = room.min(1 << self.random.u32(..10));
        self.random.usize(..=most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_gives_the_same_inputs() {
        let inputs = |number| -> Vec<Vec<u8>> {
            let mut mutator = Mutator::new(vec![b"seed 1".to_vec(), Vec::new()], number);
            (0..2000).map(|_| mutator.next_input().to_vec()).collect()
        };
        let first = inputs(1);
        assert_eq!(first, inputs(1));
        assert_ne!(first, inputs(2));
        let mut different = first;
        different.sort();
        different.dedup();
        assert!(different.len() > 500, "{}", different.len());
    }
}
