//! Rows of the decoder's tables: the bits of an encoding, and how to read it.

use super::{Code, Instruction};

/// Which codes a row is for.
#[derive(Clone, Copy)]
struct Pattern {
    mask: u32,
    value: u32,
    /// Bits that must not all be ones, as of the size of an element.
    not_ones: u32,
    /// Bits that must not all be zeros.
    not_zeros: u32,
}

impl Pattern {
    /// Of the bits from the highest: `0` and `1` are fixed, the `z` must not all be
    /// ones, the `y` not all zeros, and all other letters stand for any bit. Spaces and
    /// `|` do not count.
    const fn new(text: &str) -> Self {
        let mut pattern = Self {
            mask: 0,
            value: 0,
            not_ones: 0,
            not_zeros: 0,
        };
        let text = text.as_bytes();
        let (mut at, mut bits) = (0, 0);
        while at < text.len() {
            let letter = text[at];
            at += 1;
            if letter == b' ' || letter == b'|' {
                continue;
            }
            bits += 1;
            assert!(bits <= 32, "a pattern has 32 bits");
            let bit = 1 << (32 - bits);
            match letter {
                b'0' => pattern.mask |= bit,
                b'1' => {
                    pattern.mask |= bit;
                    pattern.value |= bit;
                }
                b'z' => pattern.not_ones |= bit,
                b'y' => pattern.not_zeros |= bit,
                _ => {}
            }
        }
        assert!(bits == 32, "a pattern has 32 bits");
        pattern
    }

    const fn matches(&self, code: u32) -> bool {
        code & self.mask == self.value
            && (self.not_ones == 0 || code & self.not_ones != self.not_ones)
            && (self.not_zeros == 0 || code & self.not_zeros != 0)
    }
}

/// A row: the first one whose pattern matches says what a code is.
pub(super) struct Row {
    pattern: Pattern,
    read: fn(Code) -> Option<Instruction>,
}

pub(super) const fn row(pattern: &str, read: fn(Code) -> Option<Instruction>) -> Row {
    Row {
        pattern: Pattern::new(pattern),
        read,
    }
}

pub(super) fn look_up(rows: &[Row], code: Code) -> Option<Instruction> {
    let row = rows.iter().find(|row| row.pattern.matches(code.bits()))?;
    (row.read)(code)
}
