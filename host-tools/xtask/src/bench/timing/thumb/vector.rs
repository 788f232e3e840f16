//! Instructions on vectors, and on scalars in their registers.
//!
//! Encodings by the Armv8-M Architecture Reference Manual (DDI 0553), chapter C2.3;
//! pipes and latencies by LLVM's model of the Cortex-M55, the core that they are for.
//! A scalar is taken to be all of the vector in which it lies.

use super::{Class, FLAGS, Instruction, NONE, Registers};

/// What executes an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Pipe {
    Access,
    Integer,
    /// Products, floats and sums over a vector.
    Product,
    /// Whichever of these two is free.
    IntegerOrProduct,
    Control,
}

/// How an instruction on vectors is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Vector {
    pub(in super::super) pipe: Pipe,
    /// Cycles for which it has the pipe.
    pub(in super::super) beats: u8,
    /// Cycles before its first beat's result can be read.
    pub(in super::super) latency: u8,
}

/// The fields of an instruction.
#[derive(Clone, Copy)]
struct Code {
    first: u32,
    second: u32,
}

pub(super) fn vector(first: u32, second: u32) -> Instruction {
    let code = Code { first, second };
    let group = second >> 8 & 0xf;
    match first >> 8 & 0xf {
        0xc | 0xd if group >> 1 == 7 => code.vector_access(),
        0xc | 0xd if group == 8 => code.complex(),
        0xc | 0xd => code.scalar_access(),
        0xf if code.is_set(7) => code.constant(),
        0xf => code.three_vectors(),
        _ if group >> 1 != 7 => code.scalar(),
        _ if code.is_set(7) && second >> 6 & 1 == 1 => code.narrow_or_widen(),
        _ if code.is_set(7) => code.sum(),
        _ => code.others(),
    }
}

/// Sets bits of the predicates from a register: VCTP.
pub(super) fn predicate(count: Registers) -> Instruction {
    instruction(Pipe::Control, 1, 1, count, NONE)
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
    const fn is_set(self, bit: u32) -> bool {
        self.first >> bit & 1 == 1
    }

    /// A bit of the second halfword.
    const fn has(self, bit: u32) -> bool {
        self.second >> bit & 1 == 1
    }

    /// The destination, as a rule.
    const fn d(self) -> Registers {
        Registers::vector(self.second >> 13)
    }

    /// The first operand.
    const fn n(self) -> Registers {
        Registers::vector(self.first >> 1)
    }

    /// The second one.
    const fn m(self) -> Registers {
        Registers::vector(self.second >> 1)
    }

    /// The second one as one of the core's registers.
    const fn core_m(self) -> Registers {
        Registers::field(self.second, 0, 4)
    }

    fn vector_access(self) -> Instruction {
        let is_load = self.is_set(4);
        let base = Registers::field(self.first, 0, 4);
        if self.first & 0xffa0 == 0xec00 {
            // VMOV of two lanes
            let core = base | self.core_m();
            return if is_load {
                instruction(Pipe::IntegerOrProduct, 2, 1, core | self.d(), self.d())
            } else {
                product(1, self.d(), core)
            };
        }
        let is_updated = self.is_set(5);
        let is_prefixed = self.first >> 12 == 0xf;
        // What it is by its first halfword, and whether this has four bits for the base.
        let (is_indexed, has_long_base) = (!self.is_set(8) && !is_updated, self.has(12));
        let (address, updated, latency, vectors);
        if is_prefixed && has_long_base && !self.is_set(8) {
            // VLD2, VLD4 and the stores
            (address, updated, latency) = (base, base, 1);
            let number = self.second >> 13 & 7;
            let count = if self.has(0) { 4 } else { 2 };
            vectors = (number..number + count).fold(NONE, |all, n| all | Registers::vector(n));
        } else {
            vectors = self.d();
            (address, updated, latency) = if is_prefixed && has_long_base {
                (self.n(), self.n(), 2)
            } else if is_indexed {
                (base | self.m(), NONE, 2)
            } else if has_long_base {
                (base, base, 1)
            } else {
                let base = Registers::field(self.first, 0, 3);
                (base, base, 1)
            };
        }
        let mut access = instruction(Pipe::Access, 2, latency, NONE, NONE);
        access.address = address;
        access.updated = if is_updated { updated } else { NONE };
        if is_load {
            access.results = vectors;
        } else if latency == 1 && vectors == self.d() {
            access.stored = vectors;
        } else {
            // Nothing is forwarded to these.
            access.operands = vectors;
        }
        access
    }

    /// Scalars from and to memory, and to and from pairs of the core's registers.
    fn scalar_access(self) -> Instruction {
        let is_load = self.is_set(4);
        let base = Registers::field(self.first, 0, 4);
        if self.first & 0x01a0 == 0 {
            let core = base | Registers::field(self.second, 12, 4);
            return if is_load {
                instruction(Pipe::Product, 1, 1, self.m(), core)
            } else {
                instruction(Pipe::Product, 1, 2, core, self.m())
            };
        }
        let is_single = self.first & 0x0120 == 0x0100;
        let words = if is_single { 1 } else { self.second & 0xff };
        let beats = words.div_ceil(2) as u8;
        let number = self.second >> 13 & 7;
        // The first may be the upper half of its vector.
        let last = number + (words + 2).div_ceil(4).saturating_sub(1).min(7 - number);
        let vectors = (number..=last).fold(NONE, |all, n| all | Registers::vector(n));
        let latency = if is_load { 2 } else { 1 };
        let mut access = instruction(Pipe::Access, beats, latency, NONE, NONE);
        access.address = base;
        access.updated = if self.is_set(5) { base } else { NONE };
        if is_load {
            access.results = vectors;
        } else {
            access.stored = vectors;
        }
        access
    }

    fn complex(self) -> Instruction {
        let both = self.n() | self.m();
        if self.is_set(5) {
            product(2, both | self.d(), self.d())
        } else {
            product(1, both, self.d())
        }
    }

    fn three_vectors(self) -> Instruction {
        let both = self.n() | self.m();
        match (self.second >> 8 & 0xf, self.has(4)) {
            // VSHL, and with saturation or rounding
            (4, false) => integer(1, both, self.d()),
            (4 | 5, _) => integer(2, both, self.d()),
            // VMUL, VQDMULH and VMUL of floats
            (9, true) | (0xb, _) | (0xd, true) => product(2, both, self.d()),
            // VFMA, VFMS
            (0xc, _) => product(2, both | self.d(), self.d()),
            // Sums and the greatest of floats
            (0xd | 0xf, _) => product(1, both, self.d()),
            _ => integer(1, both, self.d()),
        }
    }

    /// With a constant, or with one operand.
    fn constant(self) -> Instruction {
        let operation = self.second >> 8 & 0xf;
        if !self.has(4) {
            // By whether it is of floats: VABS, VNEG and so on, then VRINT and VCVT.
            return match self.first & 3 {
                1 if self.has(10) => product(1, self.m(), self.d()),
                2 | 3 => product(2, self.m(), self.d()),
                _ => integer(1, self.m(), self.d()),
            };
        }
        if self.first & 0x38 == 0 {
            return match operation {
                // VORR, VBIC
                0..0xc if self.has(8) => integer(1, self.d(), self.d()),
                // VMVN
                0..0xe if self.has(5) => integer(1, NONE, self.d()),
                _ => product(2, NONE, self.d()),
            };
        }
        let is_inserted = self.first >> 12 == 0xf && matches!(operation, 4 | 5);
        let operands = if is_inserted {
            self.m() | self.d()
        } else {
            self.m()
        };
        match operation {
            // VSHR, VSRI, VSHL, VSLI
            0 | 4 | 5 => integer(1, operands, self.d()),
            0xc.. => product(2, operands, self.d()),
            _ => integer(2, operands, self.d()),
        }
    }

    /// VDUP and lanes, and arithmetic of scalars.
    fn scalar(self) -> Instruction {
        let core = Registers::field(self.second, 12, 4);
        let is_to_core = self.is_set(4);
        match self.second >> 8 & 0xf {
            0xb if self.has(4) && is_to_core => product(1, self.n(), core),
            0xb if self.has(4) && self.is_set(7) => integer(1, core, self.n()),
            0xb if self.has(4) => {
                let operands = core | self.n();
                instruction(Pipe::IntegerOrProduct, 2, 1, operands, self.n())
            }
            _ if self.has(4) && is_to_core => instruction(Pipe::Product, 1, 1, self.n(), core),
            _ if self.has(4) => instruction(Pipe::Product, 1, 2, core, self.n()),
            _ => {
                let is_root = self.first & 0xffbf == 0xeeb1 && self.second & 0xc0 == 0xc0;
                let is_quotient = self.first & 0xffb0 == 0xee80;
                let latency = if is_root || is_quotient { 16 } else { 2 };
                let operands = self.n() | self.m() | self.d();
                instruction(Pipe::Product, 1, latency, operands, self.d())
            }
        }
    }

    /// Shifts to elements of other widths, and VSHLC.
    fn narrow_or_widen(self) -> Instruction {
        if !self.is_set(5) {
            integer(3, self.m() | self.d(), self.d())
        } else if self.has(7) {
            let carry = self.core_m();
            integer(1, self.d() | carry, self.d() | carry)
        } else {
            integer(1, self.m(), self.d())
        }
    }

    /// What goes from vectors to one or two of the core's registers.
    fn sum(self) -> Instruction {
        let low = Registers::field(self.second & 0xe000, 12, 4);
        let any = Registers::field(self.second, 12, 4);
        let accumulates = self.has(5);
        let both = self.n() | self.m();
        let is_one = self.is_set(0) && self.has(8);
        let operands = if is_one { self.m() } else { both };
        let sum = |results| Instruction {
            accumulator: if accumulates { results } else { NONE },
            ..product(2, operands, results)
        };
        match self.first >> 4 & 0xf {
            0xe => {
                let operands = self.m() | any;
                match self.first >> 2 & 3 {
                    3 => product(1, operands, any),
                    // The fewer elements, the sooner.
                    size => integer(4 - size as u8, operands, any),
                }
            }
            0xf => sum(low),
            // VABAV
            _ if self.has(8) && self.has(0) => integer(3, both | any, any),
            high => sum(low | Registers::field((high & 7) << 1 | 1, 0, 4)),
        }
    }

    fn others(self) -> Instruction {
        let is_prefixed = self.first >> 12 == 0xf;
        let is_last = self.first >> 4 & 3 == 3;
        let both = self.n() | self.m();
        let with_core = self.n() | self.core_m();
        match (self.second >> 8 & 1, self.is_set(0), self.has(6)) {
            // VPST, VPNOT
            (1, true, _) if self.first & 0xffbf == 0xfe31 && self.second & 0x1fff == 0x0f4d => {
                instruction(Pipe::Control, 1, 1, NONE, NONE)
            }
            // VPSEL
            (1, true, false)
                if is_prefixed && is_last && self.has(0) && !self.has(12) && !self.has(7) =>
            {
                integer(1, both, self.d())
            }
            // VCMP, VPT
            (1, true, has_core) if is_prefixed || is_last => {
                product(1, if has_core { with_core } else { both }, NONE)
            }
            // VIDUP and its kin; the others with one of the core's registers
            (1, true, true) if self.has(5) => {
                let start = Registers::field(self.first & 0xe, 0, 4);
                let end = match self.second >> 1 & 7 {
                    7 => NONE,
                    _ => Registers::field(self.second | 1, 0, 4),
                };
                integer(1, start | end, self.d() | start)
            }
            (1, _, true) if is_last => product(2, with_core, self.d()),
            (1, _, true) => integer(1, with_core, self.d()),
            // VADC, VSBC
            (1, false, false) if is_last && !self.has(0) => {
                integer(2, both | FLAGS, self.d() | FLAGS)
            }
            (1, false, false) if is_last => product(2, both, self.d()),
            (1, ..) => integer(1, both, self.d()),
            // VBRSR, shifts by one of the core's registers, products with one
            (_, true, true) if is_prefixed && self.has(12) && self.has(5) && !is_last => {
                integer(1, with_core, self.d())
            }
            (_, true, true) if is_last && self.has(12) && self.has(5) => {
                let is_plain = !self.is_set(1) && !self.has(7);
                let latency = if is_plain { 1 } else { 2 };
                integer(latency, self.d() | self.core_m(), self.d())
            }
            (_, is_odd, true) => {
                let accumulates = !is_odd || !self.has(5);
                let sum = if accumulates { self.d() } else { NONE };
                product(2, with_core | sum, self.d())
            }
            (_, true, false) if is_last && self.has(0) => self.one_vector(is_prefixed),
            // VMULL of polynomials
            (_, true, false) if is_last => integer(2, both, self.d()),
            (_, true, false) => product(2, both, self.d()),
            (_, false, false) if is_last => product(2, both, self.d()),
            (_, false, false) => product(2, both | self.d(), self.d()),
        }
    }

    /// Other widths, and the greatest by its amount.
    fn one_vector(self, is_prefixed: bool) -> Instruction {
        let both = self.m() | self.d();
        match (self.first >> 1 & 7, self.has(7)) {
            (7, true) => product(1, both, self.d()),
            (7, false) => product(if is_prefixed { 2 } else { 3 }, both, self.d()),
            // VMAXA, VMINA
            (1 | 3 | 5, true) => integer(1, both, self.d()),
            // VSHLL
            (0 | 2 | 4, false) => integer(1, self.m(), self.d()),
            // VMOVN, VQMOVN, VQMOVUN
            _ => integer(3, both, self.d()),
        }
    }
}
