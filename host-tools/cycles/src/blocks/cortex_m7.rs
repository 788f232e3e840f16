//! Cycles of instructions on a Cortex-M7, which issues up to two a cycle, in order.
//!
//! Sources: LLVM's scheduling model of the core, written by Arm
//! (`llvm/lib/Target/ARM/ARMScheduleM7.td`), and the measurements on an STM32H743 in
//! github.com/jnk0le/random ("pipeline cycle test"). Where they differ the measured
//! one is taken. They say that
//!
//! - arithmetic takes a cycle, and so does a word's load before arithmetic. Addresses,
//!   and what is shifted or extracted first, are wanted a cycle before other operands;
//!   a sum or a move whose own operands are in time for it is finished a cycle before
//!   other results. A product takes one cycle more, and does not take a word that was
//!   loaded in the cycle before; what is added to it is wanted a cycle later than it, so
//!   sums of products follow each other every cycle;
//! - bytes, halfwords and what is saturated take one cycle more than a word;
//! - what is stored is never waited for;
//! - what moves several registers takes a cycle for two, a division seven, and nothing
//!   else is issued with either. Nor are two products together, a product and a store,
//!   two stores, two that want the one shifter, or anything and then an instruction on
//!   bit fields or on parts of a register, which can only be the older one;
//! - two loads are issued together if they are from different banks of memory, which
//!   are the even and the odd words. They are taken to be if their addresses are known
//!   to be an odd number of words apart, and not otherwise.
//!
//! Assumptions of this estimate: access is aligned, and a result is not forwarded to
//! arithmetic in the same cycle, as the measurements saw it of some sums. Direct
//! branches and returns are predicted: they take the place of an instruction and are
//! the last one of their cycle. A condition is predicted by a counter of two bits for each
//! branch, and a branch to an address that was computed or loaded to go where it went the
//! last time.
//!
//! Known gap: banks by the addresses that are really used are not known here. An
//! independent model gives ten cycles for the loop of products that this one gives eight.

use super::Cost;
use super::slots::{Issued, Slots};
use crate::decode::{Class, Flow, Instruction, Registers};

/// Cycles that a division takes.
const DIVISION: u64 = 7;

/// Cycles before what a special register, a barrier or a float gives can be read.
const SYSTEM: u64 = 3;

/// Cycles that a wrong prediction costs; six if the flags are known early enough.
const MISPREDICTION: u64 = 8;

pub(super) fn cost(instructions: &[Instruction]) -> Cost {
    let mut pipeline = Pipeline::default();
    for instruction in instructions {
        pipeline.issue(instruction);
    }
    let ends = |is: fn(Flow) -> bool| instructions.last().is_some_and(|last| is(last.flow));
    let cost_if = |is: fn(Flow) -> bool| if ends(is) { MISPREDICTION } else { 0 };
    Cost {
        cycles: pipeline.slots.cycle,
        change: cost_if(Flow::is_computed),
        miss: cost_if(Flow::is_conditional),
        ..Cost::default()
    }
}

/// In which cycle an instruction that reads a register can be issued, by what it does
/// with it.
#[derive(Clone, Copy, Default)]
struct Ready {
    /// Shifts it, extracts from it or takes it as an address.
    early: u64,
    multiplies: u64,
    /// All else.
    late: u64,
}

struct Pipeline<'a> {
    ready: [Ready; Registers::COUNT],
    slots: Slots<'a>,
}

impl Default for Pipeline<'_> {
    fn default() -> Self {
        Self {
            ready: [Ready::default(); Registers::COUNT],
            slots: Slots::default(),
        }
    }
}

impl<'a> Pipeline<'a> {
    fn issue(&mut self, instruction: &'a Instruction) {
        let wanted = self.wanted(instruction);
        let issued = self
            .slots
            .issue(instruction, wanted, cycles(instruction), pairs);
        self.finish(instruction, issued);
    }

    /// The first cycle in which all that an instruction reads can be read.
    fn wanted(&self, instruction: &Instruction) -> u64 {
        let latest = |registers: Registers, read: &dyn Fn(Ready) -> u64| {
            let ready = registers.numbers().map(|number| read(self.ready[number]));
            ready.max().unwrap_or(0)
        };
        let operands = match instruction.class {
            // It is predicted.
            Class::Branch => return 0,
            Class::Multiply => latest(instruction.operands, &|ready| ready.multiplies),
            _ => latest(instruction.operands, &|ready| ready.late),
        };
        let early = instruction.shifted | instruction.address;
        operands
            .max(latest(early, &|ready| ready.early))
            // Sums are made a cycle after products.
            .max(latest(instruction.accumulator, &|ready| ready.late).saturating_sub(1))
    }

    fn finish(&mut self, instruction: &Instruction, issued: Issued) {
        let at = issued.cycle;
        let is_word = matches!(
            instruction.class,
            Class::Load { bytes: 4, .. } | Class::Multiple { .. }
        );
        let latency = match instruction.class {
            Class::Load { .. } if !is_word => 2,
            Class::Multiply | Class::Saturate => 2,
            Class::Divide => DIVISION,
            Class::System | Class::Vector(_) => SYSTEM,
            _ => 1,
        };
        let is_early = !issued.is_younger
            && matches!(instruction.class, Class::Move | Class::Add)
            && instruction
                .operands
                .numbers()
                .all(|number| self.ready[number].early <= at);
        for (order, number) in instruction.results.numbers().enumerate() {
            // Two registers a cycle, of the lowest numbers first.
            let late = at + latency + if is_word { order as u64 / 2 } else { 0 };
            self.ready[number] = Ready {
                early: late + u64::from(!is_early),
                multiplies: late + u64::from(is_word),
                late,
            };
        }
        for number in instruction.updated.numbers() {
            let next = at + 1;
            self.ready[number] = Ready {
                early: next,
                multiplies: next,
                late: next,
            };
        }
    }
}

/// Cycles in which nothing can be issued that does not join it.
fn cycles(instruction: &Instruction) -> u64 {
    match instruction.class {
        Class::Multiple { registers } => u64::from(registers).div_ceil(2),
        Class::Divide => DIVISION,
        Class::TableBranch => 2,
        _ => 1,
    }
}

fn is_alone(instruction: &Instruction) -> bool {
    matches!(
        instruction.class,
        Class::Multiple { .. }
            | Class::Divide
            | Class::TableBranch
            | Class::System
            | Class::Vector(_)
    )
}

/// Whether the core has the units for two instructions in one cycle.
fn pairs(older: &Instruction, younger: &Instruction) -> bool {
    match (older.class, younger.class) {
        _ if is_alone(older) || is_alone(younger) => false,
        (_, Class::Extend | Class::Simd | Class::Saturate) => false,
        (Class::Multiply, Class::Multiply | Class::Store { .. })
        | (Class::Store { .. }, Class::Multiply | Class::Store { .. }) => false,
        (Class::Shift | Class::Shifted, Class::Shifted) => false,
        (_, Class::Shifted) => older.shifted.is_empty(),
        (
            Class::Load {
                offset: Some(first),
                ..
            },
            Class::Load {
                offset: Some(second),
                ..
            },
        ) => {
            let words_apart = (second - first).rem_euclid(8);
            older.address == younger.address && older.updated.is_empty() && words_apart == 4
        }
        (Class::Load { .. }, Class::Load { .. }) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Timing, codes};
    use super::MISPREDICTION;

    #[test]
    fn costs_what_the_sources_say() {
        let cases: &[(&str, &[[u16; 2]], u64)] = &[
            ("mov r0, r1; mov r2, r3", &[[0x4608, 0], [0x461a, 0]], 1),
            (
                "add.w r0, r0, r1; add.w r0, r0, r1",
                &[[0xeb00, 0x0001], [0xeb00, 0x0001]],
                2,
            ),
            (
                "add.w r0, r1, r2; ldr r4, [r3]",
                &[[0xeb01, 0x0002], [0x681c, 0]],
                1,
            ),
            (
                "add.w r0, r1, r2; ldr r4, [r0]",
                &[[0xeb01, 0x0002], [0x6804, 0]],
                2,
            ),
            (
                "eor.w r0, r1, r2; ldr r4, [r0]",
                &[[0xea81, 0x0002], [0x6804, 0]],
                3,
            ),
            (
                "ldr r0, [r4]; ldr r1, [r4, #4]",
                &[[0x6820, 0], [0x6861, 0]],
                1,
            ),
            (
                "ldr r0, [r4]; ldr r1, [r4, #8]",
                &[[0x6820, 0], [0x68a1, 0]],
                2,
            ),
            (
                "ldr r0, [r4]; ldr r1, [r5, #4]",
                &[[0x6820, 0], [0x6869, 0]],
                2,
            ),
            (
                "ldr r0, [r4], #8; ldr r1, [r4, #4]",
                &[[0xf854, 0x0b08], [0x6861, 0]],
                2,
            ),
            (
                "ldr r0, [r1]; add.w r2, r2, r0",
                &[[0x6808, 0], [0xeb02, 0x0200]],
                2,
            ),
            (
                "ldr r0, [r1]; add.w r2, r2, r0, lsl #2",
                &[[0x6808, 0], [0xeb02, 0x0280]],
                3,
            ),
            ("ldr r0, [r1]; ldr r2, [r0]", &[[0x6808, 0], [0x6802, 0]], 3),
            (
                "ldr r0, [r1]; mul r2, r0, r3",
                &[[0x6808, 0], [0xfb00, 0xf203]],
                3,
            ),
            (
                "ldrb r0, [r1]; add.w r2, r2, r0",
                &[[0x7808, 0], [0xeb02, 0x0200]],
                3,
            ),
            (
                "ldrb r0, [r1]; ldr r2, [r0]",
                &[[0x7808, 0], [0x6802, 0]],
                4,
            ),
            ("ldr r0, [r1]; str r0, [r2]", &[[0x6808, 0], [0x6010, 0]], 1),
            ("str r0, [r1]; str r2, [r3]", &[[0x6008, 0], [0x601a, 0]], 2),
            (
                "mul r0, r1, r2; str r3, [r4]",
                &[[0xfb01, 0xf002], [0x6023, 0]],
                2,
            ),
            (
                "mul r0, r1, r2; mul r3, r1, r2",
                &[[0xfb01, 0xf002], [0xfb01, 0xf302]],
                2,
            ),
            (
                "mul r0, r1, r2; add.w r3, r1, r2",
                &[[0xfb01, 0xf002], [0xeb01, 0x0302]],
                1,
            ),
            (
                "mul r0, r1, r2; add.w r3, r0, r2",
                &[[0xfb01, 0xf002], [0xeb00, 0x0302]],
                3,
            ),
            (
                "smlad r0, r1, r2, r0; smlad r0, r3, r4, r0",
                &[[0xfb21, 0x0002], [0xfb23, 0x0004]],
                2,
            ),
            (
                "sxtb16 r0, r1; smlad r2, r3, r4, r2",
                &[[0xfa2f, 0xf081], [0xfb23, 0x2204]],
                1,
            ),
            (
                "smlad r2, r3, r4, r2; sxtb16 r0, r1",
                &[[0xfb23, 0x2204], [0xfa2f, 0xf081]],
                2,
            ),
            (
                "sxtb16 r0, r1; sxtb16 r2, r3",
                &[[0xfa2f, 0xf081], [0xfa2f, 0xf283]],
                2,
            ),
            (
                "sxtb16 r0, r1; add.w r2, r3, r4, lsl #2",
                &[[0xfa2f, 0xf081], [0xeb03, 0x0284]],
                1,
            ),
            (
                "pkhbt r0, r1, r2, lsl #16; add.w r2, r3, r4, lsl #2",
                &[[0xeac1, 0x4002], [0xeb03, 0x0284]],
                2,
            ),
            (
                "add.w r0, r1, r2, lsl #2; add.w r3, r4, r5, lsl #2",
                &[[0xeb01, 0x0082], [0xeb04, 0x0385]],
                2,
            ),
            (
                "usat r0, #8, r1; add.w r2, r2, r0",
                &[[0xf381, 0x0008], [0xeb02, 0x0200]],
                3,
            ),
            ("ldm r0!, {r1, r2}", &[[0xc806, 0]], 1),
            ("pop {r4-r11, pc}", &[[0xe8bd, 0x8ff0]], 5),
            (
                "ldrd r0, r1, [r2]; add.w r3, r4, r5",
                &[[0xe9d2, 0x0100], [0xeb04, 0x0305]],
                2,
            ),
            ("udiv r0, r1, r2", &[[0xfbb1, 0xf0f2]], 7),
            ("cmp r0, r1; bne #8", &[[0x4288, 0], [0xd104, 0]], 1),
        ];
        for &(name, code, expected) in cases {
            assert_eq!(
                Timing::CortexM7.cost(0, &codes(code)).unwrap().cycles,
                expected,
                "{name}"
            );
        }
    }

    /// Sixteen products of `dsp_product.s`, as other cores have them: two loads, a wait,
    /// and eight products, beside which both extractions are issued.
    #[test]
    fn costs_what_is_expected_of_a_loop_for_one_at_a_time() {
        let step = [
            [0xc806, 0],
            [0xce18, 0],
            [0xfb21, 0xaa04],
            [0xfb21, 0x5503],
            [0xfa2f, 0xf181],
            [0xfb22, 0xcc04],
            [0xfb22, 0x8803],
            [0xfa2f, 0xf282],
            [0xfb21, 0xbb04],
            [0xfb21, 0x7703],
            [0xfb22, 0xee04],
            [0xfb22, 0x9903],
        ];
        assert_eq!(
            Timing::CortexM7
                .cost(0, &codes(&step.repeat(32)))
                .unwrap()
                .cycles,
            32 * 11
        );
    }

    /// The same as this core has them: nothing but eight products takes a cycle.
    #[test]
    fn costs_what_is_expected_of_a_loop_for_two_at_once() {
        let step = [
            [0xfb21, 0xaa04],
            [0xf850, 0x2b04],
            [0xfb21, 0x5503],
            [0xfa2f, 0xf181],
            [0xfb22, 0xcc04],
            [0xfb22, 0x8803],
            [0xfa2f, 0xf282],
            [0xfb21, 0xbb04],
            [0xfb21, 0x7703],
            [0xf850, 0x1b04],
            [0xfb22, 0xee04],
            [0xf8d6, 0x4004],
            [0xfb22, 0x9903],
            [0xf856, 0x3b08],
        ];
        assert_eq!(
            Timing::CortexM7
                .cost(0, &codes(&step.repeat(32)))
                .unwrap()
                .cycles,
            32 * 8
        );
    }

    #[test]
    fn misses_conditions_only() {
        let miss = |code| Timing::CortexM7.cost(0, &codes(&[code])).unwrap().miss;
        assert_eq!(miss([0xd104, 0]), MISPREDICTION, "bne");
        assert_eq!(miss([0xb326, 0]), MISPREDICTION, "cbz r6");
        assert_eq!(miss([0xe104, 0]), 0, "b");
        assert_eq!(miss([0x4770, 0]), 0, "bx lr");
    }

    #[test]
    fn predicts_all_but_what_is_computed() {
        let change = |code| Timing::CortexM7.cost(0, &codes(&[code])).unwrap().change;
        assert_eq!(change([0xd104, 0]), 0, "bne");
        assert_eq!(change([0x4770, 0]), 0, "bx lr");
        assert_eq!(change([0xbdf0, 0]), 0, "pop {{r4-r7, pc}}");
        assert_eq!(change([0x4718, 0]), MISPREDICTION, "bx r3");
        assert_eq!(change([0xf8dd, 0xf024]), MISPREDICTION, "ldr pc, [sp, #36]");
        assert_eq!(
            change([0xe89d, 0x801e]),
            MISPREDICTION,
            "ldm sp, {{.., pc}}"
        );
    }
}
