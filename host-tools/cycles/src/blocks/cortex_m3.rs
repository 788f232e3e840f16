//! Cycles of instructions on a Cortex-M3: as on the Cortex-M4, but for products.
//!
//! Source: Arm Cortex-M3 Technical Reference Manual (DDI 0337), section 3.3.1 "Cortex-M3
//! instructions": a product of 32 bits takes one cycle, with accumulation two; one of 64
//! bits three to five, with accumulation four to seven, of which the most is taken, since
//! the operands are not known. Not validated by measurements.

use super::{Cost, cortex_m4};
use crate::decode::{Class, Instruction};

pub(super) fn cost(address: u64, instructions: &[Instruction]) -> Cost {
    cortex_m4::cost_by(address, instructions, cycles)
}

fn cycles(instruction: &Instruction, before: Option<&Instruction>) -> u64 {
    let is_long = instruction.results.numbers().count() == 2;
    match (instruction.class, instruction.accumulator.is_empty()) {
        (Class::Multiply, true) if is_long && instruction.is_wide => 5,
        (Class::Multiply, false) if is_long => 7,
        (Class::Multiply, false) => 2,
        _ => cortex_m4::cycles(instruction, before),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Timing, codes};

    #[test]
    fn costs_what_the_manual_says() {
        let cases = [
            ("muls r0, r1", [0x4348, 0], 1),
            ("mla r0, r1, r2, r3", [0xfb01, 0x3002], 2),
            ("smull r0, r1, r2, r3", [0xfb82, 0x0103], 5),
            ("smlal r0, r1, r2, r3", [0xfbc2, 0x0103], 7),
            ("ldr r0, [r1]", [0x6808, 0], 2),
        ];
        for (name, code, expected) in cases {
            let cost = Timing::CortexM3.cost(0, &codes(&[code])).unwrap();
            assert_eq!(cost.cycles, expected, "{name}");
        }
    }
}
