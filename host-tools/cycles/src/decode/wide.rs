//! Instructions of two halfwords: which table they are in, and loads and stores of the
//! core's registers.

use super::control::CONTROL;
use super::float::FLOATS;
use super::memory::{Moved, Place, one, several};
use super::pattern::{Row, look_up, row};
use super::processing::{CONSTANTS, PRODUCTS, REGISTERS, SHIFTED};
use super::vector::{VECTOR_ACCESS, VECTOR_PAIRS, VECTORS};
use super::{Class, Code, Flow, Instruction, NONE, Registers};

pub(super) fn wide(code: Code) -> Option<Instruction> {
    let rows = match code.field(24, 8) {
        0xe8 | 0xe9 => SEVERAL,
        0xea | 0xeb => SHIFTED,
        0xf0..=0xf7 if code.has(15) => CONTROL,
        0xf0..=0xf7 => CONSTANTS,
        0xf8 | 0xf9 => SINGLE,
        0xfa => REGISTERS,
        0xfb => PRODUCTS,
        // The coprocessors 8 to 11, and all others.
        group => match (code.field(8, 4), group) {
            (_, 0xef | 0xff) => VECTORS,
            (8, 0xfc | 0xfd) | (14 | 15, 0xec | 0xed | 0xfc | 0xfd) => VECTOR_ACCESS,
            (14 | 15, _) => VECTOR_PAIRS,
            (9..=11, _) => FLOATS,
            _ => return None,
        },
    };
    look_up(rows, code)
}

/// Several registers, and exclusive access.
const SEVERAL: &[Row] = &[
    // SG
    row("1110 1001 0111 1111 | 1110 1001 0111 1111", |_| {
        Some(system(NONE, NONE))
    }),
    // CLRM
    row("1110 1000 1001 1111 | rr0r rrrr rrrr rrrr", |code| {
        let list = code.field(0, 16);
        let flags = if list >> 15 == 1 {
            Registers::FLAGS
        } else {
            NONE
        };
        (list != 0).then(|| system(NONE, Registers::list(list & 0x7fff) | flags))
    }),
    // STM, LDM, STMDB, LDMDB
    row("1110 1000 10wl nnnn | rrrr rrrr rrrr rrrr", |code| {
        list(code, false)
    }),
    row("1110 1001 00wl nnnn | rrrr rrrr rrrr rrrr", |code| {
        list(code, true)
    }),
    // TT and its kin
    row("1110 1000 0100 nnnn | 1111 dddd at00 0000", |code| {
        Some(system(code.core(16), code.core(8)))
    }),
    // STREX, LDREX
    row("1110 1000 0100 nnnn | tttt dddd iiii iiii", |code| {
        let offset = code.field(0, 8).cast_signed() * 4;
        Some(exclusive(code, 4, offset, Some(8)))
    }),
    row("1110 1000 0101 nnnn | tttt 1111 iiii iiii", |code| {
        let offset = code.field(0, 8).cast_signed() * 4;
        Some(exclusive(code, 4, offset, None))
    }),
    // TBB, TBH
    row("1110 1000 1101 nnnn | 1111 0000 000h mmmm", |code| {
        let mut branch = Instruction::new(Class::TableBranch, NONE, NONE);
        branch.address = code.core(16) | code.core(0);
        let entry_bytes = if code.has(4) { 2 } else { 1 };
        Some(branch.with_flow(Flow::Table { entry_bytes }))
    }),
    // STREXB, STREXH, LDREXB, LDREXH
    row("1110 1000 1100 nnnn | tttt 1111 010h dddd", |code| {
        exclusive_part(code, Some(0))
    }),
    row("1110 1000 1101 nnnn | tttt 1111 010h 1111", |code| {
        exclusive_part(code, None)
    }),
    // STL, LDA and their kin, and STLEX, LDAEX
    row("1110 1000 110l nnnn | tttt 1111 10zz 1111", |code| {
        exclusive_part(code, None)
    }),
    row("1110 1000 1100 nnnn | tttt 1111 11zz dddd", |code| {
        exclusive_part(code, Some(0))
    }),
    row("1110 1000 1101 nnnn | tttt 1111 11zz 1111", |code| {
        exclusive_part(code, None)
    }),
    // STRD, LDRD
    row("1110 1000 u11l nnnn | tttt ssss iiii iiii", pair),
    row("1110 1001 u1wl nnnn | tttt ssss iiii iiii", pair),
];

fn system(operands: Registers, results: Registers) -> Instruction {
    Instruction::new(Class::System, operands, results)
}

fn list(code: Code, is_before: bool) -> Option<Instruction> {
    let (is_load, is_kept) = (code.has(20), code.has(21));
    let (base, list) = (code.field(16, 4), code.field(0, 16));
    // Neither the stack pointer nor both ways to return, nor a store of the program
    // counter.
    let is_wrong = list & 0x2000 != 0 || !is_load && list & 0x8000 != 0 || list >> 14 == 3;
    if base == 15 || is_wrong || list == 0 {
        return None;
    }
    let bytes = list.count_ones().cast_signed() * 4;
    let mut place = Place::indexed(
        base,
        if is_before { -bytes } else { bytes },
        is_before,
        is_kept,
    );
    if is_before {
        place.offset = Some(-bytes);
    }
    Some(several(is_load, Moved::List(list as u16), place))
}

fn pair(code: Code) -> Option<Instruction> {
    let (is_before, is_kept, base) = (code.has(24), code.has(21), code.field(16, 4));
    let (low, high) = (code.field(12, 4), code.field(8, 4));
    if base == 15 && (is_kept || !code.has(20)) {
        return None;
    }
    if matches!(low, 13 | 15) || matches!(high, 13 | 15) {
        return None;
    }
    let distance = signed(code.field(0, 8), code.has(23)) * 4;
    let place = Place::indexed(base, distance, is_before, is_kept);
    Some(several(
        code.has(20),
        Moved::Pair(low as u8, high as u8),
        place,
    ))
}

fn signed(amount: u32, is_positive: bool) -> i32 {
    let amount = amount.cast_signed();
    if is_positive { amount } else { -amount }
}

/// Exclusive and ordered access; a store tells by a register whether it was done.
fn exclusive(code: Code, bytes: u8, offset: i32, told: Option<u32>) -> Instruction {
    let place = Place::at(code.field(16, 4), offset);
    let mut instruction = one(code.has(20), bytes, Some(code.field(12, 4)), place);
    instruction.class = Class::System;
    if let Some(at) = told {
        instruction.results |= code.core(at);
        // What is stored is kept, but nothing tells of a word in a stack's slot.
        instruction.value = super::Value::Unknown;
    }
    instruction
}

fn exclusive_part(code: Code, told: Option<u32>) -> Option<Instruction> {
    let bytes = [1, 2, 4, 8][code.field(4, 2) as usize];
    Some(exclusive(code, bytes, 0, told))
}

/// One register.
const SINGLE: &[Row] = &[
    // Relative to the program counter. Bytes and halfwords to it are hints.
    row("1111 100s uzz1 1111 | tttt iiii iiii iiii", |code| {
        let distance = signed(code.field(0, 12), code.has(23));
        single(code, Place::at(15, distance))
    }),
    row("1111 100s 1zzl nnnn | tttt iiii iiii iiii", |code| {
        single(
            code,
            Place::at(code.field(16, 4), code.field(0, 12).cast_signed()),
        )
    }),
    row("1111 100s 0zzl nnnn | tttt 0000 00ii mmmm", |code| {
        single(code, Place::sum(code.field(16, 4), code.core(0)))
    }),
    // With a negative offset, and unprivileged
    row("1111 100s 0zzl nnnn | tttt 1100 iiii iiii", |code| {
        single(
            code,
            Place::at(code.field(16, 4), -code.field(0, 8).cast_signed()),
        )
    }),
    row("1111 100s 0zzl nnnn | tttt 1110 iiii iiii", |code| {
        if code.field(12, 4) == 15 {
            return None;
        }
        single(
            code,
            Place::at(code.field(16, 4), code.field(0, 8).cast_signed()),
        )
    }),
    // Indexed before or after
    row("1111 100s 0zzl nnnn | tttt 1pu1 iiii iiii", |code| {
        let distance = signed(code.field(0, 8), code.has(9));
        let (is_before, is_word) = (code.has(10), code.field(21, 2) == 2);
        if code.field(12, 4) == 15 && !is_word {
            return None;
        }
        single(
            code,
            Place::indexed(code.field(16, 4), distance, is_before, true),
        )
    }),
];

fn single(code: Code, place: Place) -> Option<Instruction> {
    let is_load = code.has(20);
    let bytes = 1_u8 << code.field(21, 2);
    let is_signed = code.has(24);
    let register = code.field(12, 4);
    // Words have no sign, and only loads extend one.
    if is_signed && (bytes == 4 || !is_load) || place.base == 15 && !is_load {
        return None;
    }
    if register == 15 && (!is_load || bytes == 2) {
        // PLDW is of cores that share memory, and the rest is no hint.
        return None;
    }
    let is_hint = register == 15 && bytes < 4;
    Some(one(is_load, bytes, (!is_hint).then_some(register), place))
}
