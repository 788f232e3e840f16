//! Cycles of instructions on a Cortex-M0 and a Cortex-M0+.
//!
//! Sources: Arm Cortex-M0 Technical Reference Manual (DDI 0432), table 3-1, and Arm
//! Cortex-M0+ Technical Reference Manual (DDI 0484), table 3-1: loads and stores take two
//! cycles, several registers one and one each, a taken branch three or, on a Cortex-M0+,
//! two, a call four or three, and a special register four or three. The multiplier is
//! taken to be the fast one, of one cycle. Not validated by measurements.

use super::Cost;
use crate::decode::{Class, Flow, Instruction};

/// One of the two, which differ in their pipeline's length.
#[derive(Clone, Copy)]
pub(super) struct Refill {
    /// Cycles to fill the pipeline behind a branch.
    jump: u64,
    /// More cycles to do so behind a load of the program counter.
    load: u64,
    /// Cycles of a call by name, without those to fill the pipeline.
    call: u64,
    /// Cycles of barriers and special registers.
    special: u64,
}

/// Three stages.
pub(super) const CORTEX_M0: Refill = Refill {
    jump: 2,
    load: 3,
    call: 2,
    special: 4,
};

/// Two stages.
pub(super) const CORTEX_M0_PLUS: Refill = Refill {
    jump: 1,
    load: 2,
    call: 2,
    special: 3,
};

pub(super) fn cost(refill: Refill, instructions: &[Instruction]) -> Cost {
    let cycles = |instruction: &Instruction| match instruction.class {
        Class::Load { .. } | Class::Store { .. } => 2,
        Class::Multiple { registers } => 1 + u64::from(registers),
        Class::Branch if matches!(instruction.flow, Flow::Call { .. }) => refill.call,
        Class::System => refill.special,
        _ => 1,
    };
    let jump = |last: &Instruction| match (last.flow, last.class) {
        (Flow::Next | Flow::Stop, _) => 0,
        (_, Class::Multiple { .. } | Class::Load { .. }) => refill.load,
        _ => refill.jump,
    };
    Cost {
        cycles: instructions.iter().map(cycles).sum(),
        jump: instructions.last().map_or(0, jump),
        ..Cost::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Timing, codes};

    #[test]
    fn costs_what_the_manuals_say() {
        // With the jump taken, on a Cortex-M0 and on a Cortex-M0+.
        let cases: &[(&str, [u16; 2], [u64; 2])] = &[
            ("adds r0, r1, r2", [0x1888, 0], [1, 1]),
            ("muls r0, r1", [0x4348, 0], [1, 1]),
            ("ldr r0, [r1]", [0x6808, 0], [2, 2]),
            ("ldm r0!, {r1, r2}", [0xc806, 0], [3, 3]),
            ("bne", [0xd11c, 0], [3, 2]),
            ("bl", [0xf003, 0xfcaa], [4, 3]),
            ("bx lr", [0x4770, 0], [3, 2]),
            ("pop {r4-r7, pc}", [0xbdf0, 0], [9, 8]),
            ("msr primask, r0", [0xf380, 0x8810], [4, 3]),
        ];
        for &(name, code, expected) in cases {
            let of = |timing: Timing| {
                let cost = timing.cost(0, &codes(&[code])).unwrap();
                cost.cycles + cost.jump
            };
            let both = [of(Timing::CortexM0), of(Timing::CortexM0Plus)];
            assert_eq!(both, expected, "{name}");
        }
    }
}
