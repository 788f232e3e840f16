//! Helium: instructions on vectors.
//!
//! Pipes and latencies by LLVM's model of the Cortex-M55, the core that they are for.

use super::memory::{Memory, Moved, Place, access};
use super::pattern::{Row, row};
use super::{Class, Code, Float, Instruction, NONE, Pipe, Registers, Vector};

/// Sets bits of the predicates.
pub(super) fn predicate(operands: Registers, results: Registers) -> Instruction {
    instruction(Pipe::Control, 1, 1, operands, results)
}

fn instruction(
    pipe: Pipe,
    beats: u8,
    latency: u8,
    operands: Registers,
    results: Registers,
) -> Instruction {
    let class = Class::Vector(Vector {
        pipe,
        beats,
        latency,
    });
    Instruction::new(class, operands, results)
}

/// Two beats on the integers' pipe.
fn integer(latency: u8, operands: Registers, results: Registers) -> Instruction {
    instruction(Pipe::Integer, 2, latency, operands, results)
}

/// Two beats on the products' pipe.
fn product(latency: u8, operands: Registers, results: Registers) -> Instruction {
    instruction(Pipe::Product, 2, latency, operands, results)
}

impl Code {
    /// The destination, as a rule.
    const fn qd(self) -> Registers {
        Registers::vector(self.field(13, 3))
    }

    /// The first operand.
    const fn qn(self) -> Registers {
        Registers::vector(self.field(17, 3))
    }

    /// The second one.
    const fn qm(self) -> Registers {
        Registers::vector(self.field(1, 3))
    }

    /// Both operands.
    fn both(self) -> Registers {
        self.qn() | self.qm()
    }

    /// The second operand is one of the core's registers, or zero.
    fn with_core(self) -> Registers {
        self.qn() | self.core_unless_pc(0)
    }

    /// The sums' registers: an even one, and above it perhaps an odd one.
    const fn low_sum(self) -> Registers {
        Registers::core(self.field(13, 3) << 1)
    }

    const fn high_sum(self) -> Registers {
        Registers::core(self.field(20, 3) << 1 | 1)
    }
}

type Read = fn(Code) -> Option<Instruction>;

const INTEGER_1: Read = |code| Some(integer(1, code.both(), code.qd()));
const INTEGER_2: Read = |code| Some(integer(2, code.both(), code.qd()));
const PRODUCT_2: Read = |code| Some(product(2, code.both(), code.qd()));
const FLOAT_1: Read = |code| Some(float(product(1, code.both(), code.qd())));
const FLOAT_2: Read = |code| Some(float(product(2, code.both(), code.qd())));
const FLOAT_SUM: Read = |code| Some(float(product(2, code.both() | code.qd(), code.qd())));
const PRODUCT_SUM: Read = |code| Some(product(2, code.both() | code.qd(), code.qd()));

/// One operand.
const ONE_1: Read = |code| Some(integer(1, code.qm(), code.qd()));
const ONE_2: Read = |code| Some(integer(2, code.qm(), code.qd()));
const ONE_FLOAT_1: Read = |code| Some(float(product(1, code.qm(), code.qd())));
const ONE_FLOAT_2: Read = |code| Some(float(product(2, code.qm(), code.qd())));

/// One operand, and a part of the destination stays.
const INTO_1: Read = |code| Some(integer(1, code.qm() | code.qd(), code.qd()));
const INTO_3: Read = |code| Some(integer(3, code.qm() | code.qd(), code.qd()));
const INTO_FLOAT_1: Read = |code| Some(float(product(1, code.qm() | code.qd(), code.qd())));

/// Constants.
const KEEPING: Read = |code| Some(integer(1, code.qd(), code.qd()));
const INVERTED: Read = |code| Some(integer(1, NONE, code.qd()));
const CONSTANT: Read = |code| Some(product(2, NONE, code.qd()));

/// With one of the core's registers.
const CORE_1: Read = |code| Some(integer(1, code.with_core(), code.qd()));
const CORE_PRODUCT: Read = |code| Some(product(2, code.with_core(), code.qd()));
const CORE_SUM: Read = |code| Some(product(2, code.with_core() | code.qd(), code.qd()));
const CORE_FLOAT: Read = |code| CORE_PRODUCT(code).map(float);
const CORE_FLOAT_SUM: Read = |code| CORE_SUM(code).map(float);

fn float(instruction: Instruction) -> Instruction {
    instruction.with_float(Float::Vector)
}

/// Operations on one or two vectors.
pub(super) const VECTORS: &[Row] = &[
    // VHADD, VQADD, VRHADD; VAND, VBIC, VORR, VORN, VEOR; VHSUB, VQSUB
    row("111u 1111 00zz nnn0 | ddd0 0000 010? mmm0", INTEGER_1),
    row("111u 1111 00zz nnn0 | ddd0 0001 0100 mmm0", INTEGER_1),
    row("1110 1111 00oo nnn0 | ddd0 0001 0101 mmm0", INTEGER_1),
    row("1111 1111 0000 nnn0 | ddd0 0001 0101 mmm0", INTEGER_1),
    row("111u 1111 00zz nnn0 | ddd0 0010 010? mmm0", INTEGER_1),
    // VSHL, and with saturation or rounding
    row("111u 1111 00zz nnn0 | ddd0 0100 0100 mmm0", INTEGER_1),
    row("111u 1111 00zz nnn0 | ddd0 0100 0101 mmm0", INTEGER_2),
    row("111u 1111 00zz nnn0 | ddd0 0101 010? mmm0", INTEGER_2),
    // VMAX, VMIN; VABD; VADD, VSUB
    row("111u 1111 00zz nnn0 | ddd0 0110 010? mmm0", INTEGER_1),
    row("111u 1111 00zz nnn0 | ddd0 0111 0100 mmm0", INTEGER_1),
    row("111u 1111 00zz nnn0 | ddd0 1000 0100 mmm0", INTEGER_1),
    // VMUL, VQDMULH, VQRDMULH
    row("1110 1111 00zz nnn0 | ddd0 1001 0101 mmm0", PRODUCT_2),
    row("111u 1111 00zz nnn0 | ddd0 1011 0100 mmm0", PRODUCT_2),
    // Floats: VFMA, VFMS; VADD, VSUB; VABD; VMUL; VMAXNM, VMINNM
    row("1110 1111 00?s nnn0 | ddd0 1100 0101 mmm0", FLOAT_SUM),
    row("1110 1111 00?s nnn0 | ddd0 1101 0100 mmm0", FLOAT_1),
    row("1111 1111 001s nnn0 | ddd0 1101 0100 mmm0", FLOAT_1),
    row("1111 1111 000s nnn0 | ddd0 1101 0101 mmm0", FLOAT_2),
    row("1111 1111 00?s nnn0 | ddd0 1111 0101 mmm0", FLOAT_1),
    // Constants: VORR, VBIC; VMVN; VMOV
    row("111i 1111 1000 0iii | ddd0 0??1 01?1 iiii", KEEPING),
    row("111i 1111 1000 0iii | ddd0 10?1 01?1 iiii", KEEPING),
    row("111i 1111 1000 0iii | ddd0 0??0 0111 iiii", INVERTED),
    row("111i 1111 1000 0iii | ddd0 10?0 0111 iiii", INVERTED),
    row("111i 1111 1000 0iii | ddd0 110? 0111 iiii", INVERTED),
    row("111i 1111 1000 0iii | ddd0 cccc 0101 iiii", CONSTANT),
    row("111i 1111 1000 0iii | ddd0 1110 0111 iiii", CONSTANT),
    // Shifts by a constant: VSHR, VRSHR; VSRI; VSHL, VSLI; VQSHLU, VQSHL
    row("111u 1111 1?yy yiii | ddd0 0000 0101 mmm0", |code| {
        shift_by(code, ONE_1)
    }),
    row("111u 1111 1?yy yiii | ddd0 0010 0101 mmm0", |code| {
        shift_by(code, ONE_2)
    }),
    row("1111 1111 1?yy yiii | ddd0 0100 0101 mmm0", |code| {
        shift_by(code, INTO_1)
    }),
    row("1110 1111 1?yy yiii | ddd0 0101 0101 mmm0", |code| {
        shift_by(code, ONE_1)
    }),
    row("1111 1111 1?yy yiii | ddd0 0101 0101 mmm0", |code| {
        shift_by(code, INTO_1)
    }),
    row("1111 1111 1?yy yiii | ddd0 0110 0101 mmm0", |code| {
        shift_by(code, ONE_2)
    }),
    row("111u 1111 1?yy yiii | ddd0 0111 0101 mmm0", |code| {
        shift_by(code, ONE_2)
    }),
    // VCVT of fixed-point numbers of 16 and 32 bits
    row("111u 1111 1011 iiii | ddd0 110? 0101 mmm0", ONE_FLOAT_2),
    row("111u 1111 101i iiii | ddd0 111? 0101 mmm0", ONE_FLOAT_2),
    // VREV64, VREV32, VREV16; VCLS, VCLZ; VMVN; VQABS, VQNEG; VABS, VNEG
    row("1111 1111 1011 zz00 | ddd0 0000 0100 mmm0", ONE_1),
    row("1111 1111 1011 0s00 | ddd0 0000 1100 mmm0", ONE_1),
    row("1111 1111 1011 0000 | ddd0 0001 0100 mmm0", ONE_1),
    row("1111 1111 1011 zz00 | ddd0 0100 ?100 mmm0", ONE_1),
    row("1111 1111 1011 0000 | ddd0 0101 1100 mmm0", ONE_1),
    row("1111 1111 1011 zz00 | ddd0 0111 ?100 mmm0", ONE_1),
    row("1111 1111 1011 zz01 | ddd0 0011 ?100 mmm0", ONE_1),
    // Floats: VABS, VNEG; VRINT; VCVT
    row("1111 1111 1011 0101 | ddd0 0111 ?100 mmm0", ONE_FLOAT_1),
    row("1111 1111 1011 1001 | ddd0 0111 ?100 mmm0", ONE_FLOAT_1),
    row("1111 1111 1011 0110 | ddd0 010? ?100 mmm0", ONE_FLOAT_2),
    row("1111 1111 1011 0110 | ddd0 011? 1100 mmm0", ONE_FLOAT_2),
    row("1111 1111 1011 1010 | ddd0 010? ?100 mmm0", ONE_FLOAT_2),
    row("1111 1111 1011 1010 | ddd0 011? 1100 mmm0", ONE_FLOAT_2),
    row("1111 1111 1011 0111 | ddd0 00?? ?100 mmm0", ONE_FLOAT_2),
    row("1111 1111 1011 1011 | ddd0 00?? ?100 mmm0", ONE_FLOAT_2),
    row("1111 1111 1011 0111 | ddd0 011? ?100 mmm0", ONE_FLOAT_2),
    row("1111 1111 1011 1011 | ddd0 011? ?100 mmm0", ONE_FLOAT_2),
];

/// Bit 23 with three zeros behind it is a constant, not a shift; bit 22 is none of the
/// constant's.
fn shift_by(code: Code, read: Read) -> Option<Instruction> {
    if code.has(22) { None } else { read(code) }
}

/// Predicates, operations with the core's registers, other widths, and sums.
pub(super) const VECTOR_PAIRS: &[Row] = &[
    // VPST, VPNOT
    row("1111 1110 0m11 0001 | mmm0 1111 0100 1101", |_| {
        Some(predicate(Registers::VPR, Registers::VPR))
    }),
    // VPT, VCMP: integers with a vector and with a register, then floats
    row("1111 1110 0mzz nnn1 | mmmc 1111 c000 mmmc", compare),
    row("1111 1110 0mzz nnn1 | mmmc 1111 c1c0 mmmm", compare_core),
    row("111s 1110 0m11 nnn1 | mmm0 1111 c000 mmm0", compare_float),
    row("111s 1110 0m11 nnn1 | mmm1 1111 c000 mmmc", compare_float),
    row(
        "111s 1110 0m11 nnn1 | mmm0 1111 c100 mmmm",
        compare_core_float,
    ),
    row(
        "111s 1110 0m11 nnn1 | mmm1 1111 c1c0 mmmm",
        compare_core_float,
    ),
    // VPSEL
    row("1111 1110 0011 nnn1 | ddd0 1111 0000 mmm1", |code| {
        Some(integer(1, code.both() | Registers::VPR, code.qd()))
    }),
    // VIDUP, VDDUP, VIWDUP, VDWDUP
    row("1110 1110 00zz nnn1 | ddd? 1111 i110 mmmi", |code| {
        let start = Registers::core(code.field(17, 3) << 1);
        let end = match code.field(1, 3) {
            6 => return None,
            7 => NONE,
            number => Registers::core(number << 1 | 1),
        };
        Some(integer(1, start | end, code.qd() | start))
    }),
    // With a register: VHADD, VHSUB, VQADD, VQSUB; VADD, VSUB; VQDMULL
    row("111u 1110 00zz nnn0 | ddd? 1111 01?0 mmmm", CORE_1),
    row("1110 1110 00zz nnn1 | ddd? 1111 0100 mmmm", CORE_1),
    row("111s 1110 0011 nnn0 | ddd? 1111 0100 mmmm", CORE_FLOAT),
    row("111s 1110 0011 nnn0 | ddd? 1111 0110 mmmm", CORE_PRODUCT),
    // VHCADD, VCADD; VADC, VSBC; VQDMULL
    row("111? 1110 00zz nnn0 | dddr 1111 0000 mmm0", INTEGER_1),
    row("111? 1110 0011 nnn0 | ddd0 1111 0000 mmm0", |code| {
        with_carry(code, true)
    }),
    row("111? 1110 0011 nnn0 | ddd1 1111 0000 mmm0", |code| {
        with_carry(code, false)
    }),
    row("111s 1110 0011 nnn0 | ddd? 1111 0000 mmm1", PRODUCT_2),
    // VQDMLADH, VQDMLSDH and their kin; VCMUL
    row("111? 1110 00zz nnn0 | ddd? 1110 0000 mmm?", PRODUCT_SUM),
    row("111s 1110 0011 nnn0 | dddr 1110 0000 mmmr", FLOAT_2),
    // VMULL; VMULH, VRMULH; VMULL of polynomials
    row("111u 1110 00zz nnn1 | ddd? 1110 0000 mmm0", PRODUCT_2),
    row("111u 1110 00zz nnn1 | ddd? 1110 0000 mmm1", PRODUCT_2),
    row("111s 1110 0011 nnn1 | ddd? 1110 0000 mmm0", INTEGER_2),
    // VSHLL; VMOVN, VQMOVUN, VQMOVN; VMAXA, VMINA
    row("111u 1110 0011 0s01 | ddd? 1110 0000 mmm1", ONE_1),
    row("111? 1110 0011 0s01 | ddd? 1110 1000 mmm1", INTO_3),
    row("111u 1110 0011 0s11 | ddd? 1110 0000 mmm1", INTO_3),
    row("1110 1110 0011 zz11 | ddd? 1110 1000 mmm1", INTO_1),
    // VCVT between halves and singles; VMAXNMA, VMINNMA
    row("1110 1110 0011 1111 | ddd? 1110 0000 mmm1", |code| {
        Some(float(product(3, code.qm() | code.qd(), code.qd())))
    }),
    row("1111 1110 0011 1111 | ddd? 1110 0000 mmm1", ONE_FLOAT_2),
    row("111s 1110 0011 1111 | ddd? 1110 1000 mmm1", INTO_FLOAT_1),
    // With a register: VQDMLAH and its kin; VMLA, VMLAS; VFMA, VFMAS
    row("1110 1110 00zz nnn0 | ddd? 1110 01?0 mmmm", CORE_SUM),
    row("111u 1110 00zz nnn1 | ddd? 1110 0100 mmmm", CORE_SUM),
    row("111s 1110 0011 nnn1 | ddd? 1110 0100 mmmm", CORE_FLOAT_SUM),
    // VQDMULH, VQRDMULH; VMUL; VBRSR
    row("111? 1110 00zz nnn1 | ddd0 1110 0110 mmmm", CORE_PRODUCT),
    row("1110 1110 00zz nnn1 | ddd1 1110 0110 mmmm", CORE_PRODUCT),
    row("111s 1110 0011 nnn1 | ddd0 1110 0110 mmmm", CORE_FLOAT),
    row("1111 1110 00zz nnn1 | ddd1 1110 0110 mmmm", CORE_1),
    // VSHL, and with saturation or rounding
    row("111u 1110 0011 zz?1 | ddd1 1110 ?110 mmmm", |code| {
        let is_plain = !code.has(17) && !code.has(7);
        let latency = if is_plain { 1 } else { 2 };
        Some(integer(
            latency,
            code.qd() | code.core_unless_pc(0),
            code.qd(),
        ))
    }),
    // Shifts to narrower elements, to wider ones, and VSHLC
    row("111? 1110 1000 1iii | ddd? 1111 ?100 mmm?", narrowing),
    row("111? 1110 1001 iiii | ddd? 1111 ?100 mmm?", narrowing),
    row("111u 1110 1010 1iii | ddd? 1111 0100 mmm0", ONE_1),
    row("111u 1110 1011 iiii | ddd? 1111 0100 mmm0", ONE_1),
    row("1110 1110 101i iiii | ddd0 1111 1100 mmmm", |code| {
        let both = code.qd() | code.core(0);
        Some(integer(1, both, both))
    }),
    // VABAV
    row("111u 1110 10zz nnn0 | tttt 1111 0000 mmm1", |code| {
        Some(integer(3, code.both() | code.core(12), code.core(12)))
    }),
    // VMAXV, VMINV; VMAXAV, VMINAV; of floats
    row("111u 1110 1110 zz10 | tttt 1111 ?000 mmm0", greatest),
    row("1110 1110 1110 zz00 | tttt 1111 ?000 mmm0", greatest),
    row("111s 1110 1110 11?0 | tttt 1111 ?000 mmm0", |code| {
        Some(float(product(1, code.qm() | code.core(12), code.core(12))))
    }),
    // Sums to one register: VADDV; VMLADAV, VMLSDAV
    row("111u 1110 1111 zz01 | lll0 1111 00a0 mmm0", |code| {
        Some(sum(code, code.qm(), code.low_sum()))
    }),
    row("1110 1110 1111 nnns | lllx 1110 00a0 mmm?", sum_to_one),
    row("1110 1110 1111 nnn0 | lllx 1111 00a0 mmm0", sum_to_one),
    row("1111 1110 1111 nnns | lll0 1110 00a0 mmm0", sum_to_one),
    row("1111 1110 1111 nnn0 | lll0 1111 00a0 mmm0", sum_to_one),
    row("1111 1110 1111 nnn0 | lllx 1110 00a0 mmm1", sum_to_one),
    // Sums to two registers: VADDLV; VMLALDAV and its kin
    row("111u 1110 1zzh 1001 | lll0 1111 00a0 mmm0", |code| {
        Some(sum(code, code.qm(), code.low_sum() | code.high_sum()))
    }),
    row("1110 1110 1zzh nnns | lllx 1110 00a0 mmm?", sum_to_two),
    row("1110 1110 1zzh nnn0 | lllx 1111 00a0 mmm0", sum_to_two),
    row("1111 1110 1zzh nnns | lll0 1110 00a0 mmm0", sum_to_two),
    row("1111 1110 1zzh nnn0 | lll0 1111 00a0 mmm0", sum_to_two),
    row("1111 1110 1zzh nnn0 | lllx 1110 00a0 mmm1", sum_to_two),
];

fn compare(code: Code) -> Option<Instruction> {
    Some(product(1, code.both(), Registers::VPR))
}

fn compare_core(code: Code) -> Option<Instruction> {
    Some(product(1, code.with_core(), Registers::VPR))
}

fn compare_float(code: Code) -> Option<Instruction> {
    compare(code).map(float)
}

fn compare_core_float(code: Code) -> Option<Instruction> {
    compare_core(code).map(float)
}

fn with_carry(code: Code, reads: bool) -> Option<Instruction> {
    let carry = if reads { Registers::STATUS } else { NONE };
    Some(integer(
        2,
        code.both() | carry,
        code.qd() | Registers::STATUS,
    ))
}

fn narrowing(code: Code) -> Option<Instruction> {
    INTO_3(code)
}

fn greatest(code: Code) -> Option<Instruction> {
    // The fewer elements, the sooner.
    let latency = 4 - code.field(18, 2) as u8;
    Some(integer(latency, code.qm() | code.core(12), code.core(12)))
}

fn sum(code: Code, operands: Registers, results: Registers) -> Instruction {
    let sum = product(2, operands, results);
    let accumulates = code.has(5);
    sum.with_accumulator(if accumulates { results } else { NONE })
}

fn sum_to_one(code: Code) -> Option<Instruction> {
    Some(sum(code, code.both(), code.low_sum()))
}

fn sum_to_two(code: Code) -> Option<Instruction> {
    Some(sum(code, code.both(), code.low_sum() | code.high_sum()))
}

/// Loads and stores of vectors, and complex arithmetic.
pub(super) const VECTOR_ACCESS: &[Row] = &[
    // VMOV of two lanes
    row("1110 1100 0000 tttt | ddd0 1111 000i tttt", |code| {
        Some(product(1, code.qd(), two_of_core(code)?))
    }),
    row("1110 1100 0001 tttt | ddd0 1111 000i tttt", |code| {
        let operands = two_of_core(code)? | code.qd();
        Some(instruction(
            Pipe::IntegerOrProduct,
            2,
            1,
            operands,
            code.qd(),
        ))
    }),
    // With a vector of offsets
    row("111u 1100 100l nnnn | ddd0 111s s?0? mmmo", scattered),
    // VLDR, VSTR of special registers
    row("1110 110p u?wl nnnn | rrr0 1111 1iii iiii", special),
    // VLDR, VSTR of as many bytes as the elements have: after, at or before the address
    row("1110 1100 u01l nnnn | ddd1 111z ziii iiii", |code| {
        contiguous(code, code.field(7, 2))
    }),
    row("1110 1101 u0wl nnnn | ddd1 111z ziii iiii", |code| {
        contiguous(code, code.field(7, 2))
    }),
    // To wider elements, and from them
    row("111u 1100 ?011 hnnn | ddd0 111y yiii iiii", widening),
    row("111u 1101 ?0w1 hnnn | ddd0 111y yiii iiii", widening),
    row("1110 1100 ?010 hnnn | ddd0 111y yiii iiii", widening),
    row("1110 1101 ?0w0 hnnn | ddd0 111y yiii iiii", widening),
    // With a vector of addresses
    row("1111 1101 ?0wl nnn0 | ddd1 111b 0iii iiii", |code| {
        let is_load = code.has(20);
        let bytes = if code.has(8) { 8 } else { 4 };
        let place = Place::at(0, 0);
        let mut instruction = vectors(is_load, 2, bytes, code.qd(), place);
        instruction.address = code.qn();
        instruction.updated = if code.has(21) { code.qn() } else { NONE };
        if let Some(memory) = &mut instruction.memory {
            *memory = Memory {
                base: None,
                offset: None,
                update: None,
                ..*memory
            };
        }
        Some(unforwarded(instruction))
    }),
    // VLD2, VST2, VLD4, VST4
    row("1111 1100 10wl nnnn | ddd1 111z z0i0 0000", |code| {
        interleaved(code, 2)
    }),
    row("1111 1100 10wl nnnn | ddd1 111z zii0 0001", |code| {
        interleaved(code, 4)
    }),
    // VCMLA, VCADD
    row("1111 110r r01s nnn0 | ddd0 1000 0100 mmm0", FLOAT_SUM),
    row("1111 110r 100s nnn0 | ddd0 1000 0100 mmm0", FLOAT_1),
];

fn vectors(
    is_load: bool,
    latency: u8,
    bytes: u32,
    registers: Registers,
    place: Place,
) -> Instruction {
    let class = Class::Vector(Vector {
        pipe: Pipe::Access,
        beats: 2,
        latency,
    });
    access(class, is_load, bytes, registers, Moved::Other, place)
}

fn two_of_core(code: Code) -> Option<Registers> {
    let both = code.core(16) | code.core(0);
    (!both.meets(Registers::SP | Registers::PC)).then_some(both)
}

/// Nothing is forwarded to some stores.
fn unforwarded(mut instruction: Instruction) -> Instruction {
    instruction.operands |= instruction.stored;
    instruction.stored = NONE;
    instruction
}

/// A place with seven bits of offset, in units of `1 << shift` bytes.
fn place(code: Code, base: u32, shift: u32) -> Place {
    let distance = (code.field(0, 7) << shift).cast_signed();
    let distance = if code.has(23) { distance } else { -distance };
    Place::indexed(base, distance, code.has(24), code.has(21))
}

fn contiguous(code: Code, shift: u32) -> Option<Instruction> {
    let base = code.field(16, 4);
    let place = place(code, base, shift);
    (base != 15).then(|| vectors(code.has(20), 1, 16, code.qd(), place))
}

fn widening(code: Code) -> Option<Instruction> {
    // Bytes to halfwords or words, or halfwords to words.
    let (shift, bytes) = match (code.has(19), code.field(7, 2)) {
        (false, 1) => (0, 8),
        (false, 2) => (0, 4),
        (true, 2) => (1, 8),
        _ => return None,
    };
    let place = place(code, code.field(16, 3), shift);
    Some(vectors(code.has(20), 1, bytes, code.qd(), place))
}

fn scattered(code: Code) -> Option<Instruction> {
    let (is_unsigned, is_load) = (code.has(28), code.has(20));
    // Elements of the vector and in memory.
    let (element, unit) = (code.field(7, 2), code.field(6, 1) << 1 | code.field(4, 1));
    let is_shifted = code.has(0);
    let is_known = unit <= element && (unit > 0 || !is_shifted);
    // A load extends unless there is nothing to extend; a store has no sign.
    let is_extended = unit < element;
    let is_right = match is_load {
        false => !is_unsigned,
        true => is_unsigned || is_extended,
    };
    // Doublewords stay what they are.
    let is_double = element == 3 || unit == 3;
    if !is_known || !is_right || is_double && element != unit || code.field(16, 4) == 15 {
        return None;
    }
    let place = Place::sum(code.field(16, 4), code.qm());
    Some(unforwarded(vectors(
        is_load,
        2,
        1 << unit,
        code.qd(),
        place,
    )))
}

fn interleaved(code: Code, count: u32) -> Option<Instruction> {
    let (first, base) = (code.field(13, 3), code.field(16, 4));
    if first + count > 8 || base == 15 {
        return None;
    }
    let registers = (first..first + count).fold(NONE, |all, n| all | Registers::vector(n));
    let bytes = 16 * count;
    let place = Place::indexed(base, bytes.cast_signed(), false, code.has(21));
    let mut access = vectors(code.has(20), 1, 32, registers, place);
    // Each of the instructions has a part of all of them.
    if code.has(20) {
        access.operands |= registers;
    }
    Some(unforwarded(access))
}

/// VLDR and VSTR of FPSCR, VPR and what secure code has.
fn special(code: Code) -> Option<Instruction> {
    let register = code.field(22, 1) << 3 | code.field(13, 3);
    let special = match register {
        12 | 13 => Registers::VPR,
        1 | 2 | 14 | 15 => Registers::STATUS,
        _ => return None,
    };
    let (is_before, is_kept, base) = (code.has(24), code.has(21), code.field(16, 4));
    if !is_before && !is_kept || base == 15 {
        return None;
    }
    let mut access = vectors(code.has(20), 1, 4, special, place(code, base, 2));
    access.class = Class::System;
    Some(access)
}
