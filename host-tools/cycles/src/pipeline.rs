//! Estimates of what instructions cost a core, by what is published of its pipeline.
//!
//! All take it that memory answers at once: zero wait states, so code and data in
//! tightly coupled memory, or in caches that always hit. A block of instructions, which
//! only its end may leave, is estimated by itself: what comes before it is taken to be
//! finished.

mod cortex_m4;
mod cortex_m55;
mod cortex_m7;
mod slots;

use crate::decode::{Code, Unknown, decode_block};

/// A core whose cycles can be estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Also the Cortex-M3, which has the same pipeline without SIMD and floats.
    CortexM4,
    /// Issues up to two instructions a cycle.
    CortexM7,
    /// With vectors.
    CortexM55,
}

/// What a block costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Cycles from its beginning to its end.
    pub cycles: u64,
    /// How many more if what is executed next is not what follows in memory.
    pub jump: u64,
    /// How many more if that is not what was executed next the last time either.
    pub change: u64,
}

impl Timing {
    /// The cost of a block of instructions.
    ///
    /// # Errors
    /// [`Unknown`] if one of them cannot be decoded.
    pub fn cost(self, codes: &[Code]) -> Result<Cost, Unknown> {
        let instructions = decode_block(codes)?;
        Ok(match self {
            Self::CortexM4 => cortex_m4::cost(&instructions),
            Self::CortexM7 => cortex_m7::cost(&instructions),
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
