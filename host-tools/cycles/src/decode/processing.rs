//! Data processing in the core's registers.

use super::pattern::{Row, row};
use super::{Class, Code, FLAGS, Instruction, NONE, Registers, Value, extract};

/// Instructions that set the flags if bit S is set.
fn flags(code: Code) -> Registers {
    if code.has(20) { FLAGS } else { NONE }
}

/// The carry, for ADC and SBC.
fn carry(operation: u32) -> Registers {
    if matches!(operation, 10 | 11) {
        FLAGS
    } else {
        NONE
    }
}

/// `class` if an operation is an addition or a subtraction.
fn arithmetic(operation: u32, class: Class) -> Class {
    match operation {
        8 | 13 => class,
        _ => Class::Logic,
    }
}

/// Whether a result is dropped, so that only the flags matter: TST, TEQ, CMN, CMP. None
/// if the result would go to the program counter.
fn is_comparison(code: Code) -> Option<bool> {
    let is_comparison = code.field(8, 4) == 15;
    let compares = matches!(code.field(21, 4), 0 | 4 | 8 | 13) && code.has(20);
    (!is_comparison || compares).then_some(is_comparison)
}

/// The second operand is a register, perhaps shifted.
pub(super) const SHIFTED: &[Row] = &[
    // Shifts of one register, and of two whose first has an even number: by a constant,
    // then by a register.
    row("1110 1010 0101 nnnn | 0iii 1111 iitt 1111", |code| {
        Some(long_shift(code.core(16), NONE))
    }),
    row("1110 1010 0101 nnn0 | 0iii hhh1 iizz 1111", two_by_constant),
    row("1110 1010 0101 nnn1 | 0iii hhh1 iitt 1111", two_by_constant),
    row("1110 1010 0101 nnnn | mmmm 1111 00t0 1101", |code| {
        Some(long_shift(code.core(16), code.core(12)))
    }),
    row("1110 1010 0101 nnn0 | mmmm hhh1 00t0 1101", two_by_register),
    row("1110 1010 0101 nnn1 | mmmm hhh1 v0t0 1101", two_by_register),
    // CSEL, CSINC, CSINV, CSNEG
    row("1110 1010 0101 nnnn | 10oo dddd cccc mmmm", |code| {
        let operands = code.core_unless_pc(16) | code.core_unless_pc(0) | FLAGS;
        let is_wrong = operands.meets(Registers::SP)
            || matches!(code.field(8, 4), 13 | 15)
            || code.field(4, 4) >= 14;
        (!is_wrong).then(|| Instruction::new(Class::Logic, operands, code.core(8)))
    }),
    // MOV and shifts, MVN
    row("1110 1010 010s 1111 | 0iii dddd iitt mmmm", |code| {
        let (result, right) = (code.core(8) | flags(code), code.core(0));
        if code.field(8, 4) == 15 {
            return None;
        }
        Some(match code.bits() & 0x70f0 {
            0 => Instruction::new(Class::Move, right, result)
                .with_value(Value::Copy(code.field(0, 4) as u8)),
            // RRX
            0x30 => Instruction::new(Class::Shift, right | FLAGS, result),
            _ => Instruction::new(Class::Shift, right, result),
        })
    }),
    row("1110 1010 00?s nnnn | 0iii dddd iitt mmmm", shifted),
    row("1110 1010 01?s nnnn | 0iii dddd iitt mmmm", shifted),
    row("1110 1010 100s nnnn | 0iii dddd iitt mmmm", shifted),
    // PKHBT, PKHTB
    row("1110 1010 1100 nnnn | 0iii dddd iit0 mmmm", |code| {
        Some(extract(code.core(16), code.core(0), code.core(8)))
    }),
    // ADD, ADC, SBC, SUB, RSB
    row("1110 1011 000s nnnn | 0iii dddd iitt mmmm", shifted),
    row("1110 1011 01?s nnnn | 0iii dddd iitt mmmm", shifted),
    row("1110 1011 101s nnnn | 0iii dddd iitt mmmm", shifted),
    row("1110 1011 110s nnnn | 0iii dddd iitt mmmm", shifted),
];

fn shifted(code: Code) -> Option<Instruction> {
    let operation = code.field(21, 4);
    let result = match is_comparison(code)? {
        true => FLAGS,
        false => code.core(8) | flags(code),
    };
    // MVN has no first operand.
    let left = match (operation, code.field(16, 4)) {
        (3, 15) => NONE,
        (_, 15) => return None,
        (_, number) => Registers::core(number),
    };
    let (left, right) = (left | carry(operation), code.core(0));
    let instruction = if code.bits() & 0x70f0 == 0 {
        let class = arithmetic(operation, Class::Add);
        Instruction::new(class, left | right, result)
    } else {
        Instruction::new(Class::Shifted, left, result).with_shifted(right)
    };
    Some(match operation {
        8 => {
            let total = Value::Total(code.field(16, 4) as u8, code.field(0, 4) as u8);
            instruction.with_value(total)
        }
        _ => instruction,
    })
}

fn two_by_constant(code: Code) -> Option<Instruction> {
    Some(long_shift(two(code)?, NONE))
}

fn two_by_register(code: Code) -> Option<Instruction> {
    Some(long_shift(two(code)?, code.core(12)))
}

/// The two registers that a long shift is of. The odd one is none of the last two.
fn two(code: Code) -> Option<Registers> {
    let (low, high) = (code.field(17, 3) << 1, code.field(9, 3) << 1 | 1);
    (high < 13).then(|| Registers::core(low) | Registers::core(high))
}

fn long_shift(shifted: Registers, count: Registers) -> Instruction {
    Instruction::new(Class::Shifted, shifted | count, shifted)
}

/// The second operand is a constant.
pub(super) const CONSTANTS: &[Row] = &[
    // MOV, MVN
    row("1111 0i00 010s 1111 | 0iii dddd iiii iiii", |code| {
        modified(code, NONE, Value::Constant)
    }),
    row("1111 0i00 011s 1111 | 0iii dddd iiii iiii", |code| {
        modified(code, NONE, |constant| Value::Constant(!constant))
    }),
    // ADD, SUB
    row("1111 0i01 000s nnnn | 0iii dddd iiii iiii", |code| {
        let register = code.field(16, 4) as u8;
        modified(code, code.core(16), |constant| {
            Value::Sum(register, constant.cast_signed())
        })
    }),
    row("1111 0i01 101s nnnn | 0iii dddd iiii iiii", |code| {
        let register = code.field(16, 4) as u8;
        modified(code, code.core(16), |constant| {
            Value::Sum(register, constant.wrapping_neg().cast_signed())
        })
    }),
    // AND, BIC, ORR, ORN, EOR, ADC, SBC, RSB
    row("1111 0i00 0oos nnnn | 0iii dddd iiii iiii", other_modified),
    row("1111 0i00 100s nnnn | 0iii dddd iiii iiii", other_modified),
    row("1111 0i01 01?s nnnn | 0iii dddd iiii iiii", other_modified),
    row("1111 0i01 110s nnnn | 0iii dddd iiii iiii", other_modified),
    // ADR before and after
    row("1111 0i10 1010 1111 | 0iii dddd iiii iiii", |code| {
        let value = Value::Address(-plain(code).cast_signed());
        Some(Instruction::new(Class::Move, NONE, code.core(8)).with_value(value))
    }),
    row("1111 0i10 0000 1111 | 0iii dddd iiii iiii", |code| {
        let value = Value::Address(plain(code).cast_signed());
        Some(Instruction::new(Class::Move, NONE, code.core(8)).with_value(value))
    }),
    // ADDW, SUBW
    row("1111 0i10 0000 nnnn | 0iii dddd iiii iiii", |code| {
        let value = Value::Sum(code.field(16, 4) as u8, plain(code).cast_signed());
        Some(Instruction::new(Class::Move, code.core(16), code.core(8)).with_value(value))
    }),
    row("1111 0i10 1010 nnnn | 0iii dddd iiii iiii", |code| {
        let value = Value::Sum(code.field(16, 4) as u8, -plain(code).cast_signed());
        Some(Instruction::new(Class::Move, code.core(16), code.core(8)).with_value(value))
    }),
    // MOVW, and MOVT, which keeps a half
    row("1111 0i10 0100 iiii | 0iii dddd iiii iiii", |code| {
        let constant = code.field(16, 4) << 12 | plain(code);
        let value = Value::Constant(constant);
        Some(Instruction::new(Class::Move, NONE, code.core(8)).with_value(value))
    }),
    row("1111 0i10 1100 iiii | 0iii dddd iiii iiii", |code| {
        let half = code.field(16, 4) << 12 | plain(code);
        let value = Value::UpperHalf(half as u16);
        Some(Instruction::new(Class::Move, code.core(8), code.core(8)).with_value(value))
    }),
    // SSAT, USAT, and by halves
    row("1111 0011 u0?0 nnnn | 0iii dddd ii0b bbbb", |code| {
        let by_halves = code.has(21) && code.bits() & 0x70c0 == 0;
        if by_halves && code.has(4) {
            return None;
        }
        let extract = extract(NONE, code.core(16), code.core(8));
        Some(Instruction {
            class: Class::Saturate,
            ..extract
        })
    }),
    // SBFX, UBFX
    row("1111 0011 u100 nnnn | 0iii dddd ii0b bbbb", |code| {
        Some(extract(NONE, code.core(16), code.core(8)))
    }),
    // BFC, BFI
    row("1111 0011 0110 nnnn | 0iii dddd ii0b bbbb", |code| {
        let (from, to) = (code.field(12, 3) << 2 | code.field(6, 2), code.field(0, 5));
        (from <= to).then(|| extract(code.core(8), code.core_unless_pc(16), code.core(8)))
    }),
];

/// A constant of twelve bits as it stands.
fn plain(code: Code) -> u32 {
    code.field(26, 1) << 11 | code.field(12, 3) << 8 | code.field(0, 8)
}

/// The constant that twelve bits of a code stand for, and whether it is shifted.
fn modified_constant(code: Code) -> (u32, bool) {
    let (kind, low) = (plain(code) >> 8, code.field(0, 8));
    let constant = match kind {
        0 => low,
        1 => low << 16 | low,
        2 => low << 24 | low << 8,
        3 => low * 0x0101_0101,
        _ => (low | 0x80).rotate_right(kind << 1 | low >> 7),
    };
    (constant, kind >= 4)
}

fn modified(code: Code, operands: Registers, value: impl Fn(u32) -> Value) -> Option<Instruction> {
    let (constant, is_shifted) = modified_constant(code);
    let operation = code.field(21, 4);
    let class = match operation {
        _ if is_shifted => Class::Shifted,
        2 => Class::Move,
        _ => arithmetic(operation, Class::Move),
    };
    if code.field(16, 4) == 15 && matches!(operation, 8 | 13) {
        return None;
    }
    Some(match is_comparison(code)? {
        true => Instruction::new(class, operands, FLAGS),
        false => Instruction::new(class, operands, code.core(8) | flags(code))
            .with_value(value(constant)),
    })
}

fn other_modified(code: Code) -> Option<Instruction> {
    if code.field(16, 4) == 15 {
        return None;
    }
    modified(code, code.core(16) | carry(code.field(21, 4)), |_| {
        Value::Unknown
    })
}

/// The operands are registers.
pub(super) const REGISTERS: &[Row] = &[
    // Shifts by a register
    row("1111 1010 0tts nnnn | 1111 dddd 0000 mmmm", |code| {
        let result = code.core(8) | flags(code);
        Some(Instruction::new(
            Class::Shift,
            code.core(16) | code.core(0),
            result,
        ))
    }),
    // Extension, alone and with an addition
    row("1111 1010 00?u 1111 | 1111 dddd 10rr mmmm", extension),
    row("1111 1010 010u 1111 | 1111 dddd 10rr mmmm", extension),
    row("1111 1010 00?u nnnn | 1111 dddd 10rr mmmm", extension),
    row("1111 1010 010u nnnn | 1111 dddd 10rr mmmm", extension),
    // Sums by parts: plain, which set flags, then saturated, then halved
    row("1111 1010 1zzz nnnn | 1111 dddd 0u00 mmmm", |code| {
        parts(code, Class::Simd, FLAGS)
    }),
    row("1111 1010 1zzz nnnn | 1111 dddd 0u01 mmmm", |code| {
        parts(code, Class::Saturate, NONE)
    }),
    row("1111 1010 1zzz nnnn | 1111 dddd 0u10 mmmm", |code| {
        parts(code, Class::Simd, NONE)
    }),
    // QADD, QSUB, and with the second operand doubled
    row("1111 1010 1000 nnnn | 1111 dddd 10?0 mmmm", |code| {
        let both = code.core(16) | code.core(0);
        Some(Instruction::new(Class::Saturate, both, code.core(8)))
    }),
    row("1111 1010 1000 nnnn | 1111 dddd 10?1 mmmm", |code| {
        let extract = extract(NONE, code.core(16) | code.core(0), code.core(8));
        Some(Instruction {
            class: Class::Saturate,
            ..extract
        })
    }),
    // REV, REV16, RBIT, REVSH, which have their operand twice
    row("1111 1010 1001 nnnn | 1111 dddd 10oo mmmm", |code| {
        let is_twice = code.field(16, 4) == code.field(0, 4);
        is_twice.then(|| extract(NONE, code.core(0), code.core(8)))
    }),
    // SEL
    row("1111 1010 1010 nnnn | 1111 dddd 1000 mmmm", |code| {
        let operands = code.core(16) | code.core(0) | FLAGS;
        Some(Instruction::new(Class::Simd, operands, code.core(8)))
    }),
    // CLZ, as REV
    row("1111 1010 1011 nnnn | 1111 dddd 1000 mmmm", |code| {
        let is_twice = code.field(16, 4) == code.field(0, 4);
        is_twice.then(|| Instruction::new(Class::Simd, code.core(0), code.core(8)))
    }),
];

fn extension(code: Code) -> Option<Instruction> {
    let (right, result) = (code.core(0), code.core(8));
    Some(match code.field(16, 4) {
        15 => Instruction::new(Class::Extend, right, result),
        left => extract(Registers::core(left), right, result),
    })
}

fn parts(code: Code, class: Class, flags: Registers) -> Option<Instruction> {
    // By bytes, halves, or crosswise.
    let is_known = matches!(code.field(20, 3), 0 | 1 | 2 | 4 | 5 | 6);
    let both = code.core(16) | code.core(0);
    is_known.then(|| Instruction::new(class, both, code.core(8) | flags))
}

/// Products, quotients and sums of differences.
pub(super) const PRODUCTS: &[Row] = &[
    // MLA, MUL, MLS
    row("1111 1011 0000 nnnn | aaaa dddd 0000 mmmm", product),
    row(
        "1111 1011 0000 nnnn | aaaa dddd 0001 mmmm",
        accumulating_product,
    ),
    // SMLABB and its kin, SMLAD, SMLAWB, SMLSD, SMMLA, SMMLS
    row("1111 1011 0001 nnnn | aaaa dddd 00tt mmmm", product),
    row("1111 1011 0010 nnnn | aaaa dddd 000x mmmm", product),
    row("1111 1011 0011 nnnn | aaaa dddd 000t mmmm", product),
    row("1111 1011 0100 nnnn | aaaa dddd 000x mmmm", product),
    row("1111 1011 0101 nnnn | aaaa dddd 000r mmmm", product),
    row(
        "1111 1011 0110 nnnn | aaaa dddd 000r mmmm",
        accumulating_product,
    ),
    // USADA8, USAD8
    row("1111 1011 0111 nnnn | aaaa dddd 0000 mmmm", |code| {
        product(code).map(|product| Instruction {
            class: Class::Saturate,
            ..product
        })
    }),
    // SDIV, UDIV
    row("1111 1011 10u1 nnnn | 1111 dddd 1111 mmmm", |code| {
        let both = code.core(16) | code.core(0);
        Some(Instruction::new(Class::Divide, both, code.core(8)))
    }),
    // SMULL, UMULL
    row("1111 1011 10u0 nnnn | llll hhhh 0000 mmmm", |code| {
        Some(long_product(code))
    }),
    // SMLAL, UMLAL, SMLALBB and its kin, SMLALD, SMLSLD, UMAAL
    row(
        "1111 1011 11u0 nnnn | llll hhhh 0000 mmmm",
        long_accumulation,
    ),
    row(
        "1111 1011 1100 nnnn | llll hhhh 10tt mmmm",
        long_accumulation,
    ),
    row(
        "1111 1011 110s nnnn | llll hhhh 110x mmmm",
        long_accumulation,
    ),
    row(
        "1111 1011 1110 nnnn | llll hhhh 0110 mmmm",
        long_accumulation,
    ),
];

fn product(code: Code) -> Option<Instruction> {
    let both = code.core(16) | code.core(0);
    let product = Instruction::new(Class::Multiply, both, code.core(8));
    let product = product.with_accumulator(code.core_unless_pc(12));
    // With the program counter as result these are pointer authentication.
    (code.field(8, 4) != 15).then_some(product)
}

fn accumulating_product(code: Code) -> Option<Instruction> {
    (code.field(12, 4) != 15).then(|| product(code))?
}

fn long_product(code: Code) -> Instruction {
    let both = code.core(16) | code.core(0);
    Instruction::new(Class::Multiply, both, code.core(12) | code.core(8))
}

fn long_accumulation(code: Code) -> Option<Instruction> {
    let product = long_product(code);
    Some(product.with_accumulator(product.results))
}
