//! Branches of two halfwords, low-overhead loops, and special registers.

use super::pattern::{Row, row};
use super::vector::predicate;
use super::{Class, Code, FLAGS, Flow, Instruction, NONE, Registers, Special, jump, sign_extend};

pub(super) const CONTROL: &[Row] = &[
    // MSR
    row("1111 0011 1000 nnnn | 1000 mm00 ssss ssss", |code| {
        Some(write_special(code, code.core(16)))
    }),
    // NOP and other hints; DBG
    row("1111 0011 1010 1111 | 1000 0000 iiii iiii", hint),
    // CLREX, DSB, DMB, ISB
    row("1111 0011 1011 1111 | 1000 1111 0010 1111", |_| {
        Some(system(NONE, NONE))
    }),
    row("1111 0011 1011 1111 | 1000 1111 010o iiii", |_| {
        Some(system(NONE, NONE))
    }),
    row("1111 0011 1011 1111 | 1000 1111 0110 iiii", |_| {
        Some(system(NONE, NONE))
    }),
    // MRS
    row("1111 0011 1110 1111 | 1000 dddd ssss ssss", |code| {
        Some(system(NONE, code.core(8)))
    }),
    // UDF
    row("1111 0111 1111 iiii | 1010 iiii iiii iiii", |_| {
        Some(system(NONE, NONE).with_flow(Flow::Stop))
    }),
    // B with a condition, of which the last two are none
    row("1111 0szz zcii iiii | 10j0 jiii iiii iiii", conditional),
    // B, BL
    row("1111 0sii iiii iiii | 10j1 jiii iiii iiii", |code| {
        Some(jump(NONE, offset(code), false))
    }),
    row("1111 0sii iiii iiii | 11j1 jiii iiii iiii", |code| {
        let flow = Flow::Call {
            offset: offset(code),
        };
        let call = Instruction::new(Class::Branch, NONE, Registers::LR);
        Some(call.with_flow(flow))
    }),
    // LE, LETP, without a count, and LCTP
    row("1111 0000 0010 1111 | 1100 kiii iiii iii1", |code| {
        Some(loop_end(code, NONE))
    }),
    row("1111 0000 0000 1111 | 1100 kiii iiii iii1", |code| {
        Some(loop_end(code, Registers::LR))
    }),
    row("1111 0000 0001 1111 | 1100 kiii iiii iii1", |code| {
        Some(loop_end(code, Registers::LR))
    }),
    row("1111 0000 0000 1111 | 1110 0000 0000 0001", |_| {
        Some(Instruction::new(Class::Logic, NONE, NONE))
    }),
    // WLS, WLSTP; DLS, DLSTP
    row("1111 0000 0zzz nnnn | 1100 kiii iiii iii1", |code| {
        let is_known = code.field(20, 3) <= 4 && code.field(16, 4) != 15;
        let mut start = jump(code.core(16), loop_offset(code), true);
        start.results = Registers::LR;
        is_known.then_some(start)
    }),
    row("1111 0000 0zzz nnnn | 1110 0000 0000 0001", |code| {
        let is_known = code.field(20, 3) <= 4 && code.field(16, 4) != 15;
        let start = Instruction::new(Class::Logic, code.core(16), Registers::LR);
        is_known.then_some(start)
    }),
    // VCTP
    row("1111 0000 00ss nnnn | 1110 1000 0000 0001", |code| {
        (code.field(16, 4) != 15).then(|| predicate(code.core(16), Registers::VPR))
    }),
];

fn system(operands: Registers, results: Registers) -> Instruction {
    Instruction::new(Class::System, operands, results)
}

fn write_special(code: Code, operands: Registers) -> Instruction {
    // MSP, PSP and CONTROL, their limits, and what secure code has of the other state.
    let special = match (code.field(0, 8), code.field(0, 8) & 0x7f) {
        (8, _) => Special::MainStack,
        (_, 8 | 9 | 20 | 24) => Special::Stack,
        (_, 10 | 11) => Special::StackLimit,
        _ => Special::Other,
    };
    let flags = match code.field(0, 8) {
        0..=3 if code.field(10, 2) != 0 => FLAGS,
        _ => NONE,
    };
    Instruction {
        special: Some(special),
        ..system(operands, flags)
    }
}

/// NOP and its kin, which do nothing that matters here. Pointer authentication reads the
/// stack pointer and the link register.
fn hint(code: Code) -> Option<Instruction> {
    let hint = |operands, results| Some(Instruction::new(Class::Hint, operands, results));
    let signed = Registers::SP | Registers::LR;
    match code.field(0, 8) {
        // PACBTI and PAC, AUT
        13 | 29 => hint(signed, Registers::core(12)),
        45 => hint(signed | Registers::core(12), NONE),
        _ => hint(NONE, NONE),
    }
}

fn conditional(code: Code) -> Option<Instruction> {
    let value = code.field(26, 1) << 20
        | code.field(11, 1) << 19
        | code.field(13, 1) << 18
        | code.field(16, 6) << 12
        | code.field(0, 11) << 1;
    Some(jump(FLAGS, sign_extend(value, 21), true))
}

/// The offset of B and BL.
fn offset(code: Code) -> i32 {
    let sign = code.field(26, 1);
    let (high, low) = (code.field(13, 1) ^ sign ^ 1, code.field(11, 1) ^ sign ^ 1);
    let value = sign << 24 | high << 23 | low << 22 | code.field(16, 10) << 12;
    sign_extend(value | code.field(0, 11) << 1, 25)
}

fn loop_offset(code: Code) -> i32 {
    (code.field(1, 10) << 2 | code.field(11, 1) << 1).cast_signed()
}

fn loop_end(code: Code, count: Registers) -> Instruction {
    let offset = -loop_offset(code);
    Instruction::new(Class::Branch, count, count).with_flow(Flow::Loop { offset })
}
