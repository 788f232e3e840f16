//! Cycles of instructions on a Cortex-M55.
//!
//! Source: LLVM's scheduling model of the core (`llvm/lib/Target/ARM/ARMScheduleM55.td`),
//! whose comments tell of the pipelines. In order, one instruction is issued a cycle;
//! two if both have one halfword and one of them is no operation, a condition, a branch,
//! MOV, an extension, or ADD or SUB of a constant. An instruction on vectors is two
//! beats of one of three pipes (loads and stores, integers, floats and products), so
//! the next one can begin a cycle later if it is for another pipe, and two cycles later
//! if it is for the same.
//!
//! Where the model is silent this estimate assumes, so as not to say too little:
//!
//! - a cycle for each register of several that are loaded or stored, and for each eight
//!   bytes of several vectors;
//! - a division as on the Cortex-M4;
//! - three cycles to go on elsewhere, which the model gives for a branch that was not
//!   foreseen, and none for the end of a low-overhead loop but when it is met first;
//! - two cycles before any bit field's or parallel sum's result, as most of them have.
//!
//! Vectors whose elements have an address each cost what others do, as in the model,
//! but their addresses are wanted four cycles before. A load may have to wait for the
//! store two cycles before it (github.com/slothy-optimizer/slothy, `cortex_m55r1.py`);
//! that is not counted.

use super::Cost;
use super::slots::Slots;
use crate::decode::{Class, Flow, Instruction, Pipe, Registers};

/// Cycles to fill the pipeline after a branch.
const REFILL: u64 = 3;

/// The most that a division takes a Cortex-M4.
const DIVISION: u64 = 12;

/// How many cycles before other operands a vector of addresses is wanted.
const GATHER: u64 = 4;

pub(super) fn cost(instructions: &[Instruction]) -> Cost {
    match instructions.split_last() {
        Some((last, body)) if matches!(last.flow, Flow::Loop { .. }) => {
            // What a turn costs is what another one adds: its beginning overlaps with
            // the end of the one before.
            let mut pipeline = Pipeline::default();
            pipeline.issue_all(body);
            let first = pipeline.slots.cycle;
            pipeline.issue_all(body);
            Cost {
                cycles: pipeline.slots.cycle - first,
                jump: 0,
                change: 1 + REFILL,
                ..Cost::default()
            }
        }
        last => {
            let mut pipeline = Pipeline::default();
            pipeline.issue_all(instructions);
            let goes_on = last.is_none_or(|(last, _)| last.flow == Flow::Next);
            Cost {
                cycles: pipeline.slots.cycle,
                jump: if goes_on { 0 } else { REFILL },
                ..Cost::default()
            }
        }
    }
}

/// In which cycle an instruction that reads a register can be issued.
#[derive(Clone, Copy, Default)]
struct Ready {
    /// If it stores it.
    stored: u64,
    other: u64,
}

struct Pipeline<'a> {
    ready: [Ready; Registers::COUNT],
    /// From when the pipes are free.
    access: u64,
    integer: u64,
    product: u64,
    control: u64,
    slots: Slots<'a>,
}

impl Default for Pipeline<'_> {
    fn default() -> Self {
        Self {
            ready: [Ready::default(); Registers::COUNT],
            access: 0,
            integer: 0,
            product: 0,
            control: 0,
            slots: Slots::default(),
        }
    }
}

impl<'a> Pipeline<'a> {
    fn issue_all(&mut self, instructions: &'a [Instruction]) {
        for instruction in instructions {
            self.issue(instruction);
        }
    }

    fn issue(&mut self, instruction: &'a Instruction) {
        let wanted = self.wanted(instruction);
        let issued = self
            .slots
            .issue(instruction, wanted, cycles(instruction), pairs);
        let at = issued.cycle;
        if let Class::Vector(vector) = instruction.class {
            *self.pipe(vector.pipe) = at + u64::from(vector.beats);
        }
        self.finish(instruction, at);
    }

    fn pipe(&mut self, pipe: Pipe) -> &mut u64 {
        match pipe {
            Pipe::Access => &mut self.access,
            Pipe::Integer => &mut self.integer,
            Pipe::Product => &mut self.product,
            Pipe::IntegerOrProduct if self.integer <= self.product => &mut self.integer,
            Pipe::IntegerOrProduct => &mut self.product,
            Pipe::Control => &mut self.control,
        }
    }

    /// The first cycle in which all that an instruction reads can be read, and its pipe
    /// is free.
    fn wanted(&mut self, instruction: &Instruction) -> u64 {
        let free = match instruction.class {
            Class::Vector(vector) => *self.pipe(vector.pipe),
            _ => 0,
        };
        let latest = |registers: Registers| {
            let ready = registers.numbers().map(|number| self.ready[number].other);
            ready.max().unwrap_or(0)
        };
        let operands = instruction.operands
            | instruction.shifted
            | instruction.address
            | instruction.accumulator;
        let addresses = instruction.address.vectors();
        let gathered = match addresses.is_empty() {
            true => 0,
            false => latest(addresses) + GATHER,
        };
        let stored = instruction.stored.numbers();
        let stored = stored.map(|number| self.ready[number].stored).max();
        free.max(latest(operands))
            .max(gathered)
            .max(stored.unwrap_or(0))
    }

    fn finish(&mut self, instruction: &Instruction, at: u64) {
        let is_multiple = matches!(instruction.class, Class::Multiple { .. });
        let latency = match instruction.class {
            Class::Load { .. }
            | Class::Multiple { .. }
            | Class::Multiply
            | Class::Shifted
            | Class::Simd
            | Class::Saturate
            | Class::System => 2,
            Class::Divide => DIVISION,
            Class::Vector(vector) => u64::from(vector.latency),
            _ => 1,
        };
        // A result of the third stage is forwarded to what stores it.
        let is_forwarded = matches!(instruction.class, Class::Vector(_)) && latency == 2;
        for (order, number) in instruction.results.numbers().enumerate() {
            let other = at + latency + if is_multiple { order as u64 } else { 0 };
            self.ready[number] = Ready {
                stored: other - u64::from(is_forwarded),
                other,
            };
        }
        for number in instruction.updated.numbers() {
            let next = at + 1;
            self.ready[number] = Ready {
                stored: next,
                other: next,
            };
        }
    }
}

/// Cycles in which nothing can be issued that does not join it.
fn cycles(instruction: &Instruction) -> u64 {
    match instruction.class {
        Class::Multiple { registers } => u64::from(registers).max(1),
        Class::Divide => DIVISION,
        Class::TableBranch => 2,
        _ => 1,
    }
}

/// Whether two instructions can be issued in one cycle.
fn pairs(older: &Instruction, younger: &Instruction) -> bool {
    let joins = |instruction: &Instruction| match instruction.class {
        Class::Hint | Class::Move | Class::Extend => true,
        Class::Branch => instruction.flow.is_direct(),
        _ => false,
    };
    let is_narrow = !older.is_wide && !younger.is_wide;
    is_narrow && cycles(older) == 1 && cycles(younger) == 1 && (joins(older) || joins(younger))
}

#[cfg(test)]
mod tests {
    use super::super::{Cost, Timing, codes};

    #[test]
    fn costs_what_the_model_says() {
        let cases: &[(&str, &[[u16; 2]], u64)] = &[
            (
                "vldrw.u32 q0, [r0]; vadd.i32 q1, q0, q2; vmul.i32 q3, q1, q2; vstrw.32 q3, [r1]",
                &[
                    [0xed90, 0x1f00],
                    [0xef20, 0x2844],
                    [0xef22, 0x6954],
                    [0xed81, 0x7f00],
                ],
                4,
            ),
            (
                "vldrw.u32 q0, [r0]; vldrb.u32 q4, [r2]; vadd.i32 q1, q0, q4; vstrw.32 q1, [r1]",
                &[
                    [0xed90, 0x1f00],
                    [0xfd92, 0x8f00],
                    [0xef20, 0x2848],
                    [0xed81, 0x3f00],
                ],
                5,
            ),
            (
                "vldrb.u8 q0, [r3]; vmladava.s8 r0, q0, q4; vldrb.u8 q1, [r3, #16]; vmladava.s8 r2, q1, q4",
                &[
                    [0xed93, 0x1e00],
                    [0xeef0, 0x0f28],
                    [0xed93, 0x3e10],
                    [0xeef2, 0x2f28],
                ],
                4,
            ),
            (
                "vldrb.u8 q0, [r3]; vldrb.u8 q1, [r3, #16]; vmladava.s8 r0, q0, q4; vmladava.s8 r2, q1, q4",
                &[
                    [0xed93, 0x1e00],
                    [0xed93, 0x3e10],
                    [0xeef0, 0x0f28],
                    [0xeef2, 0x2f28],
                ],
                6,
            ),
            (
                "vmladava.s8 r0, q0, q1; mov.w r1, r2; mov.w r3, r0",
                &[[0xeef0, 0x0f22], [0xea4f, 0x0102], [0xea4f, 0x0300]],
                3,
            ),
            (
                "vmul.i32 q0, q1, q2; vstrw.32 q0, [r1]",
                &[[0xef22, 0x0954], [0xed81, 0x1f00]],
                2,
            ),
            (
                "vmul.i32 q0, q1, q2; vadd.i32 q0, q0, q2",
                &[[0xef22, 0x0954], [0xef20, 0x0844]],
                3,
            ),
            (
                "vqmovnb.s16 q0, q1; vstrb.8 q0, [r1]",
                &[[0xee33, 0x0e03], [0xed81, 0x1e00]],
                4,
            ),
            (
                "vmovlb.u8 q0, q1; vldrb.u16 q2, [r0, q0]",
                &[[0xfea8, 0x0f42], [0xfc90, 0x4e80]],
                6,
            ),
            (
                "vmov q0[2], q0[0], r0, r4; vmov q1[2], q1[0], r2, r6",
                &[[0xec14, 0x0f00], [0xec16, 0x2f02]],
                2,
            ),
            ("mov r0, r1; ldr r2, [r3]", &[[0x4608, 0], [0x681a, 0]], 1),
            (
                "mov.w r0, r1; ldr r2, [r3]",
                &[[0xea4f, 0x0001], [0x681a, 0]],
                2,
            ),
            ("mov r0, r1; ldr r2, [r0]", &[[0x4608, 0], [0x6802, 0]], 2),
            (
                "adds r0, r1, r2; adds r3, r4, r5",
                &[[0x1888, 0], [0x1963, 0]],
                2,
            ),
            ("ldr r0, [r1]; add r2, r0", &[[0x6808, 0], [0x4402, 0]], 3),
            (
                "mul r0, r1, r2; add r3, r0",
                &[[0xfb01, 0xf002], [0x4403, 0]],
                3,
            ),
            (
                "add.w r0, r1, r2, lsl #2; add r3, r0",
                &[[0xeb01, 0x0082], [0x4403, 0]],
                3,
            ),
            ("ldm r0!, {r1, r2, r3, r4}", &[[0xc81e, 0]], 4),
            (
                "vpush {d8-d15}; vldrb.u8 q0, [r0]",
                &[[0xed2d, 0x8b10], [0xed90, 0x1e00]],
                9,
            ),
        ];
        for &(name, code, expected) in cases {
            assert_eq!(
                Timing::CortexM55.cost(0, &codes(code)).unwrap().cycles,
                expected,
                "{name}"
            );
        }
    }

    /// 128 products of `helium_product.s`: two cycles each of eight instructions, beside
    /// which all loads are issued.
    #[test]
    fn costs_what_is_expected_of_the_inner_loop() {
        let vector = [
            [0xecb1, 0x7e10],
            [0xeef2, 0x6f20],
            [0xecb3, 0x3e10],
            [0xeef4, 0xef20],
            [0xecb3, 0x5e10],
            [0xeef2, 0x0f26],
            [0xecb1, 0x1e10],
            [0xeef4, 0x8f26],
            [0xecb1, 0x7e10],
            [0xeef2, 0x2f20],
            [0xeef4, 0xaf20],
            [0xecb1, 0x1e10],
            [0xeef2, 0x4f26],
            [0xeef4, 0xcf26],
        ];
        assert_eq!(
            Timing::CortexM55.cost(0, &codes(&vector)).unwrap().cycles,
            16
        );
        assert_eq!(
            Timing::CortexM55
                .cost(0, &codes(&vector.repeat(8)))
                .unwrap()
                .cycles,
            8 * 16
        );
    }

    #[test]
    fn ends_a_loop_for_nothing_but_the_first_time() {
        // vldrb.8 q0, [r4], #16; vstrb.8 q0, [r5], #64; letp or bne
        let body = [[0xecb4, 0x1e10], [0xeca5, 0x1e40]];
        let with = |end| {
            Timing::CortexM55
                .cost(0, &codes(&[body[0], body[1], end]))
                .unwrap()
        };
        let expected = Cost {
            cycles: 4,
            jump: 0,
            change: 4,
            ..Cost::default()
        };
        assert_eq!(with([0xf01f, 0xc007]), expected, "letp");
        let expected = Cost {
            cycles: 4,
            jump: 3,
            ..Cost::default()
        };
        assert_eq!(with([0xd1fa, 0]), expected, "bne");
    }
}
