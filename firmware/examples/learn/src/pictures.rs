//! Made-up pictures: stripes of two colours, whose kind is their direction and colours.

use tadpool_model::{INPUT_BYTES, INPUT_CHANNELS, INPUT_WIDTH};

/// Draws pictures, no two of which are the same.
#[derive(Debug, Clone)]
pub struct Pictures(u32);

/// Two colours of each kind.
const COLORS: [[[u8; 3]; 2]; 4] = [
    [[200, 40, 40], [60, 20, 20]],
    [[40, 90, 200], [200, 200, 220]],
    [[30, 120, 40], [90, 200, 80]],
    [[220, 200, 60], [110, 90, 30]],
];

impl Pictures {
    /// Those that are learned.
    pub fn new() -> Self {
        Self(1)
    }

    /// Others of the same kinds.
    pub fn others() -> Self {
        Self(0x5eed)
    }

    /// The next picture of a kind: stripes somewhere, and noise.
    pub fn draw(&mut self, kind: usize, pixels: &mut [u8; INPUT_BYTES]) {
        let [first, second] = COLORS.get(kind).copied().unwrap_or_default();
        let (shift, width) = (self.below(8), 4 + self.below(3));
        for (place, pixel) in pixels.chunks_exact_mut(INPUT_CHANNELS).enumerate() {
            let (row, column) = (place / INPUT_WIDTH, place % INPUT_WIDTH);
            let along = match kind % 3 {
                0 => row,
                1 => column,
                _ => row + column,
            };
            let is_first = ((along + shift) / width.max(1)).is_multiple_of(2);
            let color = if is_first { first } else { second };
            for (value, color) in pixel.iter_mut().zip(color) {
                *value = color.saturating_add(self.below(36) as u8);
            }
        }
    }

    /// A number below `bound`, by Marsaglia's xorshift.
    fn below(&mut self, bound: u32) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        ((u64::from(self.0) * u64::from(bound)) >> 32) as usize
    }
}

impl Default for Pictures {
    fn default() -> Self {
        Self::new()
    }
}
