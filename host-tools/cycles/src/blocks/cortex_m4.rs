//! Cycles of instructions on a Cortex-M4.
//!
//! Sources: Arm Cortex-M4 Technical Reference Manual (DDI 0439), sections 3.3.1
//! "Cortex-M4 instructions" and 3.3.2 "Load/store timings", and where the manual gives a
//! range or is silent, what published measurements at zero wait states say:
//!
//! - a load takes two cycles, or one if the next instruction loads from the same memory
//!   and needs neither its result nor its moved base; a NOP behind it is free. What is
//!   read relative to the program counter is in the memory of the code, all else is taken
//!   to be in another one;
//! - a load behind a store waits two cycles for it (fitted);
//! - a store takes one cycle, or two if its offset is in a register;
//! - an address that the instruction before computed is wanted a cycle earlier;
//! - a taken branch takes a cycle more, CBZ and CBNZ, and branches to an address in a
//!   register or from memory, two; and two more if the target is a long instruction that
//!   does not begin on a word;
//! - code comes a word a cycle into a buffer of three words; a branch that is not taken
//!   loses one of them;
//! - IT takes no cycle behind a short instruction;
//! - VMLA and its kin take three cycles, VDIV and VSQRT fourteen, and a load of floats one
//!   and one a word.
//!
//! A division is taken to need the most that the manual says, since its operands are not
//! known. Not counted: instructions that a condition leaves out are taken to be executed,
//! access is taken to be aligned, and constants are taken to be read as fast as variables,
//! which some chips' flash does not.

use super::Cost;
use crate::decode::{Class, Flow, Instruction, Registers, Value};

/// The most that a division takes; the manual says two to twelve.
const DIVISION: u64 = 12;
/// Cycles that a load behind a store waits.
const LOAD_BEHIND_STORE: u64 = 2;
/// More cycles of a jump to a long instruction that does not begin on a word.
const OFF_WORD: u64 = 2;
/// Halfwords that the fetch buffer holds.
const BUFFER: u64 = 6;

/// The cost of a block that begins at an address.
pub(super) fn cost(address: u64, instructions: &[Instruction]) -> Cost {
    cost_by(address, instructions, cycles)
}

/// The same with another rule for the cycles of an instruction behind another one.
pub(super) fn cost_by(
    address: u64,
    instructions: &[Instruction],
    cycles: fn(&Instruction, Option<&Instruction>) -> u64,
) -> Cost {
    let is_off_word = address & 2 != 0;
    let is_long = instructions.first().is_some_and(|first| first.is_wide);
    // What was fetched when the first instruction is decoded: after a jump the word with
    // the target, and with a long one off the word, for whose second half is waited, two.
    let by_jump = match (is_off_word, is_long) {
        (true, true) => 3,
        (true, false) => 1,
        (false, _) => 2,
    };
    let in_sequence = issue(address, instructions, BUFFER - 2, cycles);
    let jumped = issue(address, instructions, by_jump, cycles);
    let wait = if is_off_word && is_long { OFF_WORD } else { 0 };
    Cost {
        cycles: in_sequence,
        jump: instructions.last().map_or(0, refill),
        entered: (jumped + wait).saturating_sub(in_sequence),
        ..Cost::default()
    }
}

/// Cycles of a block whose first halfwords are fetched.
fn issue(
    mut address: u64,
    instructions: &[Instruction],
    mut fetched: u64,
    cycles: fn(&Instruction, Option<&Instruction>) -> u64,
) -> u64 {
    let mut all = 0;
    let mut before = None;
    for instruction in instructions {
        let halfwords = u64::from(instruction.bytes() / 2);
        while fetched < halfwords {
            fetched += 2;
            all += 1;
        }
        let own = cycles(instruction, before);
        all += own;
        address += 2 * halfwords;
        // Only whole words are free.
        let room = BUFFER - (address / 2) % 2;
        fetched = (fetched - halfwords + 2 * own).min(room);
        before = Some(instruction);
    }
    all
}

/// Cycles to go on elsewhere.
fn refill(last: &Instruction) -> u64 {
    match last.flow {
        Flow::Next | Flow::Stop => 0,
        // CBZ and CBNZ compare a register themselves.
        Flow::Jump {
            is_conditional: true,
            ..
        } if !last.operands.meets(Registers::FLAGS) => 2,
        Flow::Jump { .. } | Flow::Call { .. } | Flow::Loop { .. } => 1,
        Flow::Return | Flow::Computed | Flow::ComputedCall | Flow::Table { .. } => 2,
    }
}

pub(super) fn cycles(instruction: &Instruction, before: Option<&Instruction>) -> u64 {
    let address = instruction.address;
    let class = before.map(|before| before.class);
    // No result is forwarded to an address.
    let stall = before.is_some_and(|before| !is_access(before) && address.meets(before.results));
    let is_behind_load = matches!(class, Some(Class::Load { .. }));
    let needs = |before: &Instruction| address.meets(before.results | before.updated);
    let overlaps = is_behind_load && !before.is_some_and(needs);
    let is_of_code = |instruction: &Instruction| instruction.address == Registers::PC;
    let is_same_memory = before.is_some_and(|before| is_of_code(before) == is_of_code(instruction));
    let is_behind_store = matches!(class, Some(Class::Store { .. }));
    match instruction.class {
        Class::Divide => DIVISION,
        Class::Load { .. } if overlaps && is_same_memory => 1,
        Class::Load { .. } if is_behind_store => 2 + LOAD_BEHIND_STORE,
        Class::Load { .. } => 2 + u64::from(stall),
        Class::Store { .. } if overlaps => 1,
        // The write buffer takes it, and only an offset in a register takes time.
        Class::Store { offset } => 1 + u64::from(offset.is_none()) + u64::from(stall),
        Class::Multiple { registers } => 1 + u64::from(registers),
        Class::TableBranch => 3,
        Class::Hint if is_behind_load && instruction.conditions == 0 => 0,
        Class::Hint if instruction.conditions > 0 => {
            u64::from(before.is_none_or(|before| before.is_wide))
        }
        Class::Vector(vector) => floats(instruction, vector.latency),
        _ => 1,
    }
}

/// Cycles of floats.
fn floats(instruction: &Instruction, latency: u8) -> u64 {
    const LONG: u8 = 14;
    let sums = instruction.operands.meets(instruction.results);
    match instruction.memory {
        Some(memory) => 1 + u64::from(memory.bytes.div_ceil(4)),
        None if latency >= LONG => LONG.into(),
        None if sums && instruction.value == Value::Unknown => 3,
        None => 1,
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
    use super::super::{Cost, Timing, codes};

    fn cost(address: u64, code: &[[u16; 2]]) -> Cost {
        Timing::CortexM4.cost(address, &codes(code)).unwrap()
    }

    #[test]
    fn costs_what_the_sources_say() {
        let cases: &[(&str, &[[u16; 2]], u64)] = &[
            ("adds r0, r1, r2", &[[0x1888, 0]], 1),
            ("ldr r0, [r1]", &[[0x6808, 0]], 2),
            ("ldr r0, [r1]; ldr r2, [r3]", &[[0x6808, 0], [0x681a, 0]], 3),
            ("ldr r0, [r1]; ldr r2, [r0]", &[[0x6808, 0], [0x6802, 0]], 4),
            (
                "ldr r0, [r1], #8; ldr r2, [r1]",
                &[[0xf851, 0x0b08], [0x680a, 0]],
                4,
            ),
            ("ldr r0, [pc]; ldr r2, [r3]", &[[0x4800, 0], [0x681a, 0]], 4),
            ("ldr r0, [r1]; nop", &[[0x6808, 0], [0xbf00, 0]], 2),
            ("ldr r0, [r1]; str r0, [r3]", &[[0x6808, 0], [0x6018, 0]], 3),
            ("str r0, [r3]; ldr r0, [r1]", &[[0x6018, 0], [0x6808, 0]], 5),
            ("str r0, [r1]", &[[0x6008, 0]], 1),
            ("str r0, [r1, r2]", &[[0x5088, 0]], 2),
            ("adds r1, #1; ldr r0, [r1]", &[[0x3101, 0], [0x6808, 0]], 4),
            ("adds r2, #1; ldr r0, [r1]", &[[0x3201, 0], [0x6808, 0]], 3),
            ("ldm r0!, {r1, r2}", &[[0xc806, 0]], 3),
            ("push {r4-r7, lr}", &[[0xb5f0, 0]], 6),
            ("pop {r4-r7, pc}", &[[0xbdf0, 0]], 6),
            ("push.w {r4-r11, lr}", &[[0xe92d, 0x4ff0]], 10),
            ("ldrd r1, r0, [r5, #136]", &[[0xe9d5, 0x1022]], 3),
            ("ldr.w r9, [r5, #32]", &[[0xf8d5, 0x9020]], 2),
            ("ldm.w sp, {r1-r4, pc}", &[[0xe89d, 0x801e]], 6),
            ("tbb [pc, r0]", &[[0xe8df, 0xf000]], 3),
            ("udiv r0, r0, r1", &[[0xfbb0, 0xf0f1]], 12),
            ("smlad r5, r1, r3, r5", &[[0xfb21, 0x5503]], 1),
            ("bl", &[[0xf003, 0xfcaa]], 1),
            ("bne", &[[0xd11c, 0]], 1),
            ("msr primask, r0", &[[0xf380, 0x8810]], 1),
            ("adds r0, r1, r2; it eq", &[[0x1888, 0], [0xbf08, 0]], 1),
            (
                "smlad r5, r1, r3, r5; it eq",
                &[[0xfb21, 0x5503], [0xbf08, 0]],
                2,
            ),
            ("vmla.f32 s1, s1, s2", &[[0xee40, 0x0a81]], 3),
            ("vdiv.f32 s0, s1, s2", &[[0xee80, 0x0a81]], 14),
            ("vldr s0, [r0]", &[[0xed90, 0x0a00]], 2),
        ];
        for &(name, code, expected) in cases {
            assert_eq!(cost(0, code).cycles, expected, "{name}");
        }
    }

    #[test]
    fn fills_the_pipeline() {
        let jump = |code| cost(0, &[code]).jump;
        assert_eq!(jump([0xd11c, 0]), 1, "bne");
        assert_eq!(jump([0xf003, 0xfcaa]), 1, "bl");
        assert_eq!(jump([0xb326, 0]), 2, "cbz r6");
        assert_eq!(jump([0x4770, 0]), 2, "bx lr");
        assert_eq!(jump([0xbdf0, 0]), 2, "pop {{r4-r7, pc}}");
        assert_eq!(jump([0x1888, 0]), 0, "adds r0, r1, r2");
    }

    #[test]
    fn waits_for_long_instructions_off_the_word() {
        let smlad = [0xfb21, 0x5503];
        assert_eq!(cost(0, &[smlad; 8]).entered, 0);
        assert_eq!(cost(2, &[smlad; 8]).entered, 2);
        assert_eq!(cost(2, &[[0x1888, 0]]).entered, 0, "adds r0, r1, r2");
        assert_eq!(cost(2, &[smlad; 8]).cycles, 8, "the buffer has them");
    }
}
