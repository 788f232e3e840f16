//! Estimates of what instructions cost a core, by what is published of its pipeline.
//!
//! All take it that memory answers at once: zero wait states, so code and data in
//! tightly coupled memory, or in caches that always hit. A block of instructions, which
//! only its end may leave, is estimated by itself: what comes before it is taken to be
//! finished.

mod cortex_m0;
mod cortex_m3;
mod cortex_m33;
mod cortex_m4;
mod cortex_m55;
mod cortex_m7;
mod slots;

use crate::decode::{Code, Unknown, decode_block};

/// A core whose cycles can be estimated. By what each is, its file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Armv6-M in three stages.
    CortexM0,
    /// Armv6-M in two stages.
    CortexM0Plus,
    /// Armv7-M without SIMD and floats.
    CortexM3,
    /// Armv7-M with them.
    CortexM4,
    /// Armv7-M, up to two instructions a cycle.
    CortexM7,
    /// Armv8-M.
    CortexM33,
    /// Armv8.1-M with vectors.
    CortexM55,
}

/// The cycles of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Cycles from its beginning to its end.
    pub cycles: u64,
    /// How many more if it was come to by a jump.
    pub entered: u64,
    /// How many more if what is executed next is not what follows in memory.
    pub jump: u64,
    /// How many more if that is not what was executed next the last time either.
    pub change: u64,
    /// How many more if the condition at its end was predicted wrongly.
    pub miss: u64,
}

/// Whether a branch is taken, as a predictor that counts up to three says: each time that
/// it is taken one more, and each time that it is not one less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Predictor(u8);

impl Predictor {
    /// Notes whether a branch was taken, and tells whether that was predicted wrongly.
    pub fn is_missed(&mut self, is_taken: bool) -> bool {
        let prediction = self.0 >= 2;
        self.0 = match is_taken {
            true => (self.0 + 1).min(3),
            false => self.0.saturating_sub(1),
        };
        prediction != is_taken
    }
}

impl Timing {
    /// The cost of a block of instructions, of which the first one is at an address.
    ///
    /// # Errors
    /// [`Unknown`] if one of them cannot be decoded.
    pub fn cost(self, address: u64, codes: &[Code]) -> Result<Cost, Unknown> {
        let instructions = decode_block(codes)?;
        Ok(match self {
            Self::CortexM0 => cortex_m0::cost(cortex_m0::CORTEX_M0, &instructions),
            Self::CortexM0Plus => cortex_m0::cost(cortex_m0::CORTEX_M0_PLUS, &instructions),
            Self::CortexM3 => cortex_m3::cost(address, &instructions),
            Self::CortexM4 => cortex_m4::cost(address, &instructions),
            Self::CortexM7 => cortex_m7::cost(&instructions),
            Self::CortexM33 => cortex_m33::cost(address, &instructions),
            Self::CortexM55 => cortex_m55::cost(&instructions),
        })
    }
}

/// Codes by their halfwords, of which the second one is none if the first is short.
#[cfg(test)]
fn codes(halfwords: &[[u16; 2]]) -> Vec<Code> {
    let code = |&[first, second]: &[u16; 2]| Code::of(first, Some(second)).unwrap();
    halfwords.iter().map(code).collect()
}

#[cfg(test)]
mod tests {
    use super::Predictor;

    #[test]
    fn predicts_what_was_done_before() {
        let mut predictor = Predictor::default();
        let taken = [true, true, true, false, true, true, false, false, false];
        let missed = taken.map(|is_taken| predictor.is_missed(is_taken));
        let expected = [true, true, false, true, false, false, true, true, false];
        assert_eq!(missed, expected);
    }
}
