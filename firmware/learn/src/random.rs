//! Random numbers, the same on every core.

/// Marsaglia's xorshift of 32 bits. Source: G. Marsaglia, "Xorshift RNGs", 2003.
#[derive(Debug, Clone)]
pub(crate) struct Random(u32);

impl Random {
    pub(crate) fn new(seed: u32) -> Self {
        // Its state is never zero.
        Self(match seed {
            0 => 0x9e37_79b9,
            seed => seed,
        })
    }

    /// A number below `bound`; zero if that is zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (u64::from(self.0).wrapping_mul(bound as u64) >> 32) as usize
    }
}
