//! Floating point on scalars, and what moves their registers.

use super::memory::{Moved, Place, access};
use super::pattern::{Row, row};
use super::{Class, Code, FLAGS, Float, Instruction, NONE, Pipe, Registers, Vector};

/// Cycles of a Cortex-M55 before a quotient or a root can be read.
const LONG_LATENCY: u8 = 16;

pub(super) const FLOATS: &[Row] = &[
    // VSCCLRM
    row("1110 1100 1d01 1111 | dddd 101s iiii iiii", |code| {
        let registers = listed(code)?;
        Some(vector(Pipe::Access, 1, 1, NONE, registers | Registers::VPR))
    }),
    // VLSTM, VLLDM
    row("1110 1100 0010 nnnn | 0000 1010 0000 0000", |code| {
        lazy(code, false)
    }),
    row("1110 1100 0011 nnnn | 0000 1010 0000 0000", |code| {
        lazy(code, true)
    }),
    // VMOV of two of the core's registers and two singles, or a double
    row("1110 1100 010l tttt | tttt 1010 00m1 mmmm", |code| {
        let first = code.field(0, 4) << 1 | code.field(5, 1);
        let pair = Registers::singles(first, 2);
        (first < 31).then(|| two_words(code, pair).with_float(Float::Single))
    }),
    row("1110 1100 010l tttt | tttt 1011 0001 mmmm", |code| {
        let double = Registers::double(code.field(0, 4));
        Some(two_words(code, double).with_float(Float::Double))
    }),
    // VLDM, VSTM, VPUSH, VPOP
    row("1110 1100 1dwl nnnn | dddd 101s iiii iiii", |code| {
        multiple(code, false)
    }),
    row("1110 1101 0d1l nnnn | dddd 101s iiii iiii", |code| {
        multiple(code, true)
    }),
    // VLDR, VSTR
    row("1110 1101 ud0l nnnn | dddd 10yy iiii iiii", load_or_store),
    // VMOV of a half or a single
    row("1110 1110 000l nnnn | tttt 10zz n001 0000", |code| {
        let float = Registers::single(code.field(16, 4) << 1 | code.field(7, 1));
        let (size, core) = (size(code)?, code.core(12));
        Some(one_word(code, float, core).with_float(size))
    }),
    // VMOV of a vector's lane: 32, 16 or 8 bits
    row("1110 1110 00i0 nnnn | tttt 1011 0001 0000", |code| {
        Some(to_lane(code))
    }),
    row("1110 1110 00i0 nnnn | tttt 1011 0i11 0000", |code| {
        Some(to_lane(code))
    }),
    row("1110 1110 01i0 nnnn | tttt 1011 0ii1 0000", |code| {
        Some(to_lane(code))
    }),
    row("1110 1110 00i1 nnnn | tttt 1011 0001 0000", |code| {
        Some(from_lane(code))
    }),
    row("1110 1110 u0i1 nnnn | tttt 1011 0i11 0000", |code| {
        Some(from_lane(code))
    }),
    row("1110 1110 u1i1 nnnn | tttt 1011 0ii1 0000", |code| {
        Some(from_lane(code))
    }),
    // VDUP
    row("1110 1110 1010 nnn0 | tttt 1011 00h1 0000", |code| {
        Some(duplicate(code))
    }),
    row("1110 1110 1110 nnn0 | tttt 1011 0001 0000", |code| {
        Some(duplicate(code))
    }),
    // VMSR, VMRS: FPSCR and its flags, VPR, P0, and the contexts
    row("1110 1110 111l 0001 | tttt 1010 0001 0000", special),
    row("1110 1110 111l 0010 | tttt 1010 0001 0000", special),
    row("1110 1110 111l 11rr | tttt 1010 0001 0000", special),
    // VMLA, VMLS, VNMLS, VNMLA
    row("1110 1110 0d0? nnnn | dddd 10yy n?m0 mmmm", |code| {
        three(code, true, 2)
    }),
    // VMUL, VNMUL, VADD, VSUB
    row("1110 1110 0d1? nnnn | dddd 10yy n?m0 mmmm", |code| {
        three(code, false, 2)
    }),
    row("1110 1110 1d00 nnnn | dddd 10yy n0m0 mmmm", |code| {
        three(code, false, LONG_LATENCY)
    }),
    // VFNMS, VFNMA, VFMA, VFMS
    row("1110 1110 1d01 nnnn | dddd 10yy n?m0 mmmm", |code| {
        three(code, true, 2)
    }),
    row("1110 1110 1d10 nnnn | dddd 10yy n?m0 mmmm", |code| {
        three(code, true, 2)
    }),
    // VMOV of a constant, and of a register
    row("1110 1110 1d11 iiii | dddd 10yy 0000 iiii", |code| {
        let size = size(code)?;
        Some(scalar(NONE, destination(code, size)?, size, 2))
    }),
    row("1110 1110 1d11 0000 | dddd 101s 01m0 mmmm", |code| {
        two(code, 2)
    }),
    // VABS, VNEG, VSQRT
    row("1110 1110 1d11 0000 | dddd 10yy 11m0 mmmm", |code| {
        two(code, 2)
    }),
    row("1110 1110 1d11 0001 | dddd 10yy 01m0 mmmm", |code| {
        two(code, 2)
    }),
    row("1110 1110 1d11 0001 | dddd 10yy 11m0 mmmm", |code| {
        two(code, LONG_LATENCY)
    }),
    // VCVTB, VCVTT from halves, then to a half of a register
    row("1110 1110 1d11 0010 | dddd 101s t1m0 mmmm", |code| {
        let size = size(code)?;
        Some(scalar(
            source(code, Float::Half)?,
            destination(code, size)?,
            size,
            2,
        ))
    }),
    row("1110 1110 1d11 0011 | dddd 101s t1m0 mmmm", |code| {
        let size = size(code)?;
        let result = destination(code, Float::Half)?;
        Some(scalar(source(code, size)? | result, result, size, 2))
    }),
    // VCMP, with a register and with zero
    row("1110 1110 1d11 0100 | dddd 10yy e1m0 mmmm", |code| {
        let size = size(code)?;
        let both = source(code, size)? | destination(code, size)?;
        Some(scalar(both, Registers::STATUS, size, 2))
    }),
    row("1110 1110 1d11 0101 | dddd 10yy e100 0000", |code| {
        let size = size(code)?;
        Some(scalar(destination(code, size)?, Registers::STATUS, size, 2))
    }),
    // VRINTR, VRINTZ, VRINTX
    row("1110 1110 1d11 0110 | dddd 10yy ?1m0 mmmm", |code| {
        two(code, 2)
    }),
    row("1110 1110 1d11 0111 | dddd 10yy 01m0 mmmm", |code| {
        two(code, 2)
    }),
    // VCVT between single and double
    row("1110 1110 1d11 0111 | dddd 1010 11m0 mmmm", |code| {
        let from = source(code, Float::Single)?;
        Some(scalar(
            from,
            destination(code, Float::Double)?,
            Float::Double,
            2,
        ))
    }),
    row("1110 1110 1d11 0111 | dddd 1011 11m0 mmmm", |code| {
        let from = source(code, Float::Double)?;
        Some(scalar(
            from,
            destination(code, Float::Single)?,
            Float::Double,
            2,
        ))
    }),
    // VCVT from integers, to integers, and of fixed-point numbers
    row("1110 1110 1d11 1000 | dddd 10yy s1m0 mmmm", |code| {
        let size = size(code)?;
        Some(scalar(
            source(code, Float::Single)?,
            destination(code, size)?,
            size,
            2,
        ))
    }),
    row("1110 1110 1d11 110? | dddd 10yy ?1m0 mmmm", to_integer),
    row("1110 1110 1d11 1?1u | dddd 10yy x1i0 iiii", |code| {
        let size = size(code)?;
        let both = destination(code, size)?;
        Some(scalar(both, both, size, 2))
    }),
    // VSEL, VMAXNM, VMINNM
    row("1111 1110 0dcc nnnn | dddd 10yy n0m0 mmmm", |code| {
        let mut select = three(code, false, 2)?;
        select.operands |= FLAGS;
        Some(select)
    }),
    row("1111 1110 1d00 nnnn | dddd 10yy n?m0 mmmm", |code| {
        three(code, false, 2)
    }),
    // VMOVX, VINS
    row("1111 1110 1d11 0000 | dddd 1010 01m0 mmmm", |code| {
        let size = Float::Half;
        Some(scalar(
            source(code, size)?,
            destination(code, size)?,
            size,
            2,
        ))
    }),
    row("1111 1110 1d11 0000 | dddd 1010 11m0 mmmm", |code| {
        let result = destination(code, Float::Half)?;
        Some(scalar(
            source(code, Float::Half)? | result,
            result,
            Float::Half,
            2,
        ))
    }),
    // VRINTA and its kin, VCVTA and its kin
    row("1111 1110 1d11 10rr | dddd 10yy 01m0 mmmm", |code| {
        two(code, 2)
    }),
    row("1111 1110 1d11 11rr | dddd 10yy s1m0 mmmm", to_integer),
];

/// The size that the coprocessor's number stands for.
fn size(code: Code) -> Option<Float> {
    match code.field(8, 2) {
        1 => Some(Float::Half),
        2 => Some(Float::Single),
        3 => Some(Float::Double),
        _ => None,
    }
}

/// A register whose number is in four bits from `at` and in the bit `rest`.
fn register(code: Code, size: Float, at: u32, rest: u32) -> Option<Registers> {
    let (four, one) = (code.field(at, 4), code.field(rest, 1));
    match size {
        // There are only sixteen.
        Float::Double => (one == 0).then(|| Registers::double(four)),
        _ => Some(Registers::single(four << 1 | one)),
    }
}

fn destination(code: Code, size: Float) -> Option<Registers> {
    register(code, size, 12, 22)
}

fn source(code: Code, size: Float) -> Option<Registers> {
    register(code, size, 0, 5)
}

fn vector(
    pipe: Pipe,
    beats: u8,
    latency: u8,
    operands: Registers,
    results: Registers,
) -> Instruction {
    let vector = Vector {
        pipe,
        beats,
        latency,
    };
    Instruction::new(Class::Vector(vector), operands, results)
}

fn scalar(operands: Registers, results: Registers, size: Float, latency: u8) -> Instruction {
    vector(Pipe::Product, 1, latency, operands, results).with_float(size)
}

/// Two operands; `adds` if the result is another one.
fn three(code: Code, adds: bool, latency: u8) -> Option<Instruction> {
    let size = size(code)?;
    let result = destination(code, size)?;
    let both = register(code, size, 16, 7)? | source(code, size)?;
    let operands = if adds { both | result } else { both };
    Some(scalar(operands, result, size, latency))
}

/// One operand.
fn two(code: Code, latency: u8) -> Option<Instruction> {
    let size = size(code)?;
    Some(scalar(
        source(code, size)?,
        destination(code, size)?,
        size,
        latency,
    ))
}

fn to_integer(code: Code) -> Option<Instruction> {
    let size = size(code)?;
    Some(scalar(
        source(code, size)?,
        destination(code, Float::Single)?,
        size,
        2,
    ))
}

/// Whether the transfer is to the core.
fn is_to_core(code: Code) -> bool {
    code.has(20)
}

fn one_word(code: Code, float: Registers, core: Registers) -> Instruction {
    match is_to_core(code) {
        true => vector(Pipe::Product, 1, 1, float, core),
        false => vector(Pipe::Product, 1, 2, core, float),
    }
}

fn two_words(code: Code, floats: Registers) -> Instruction {
    one_word(code, floats, code.core(16) | code.core(12))
}

fn lane(code: Code) -> Registers {
    Registers::vector(code.field(17, 3))
}

fn to_lane(code: Code) -> Instruction {
    let vector_register = lane(code);
    let operands = code.core(12) | vector_register;
    vector(Pipe::IntegerOrProduct, 2, 1, operands, vector_register)
}

fn from_lane(code: Code) -> Instruction {
    vector(Pipe::Product, 2, 1, lane(code), code.core(12))
}

fn duplicate(code: Code) -> Instruction {
    vector(Pipe::Integer, 2, 1, code.core(12), lane(code))
}

fn special(code: Code) -> Option<Instruction> {
    let special = match code.field(16, 4) {
        12 | 13 => Registers::VPR,
        _ => Registers::STATUS,
    };
    let is_flags = code.field(16, 4) == 1 && code.field(12, 4) == 15 && is_to_core(code);
    let core = match is_flags {
        true => FLAGS,
        false if code.field(12, 4) == 15 => return None,
        false => code.core(12),
    };
    Some(one_word(code, special, core))
}

/// The registers of VLDM and its kin: `iiii iiii` words from the first on.
fn listed(code: Code) -> Option<Registers> {
    let words = code.field(0, 8);
    let first = match code.has(8) {
        // The odd number is an old form that moves the same registers.
        true if code.has(22) => return None,
        true => code.field(12, 4) << 1,
        false => code.field(12, 4) << 1 | code.field(22, 1),
    };
    let words = if code.has(8) { words & !1 } else { words };
    (words > 0 && first + words <= 32).then(|| Registers::singles(first, words))
}

fn multiple(code: Code, is_before: bool) -> Option<Instruction> {
    let (is_load, is_kept, base) = (code.has(20), code.has(21), code.field(16, 4));
    if base == 15 && (is_kept || is_load) {
        return None;
    }
    let registers = listed(code)?;
    let words = code.field(0, 8);
    let bytes = words.cast_signed() * 4;
    let mut place = Place::indexed(
        base,
        if is_before { -bytes } else { bytes },
        is_before,
        is_kept,
    );
    place.offset = Some(if is_before { -bytes } else { 0 });
    let mut moved = moved(is_load, words, registers, place);
    // What a function saves are bits, not floats.
    if base != 13 {
        moved = moved.with_float(if code.has(8) {
            Float::Double
        } else {
            Float::Single
        });
    }
    Some(moved)
}

fn load_or_store(code: Code) -> Option<Instruction> {
    let size = size(code)?;
    let (unit, words) = match size {
        Float::Half => (2, 1),
        Float::Double => (4, 2),
        _ => (4, 1),
    };
    let distance = code.field(0, 8).cast_signed() * unit;
    let distance = if code.has(23) { distance } else { -distance };
    let (is_load, base) = (code.has(20), code.field(16, 4));
    if base == 15 && !is_load {
        return None;
    }
    let registers = destination(code, size)?;
    let mut moved = moved(is_load, words, registers, Place::at(base, distance));
    if let (Float::Half, Some(memory)) = (size, &mut moved.memory) {
        memory.bytes = 2;
    }
    Some(moved.with_float(size))
}

/// A cycle for each eight bytes.
fn moved(is_load: bool, words: u32, registers: Registers, place: Place) -> Instruction {
    let class = Class::Vector(Vector {
        pipe: Pipe::Access,
        beats: words.div_ceil(2) as u8,
        latency: if is_load { 2 } else { 1 },
    });
    access(class, is_load, 4 * words, registers, Moved::Other, place)
}

/// VLLDM and VLSTM: all floats of the other security state, if it has any.
fn lazy(code: Code, is_load: bool) -> Option<Instruction> {
    let base = code.field(16, 4);
    let all = Registers::singles(0, 32) | Registers::VPR | Registers::STATUS;
    (base != 15).then(|| moved(is_load, 32, all, Place::at(base, 0)))
}
