//! What instructions cost a Cortex-M4, by its published timings.
//!
//! Source: Arm Cortex-M4 Technical Reference Manual (DDI 0439), sections 3.3.1
//! "Cortex-M4 instructions" and 3.3.2 "Load/store timings".

use super::Cost;
use crate::decode::{Class, Flow, Instruction};

/// Cycles to fill the pipeline after a branch. The manual says one to three,
/// depending on the target's alignment and width.
const REFILL: u64 = 2;

/// Cycles to fill it after the program counter was loaded.
const LOADED_REFILL: u64 = 3;

/// The most that a division takes; the manual says two to twelve.
const DIVISION: u64 = 12;

pub(super) fn cost(instructions: &[Instruction]) -> Cost {
    let mut cost = Cost::default();
    let mut before = None;
    for instruction in instructions {
        cost.cycles += cycles(instruction, before);
        // What loads the program counter has its refill among its own cycles.
        cost.jump = if is_access(instruction) { 0 } else { REFILL };
        before = Some(instruction);
    }
    cost
}

fn cycles(instruction: &Instruction, before: Option<&Instruction>) -> u64 {
    let address = instruction.address;
    // No result is forwarded to an address.
    let stall = before.is_some_and(|before| !is_access(before) && address.meets(before.results));
    // A load overlaps with the access that follows, unless it loads its address.
    let overlaps = before.is_some_and(|before| {
        matches!(before.class, Class::Load { .. }) && !address.meets(before.results)
    });
    let refill = match instruction.flow {
        Flow::Next => 0,
        _ => LOADED_REFILL,
    };
    match instruction.class {
        Class::Divide => DIVISION,
        Class::Load { .. } if overlaps && refill == 0 => 1,
        Class::Load { .. } => 2 + u64::from(stall) + refill,
        Class::Store { .. } if overlaps => 1,
        // The write buffer takes it, and only an offset in a register takes time.
        Class::Store { offset } => 1 + u64::from(offset.is_none()) + u64::from(stall),
        Class::Multiple { registers } => 1 + u64::from(registers) + refill,
        Class::TableBranch => 3 + refill,
        _ => 1,
    }
}

fn is_access(instruction: &Instruction) -> bool {
    matches!(
        instruction.class,
        Class::Load { .. } | Class::Store { .. } | Class::Multiple { .. } | Class::TableBranch
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Timing, codes};

    #[test]
    fn costs_what_the_manual_says() {
        let cases: &[(&str, &[[u16; 2]], u64)] = &[
            ("adds r0, r1, r2", &[[0x1888, 0]], 1),
            ("ldr r0, [r1]", &[[0x6808, 0]], 2),
            ("ldr r0, [r1]; ldr r2, [r3]", &[[0x6808, 0], [0x681a, 0]], 3),
            ("ldr r0, [r1]; ldr r2, [r0]", &[[0x6808, 0], [0x6802, 0]], 4),
            ("ldr r0, [r1]; str r0, [r3]", &[[0x6808, 0], [0x6018, 0]], 3),
            ("str r0, [r1]", &[[0x6008, 0]], 1),
            ("str r0, [r1, r2]", &[[0x5088, 0]], 2),
            ("adds r1, #1; ldr r0, [r1]", &[[0x3101, 0], [0x6808, 0]], 4),
            ("adds r2, #1; ldr r0, [r1]", &[[0x3201, 0], [0x6808, 0]], 3),
            ("ldm r0!, {r1, r2}", &[[0xc806, 0]], 3),
            ("push {r4-r7, lr}", &[[0xb5f0, 0]], 6),
            ("pop {r4-r7, pc}", &[[0xbdf0, 0]], 9),
            ("push.w {r4-r11, lr}", &[[0xe92d, 0x4ff0]], 10),
            ("ldrd r1, r0, [r5, #136]", &[[0xe9d5, 0x1022]], 3),
            ("ldr.w r9, [r5, #32]", &[[0xf8d5, 0x9020]], 2),
            ("ldr.w pc, [sp, #36]", &[[0xf8dd, 0xf024]], 5),
            ("ldm.w sp, {r1-r4, pc}", &[[0xe89d, 0x801e]], 9),
            ("tbb [pc, r0]", &[[0xe8df, 0xf000]], 6),
            ("udiv r0, r0, r1", &[[0xfbb0, 0xf0f1]], 12),
            ("smlad r5, r1, r3, r5", &[[0xfb21, 0x5503]], 1),
            ("bl", &[[0xf003, 0xfcaa]], 1),
            ("cbz r6", &[[0xb326, 0]], 1),
            ("bne", &[[0xd11c, 0]], 1),
            ("msr primask, r0", &[[0xf380, 0x8810]], 1),
        ];
        for &(name, code, expected) in cases {
            assert_eq!(
                Timing::CortexM4.cost(&codes(code)).unwrap().cycles,
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn fills_the_pipeline_once() {
        let jump = |code| Timing::CortexM4.cost(&codes(&[code])).unwrap().jump;
        assert_eq!(jump([0xd11c, 0]), 2, "bne");
        assert_eq!(jump([0x4770, 0]), 2, "bx lr");
        assert_eq!(jump([0xbdf0, 0]), 0, "pop {{r4-r7, pc}}");
    }
}
