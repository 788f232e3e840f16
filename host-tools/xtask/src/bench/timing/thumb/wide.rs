//! Instructions of two halfwords.

use super::vector::{predicate, vector};
use super::{
    Class, FLAGS, Flow, Instruction, NONE, Registers, access, direct, extract, memory, multiple,
};

pub(super) fn wide(first: u32, second: u32) -> Instruction {
    match first >> 8 {
        0xe8 | 0xe9 => wide_multiple(first, second),
        0xea | 0xeb => shifted_register(first, second),
        0xf0..=0xf7 if second >> 15 == 1 => control(first, second),
        0xf0..=0xf7 => constant(first, second),
        0xf8 | 0xf9 => single(first, second),
        0xfa => registers(first, second),
        0xfb => product(first, second),
        _ => vector(first, second),
    }
}

fn wide_multiple(first: u32, second: u32) -> Instruction {
    let base = Registers::field(first, 0, 4);
    let is_load = first >> 4 & 1 == 1;
    let is_updated = first >> 5 & 1 == 1;
    if first & 0x40 == 0 {
        return multiple(is_load, Registers::list(second), base, is_updated);
    }
    if first & 0xfff0 == 0xe8d0 && second & 0xffe0 == 0xf000 {
        let mut branch = Instruction::new(Class::TableBranch, NONE, NONE);
        branch.address = base | Registers::field(second, 0, 4);
        branch.flow = Flow::Computed;
        return branch;
    }
    let both = Registers::field(second, 12, 4) | Registers::field(second, 8, 4);
    if first & 0x0120 == 0 {
        return Instruction::new(Class::System, base, both);
    }
    multiple(is_load, both, base, is_updated)
}

/// Data processing whose second operand is a register, perhaps shifted.
fn shifted_register(first: u32, second: u32) -> Instruction {
    let left = Registers::unless_pc(first, 0);
    let right = Registers::field(second, 0, 4);
    let operation = first >> 5 & 0xf;
    let sets_flags = first >> 4 & 1 == 1;
    if operation == 2 && sets_flags {
        // Not ORRS of such registers, but shifts of one or two, and CSEL and its kin.
        if second & 0xf == 13 || second & 0x800f == 15 {
            return long_shift(first, second);
        }
        if second >> 15 == 1 {
            let operands = left | Registers::unless_pc(second, 0) | FLAGS;
            return Instruction::new(Class::Logic, operands, Registers::field(second, 8, 4));
        }
    }
    let shift = second & 0x70f0;
    let flags = if sets_flags { FLAGS } else { NONE };
    let results = Registers::unless_pc(second, 8) | flags;
    match operation {
        6 => extract(left, right, results),
        // MOV and shifts
        2 if left.is_empty() && shift == 0 => Instruction::new(Class::Move, right, results),
        2 if left.is_empty() => {
            // RRX
            let carry = if shift == 0x30 { FLAGS } else { NONE };
            Instruction::new(Class::Shift, right | carry, results)
        }
        _ => {
            // ADC, SBC
            let carry = if matches!(operation, 10 | 11) {
                FLAGS
            } else {
                NONE
            };
            if shift == 0 {
                let class = arithmetic(operation, Class::Add);
                Instruction::new(class, left | right | carry, results)
            } else {
                let mut instruction = Instruction::new(Class::Shifted, left | carry, results);
                instruction.shifted = right;
                instruction
            }
        }
    }
}

/// Shifts of Armv8.1-M, of one register or of two.
fn long_shift(first: u32, second: u32) -> Instruction {
    let count = match second & 0xf {
        13 => Registers::unless_pc(second, 12),
        _ => NONE,
    };
    let shifted = match second >> 8 & 0xf {
        15 => Registers::field(first, 0, 4),
        high => Registers::field(first & 0xe, 0, 4) | Registers::field(high | 1, 0, 4),
    };
    Instruction::new(Class::Shifted, shifted | count, shifted)
}

/// `class` if it is an addition or a subtraction.
fn arithmetic(operation: u32, class: Class) -> Class {
    match operation {
        8 | 13 => class,
        _ => Class::Logic,
    }
}

/// Branches, and what is among their codes.
fn control(first: u32, second: u32) -> Instruction {
    match second >> 12 & 0b101 {
        // Neither B nor BL, but what the condition's place says otherwise.
        0 if first & 0xfff0 == 0xf3a0 && second & 0xff == 0 => {
            Instruction::new(Class::Hint, NONE, NONE)
        }
        0 if first & 0xffe0 == 0xf3e0 => {
            Instruction::new(Class::System, NONE, Registers::field(second, 8, 4))
        }
        0 if first >> 7 & 7 == 7 => {
            Instruction::new(Class::System, Registers::unless_pc(first, 0), NONE)
        }
        0 => direct(FLAGS),
        4 => hardware_loop(first, second),
        5 => Instruction {
            results: Registers::LR,
            ..direct(NONE)
        },
        _ => direct(NONE),
    }
}

/// Low-overhead loops: WLS, DLS, LE and the same with predicates.
fn hardware_loop(first: u32, second: u32) -> Instruction {
    let count = Registers::unless_pc(first, 0);
    match second {
        0xe801 => predicate(count),
        0xe000.. => Instruction::new(Class::Logic, count, Registers::LR),
        _ if count.is_empty() => Instruction {
            flow: Flow::Loop,
            ..Instruction::new(Class::Branch, Registers::LR, Registers::LR)
        },
        _ => Instruction {
            results: Registers::LR,
            ..direct(count)
        },
    }
}

/// Data processing whose second operand is a constant.
fn constant(first: u32, second: u32) -> Instruction {
    let left = Registers::unless_pc(first, 0);
    let result = Registers::unless_pc(second, 8);
    let operation = first >> 5 & 0xf;
    if first >> 9 & 1 == 0 {
        let is_shifted = first >> 10 & 1 == 1 || second >> 14 & 1 == 1;
        let class = match operation {
            _ if is_shifted => Class::Shifted,
            2 if left.is_empty() => Class::Move,
            _ => arithmetic(operation, Class::Move),
        };
        let carry = if matches!(operation, 10 | 11) {
            FLAGS
        } else {
            NONE
        };
        let flags = if first >> 4 & 1 == 1 { FLAGS } else { NONE };
        return Instruction::new(class, left | carry, result | flags);
    }
    match operation {
        // MOVW, and MOVT, which keeps a half
        2 => Instruction::new(Class::Move, NONE, result),
        6 => Instruction::new(Class::Move, result, result),
        // SSAT, USAT
        8 | 9 | 12 | 13 => Instruction {
            class: Class::Saturate,
            ..extract(NONE, left, result)
        },
        // BFI, BFC
        11 => extract(result, left, result),
        // SBFX, UBFX
        10 | 14 => extract(NONE, left, result),
        _ => Instruction::new(Class::Move, left, result),
    }
}

/// Loads and stores of one register.
fn single(first: u32, second: u32) -> Instruction {
    let base = Registers::field(first, 0, 4);
    let is_load = first >> 4 & 1 == 1;
    let bytes = 1 << (first >> 5 & 3);
    let register = Registers::field(second, 12, 4);
    let (mut address, mut offset, mut updated) = (base, None, NONE);
    if base == Registers::PC {
    } else if first >> 7 & 1 == 1 {
        offset = Some((second & 0xfff) as i32);
    } else if second >> 11 & 1 == 1 {
        let distance = (second & 0xff) as i32;
        // Whether the offset is added at all, and whether its sign is positive.
        offset = Some(match second >> 9 & 3 {
            0 | 1 => 0,
            2 => -distance,
            _ => distance,
        });
        if second >> 8 & 1 == 1 {
            updated = base;
        }
    } else {
        address = address | Registers::field(second, 0, 4);
    }
    // Bytes and halfwords to the program counter are hints.
    let register = match register {
        Registers::PC if bytes < 4 => NONE,
        register => register,
    };
    access(memory(is_load, bytes, offset), register, address, updated)
}

/// Data processing of registers.
fn registers(first: u32, second: u32) -> Instruction {
    let left = Registers::unless_pc(first, 0);
    let right = Registers::field(second, 0, 4);
    let result = Registers::field(second, 8, 4);
    if first >> 7 & 1 == 0 {
        let flags = if first >> 4 & 1 == 1 { FLAGS } else { NONE };
        return match second >> 7 & 1 {
            0 => Instruction::new(Class::Shift, left | right, result | flags),
            _ if left.is_empty() => Instruction::new(Class::Extend, right, result),
            _ => extract(left, right, result),
        };
    }
    let both = left | right;
    if second >> 7 & 1 == 0 {
        return match second >> 4 & 3 {
            0 => Instruction::new(Class::Simd, both, result | FLAGS),
            1 => Instruction::new(Class::Saturate, both, result),
            _ => Instruction::new(Class::Simd, both, result),
        };
    }
    match first >> 4 & 3 {
        // QADD, QSUB, and with the second operand doubled
        0 if second >> 4 & 1 == 0 => Instruction::new(Class::Saturate, both, result),
        0 => Instruction {
            class: Class::Saturate,
            ..extract(NONE, both, result)
        },
        // REV and its kin
        1 => extract(NONE, right, result),
        // SEL
        2 => Instruction::new(Class::Simd, both | FLAGS, result),
        // CLZ
        _ => Instruction::new(Class::Simd, right, result),
    }
}

/// Products, quotients and sums of differences.
fn product(first: u32, second: u32) -> Instruction {
    let both = Registers::field(first, 0, 4) | Registers::field(second, 0, 4);
    let result = Registers::field(second, 8, 4);
    match first >> 4 & 0xf {
        operation @ 0..=7 => Instruction {
            accumulator: Registers::unless_pc(second, 12),
            ..Instruction::new(
                if operation == 7 {
                    Class::Saturate
                } else {
                    Class::Multiply
                },
                both,
                result,
            )
        },
        9 | 11 => Instruction::new(Class::Divide, both, result),
        operation => {
            let results = result | Registers::field(second, 12, 4);
            let accumulates = operation >= 12;
            Instruction {
                accumulator: if accumulates { results } else { NONE },
                ..Instruction::new(Class::Multiply, both, results)
            }
        }
    }
}
