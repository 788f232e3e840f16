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
mod thumb;

/// A core whose cycles can be estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timing {
    CortexM4,
    CortexM7,
    CortexM55,
}

/// What a block costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cost {
    pub(super) cycles: u64,
    /// How many more if what is executed next is not what follows in memory.
    pub(super) jump: u64,
    /// How many more if that is not what was executed next the last time either.
    pub(super) change: u64,
}

impl Timing {
    /// The cost of a block, of which each instruction has one or two halfwords.
    pub(super) fn cost(self, codes: &[[u16; 2]]) -> Cost {
        let instructions = thumb::decode(codes);
        match self {
            Self::CortexM4 => cortex_m4::cost(&instructions),
            Self::CortexM7 => cortex_m7::cost(&instructions),
            Self::CortexM55 => cortex_m55::cost(&instructions),
        }
    }
}

/// Whether an instruction that begins with `first` has four bytes.
pub(super) fn is_wide(first: u16) -> bool {
    first >> 11 >= 0b11101
}
