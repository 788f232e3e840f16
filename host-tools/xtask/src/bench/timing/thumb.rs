//! What Thumb instructions read and write, and of which sort they are.
//!
//! Encodings by the Armv7-M and Armv8-M Architecture Reference Manuals (DDI 0403,
//! chapter A5, and DDI 0553, chapter C2).

mod narrow;
mod vector;
mod wide;

use std::ops::BitOr;

use self::narrow::narrow;
pub(super) use self::vector::{Pipe, Vector};
use self::wide::wide;
use super::is_wide;

/// Registers of the core by number, the flags, and vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Registers(u32);

impl Registers {
    pub(super) const NONE: Self = Self(0);
    pub(super) const SP: Self = Self(1 << 13);
    pub(super) const LR: Self = Self(1 << 14);
    pub(super) const PC: Self = Self(1 << 15);
    /// Those of the comparison and of SIMD's parts.
    pub(super) const FLAGS: Self = Self(1 << 16);
    /// How many numbers there are.
    pub(super) const COUNT: usize = 25;

    /// One of the core's registers; its number is in the `bits` of `code` from bit `at`.
    pub(super) const fn field(code: u32, at: u32, bits: u32) -> Self {
        Self(1 << (code >> at & ((1 << bits) - 1)))
    }

    /// One of the core's registers, or none if the number is that of the program
    /// counter.
    pub(super) fn unless_pc(code: u32, at: u32) -> Self {
        match Self::field(code, at, 4) {
            Self::PC => Self::NONE,
            register => register,
        }
    }

    /// Some of the core's registers, a bit each.
    pub(super) const fn list(bits: u32) -> Self {
        Self(bits & 0xffff)
    }

    /// A vector; its number is in the lowest three bits.
    pub(super) const fn vector(number: u32) -> Self {
        Self(1 << (17 + (number & 7)))
    }

    /// Those of them that are vectors.
    pub(super) const fn vectors(self) -> Self {
        Self(self.0 & 0xff << 17)
    }

    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their numbers, from the lowest.
    pub(super) fn numbers(self) -> impl Iterator<Item = usize> {
        (0..Self::COUNT).filter(move |number| self.0 >> number & 1 == 1)
    }
}

impl BitOr for Registers {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Sorts of instructions that some core tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// No operation, or a condition for those that follow.
    Hint,
    /// MOV, and ADD and SUB of a constant that is not shifted and a register that is
    /// neither the stack's nor the program counter.
    Move,
    /// Other ADD and SUB without a shift.
    Add,
    /// Other arithmetic and logic of registers or constants that are not shifted.
    Logic,
    /// A shift of one register alone.
    Shift,
    /// Arithmetic and logic whose second operand, perhaps a constant, is shifted; and
    /// shifts of two registers.
    Shifted,
    /// Sign or zero extension alone.
    Extend,
    /// Bit fields and parallel arithmetic.
    Simd,
    /// Saturation, saturating arithmetic and sums of differences.
    Saturate,
    /// Products, with accumulation or without.
    Multiply,
    Divide,
    /// One register from memory.
    Load {
        bytes: u8,
        /// What is added to the address register, if it is a number.
        offset: Option<i32>,
    },
    /// One register to memory.
    Store {
        offset: Option<i32>,
    },
    /// Several registers from or to memory.
    Multiple {
        registers: u8,
    },
    TableBranch,
    Branch,
    /// Barriers, special registers, exclusive access and what stops the core.
    System,
    /// Vectors, and scalars in their registers.
    Vector(Vector),
}

/// Where the program counter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    /// To an address in the code.
    Direct,
    /// To the beginning of a low-overhead loop.
    Loop,
    /// From a function.
    Return,
    /// To an address in a register or in memory.
    Computed,
}

/// What matters of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) class: Class,
    pub(super) flow: Flow,
    pub(super) is_wide: bool,
    /// What it reads, but for the next four.
    pub(super) operands: Registers,
    /// What is shifted, extended or extracted before it is an operand.
    pub(super) shifted: Registers,
    pub(super) address: Registers,
    /// What a product is added to.
    pub(super) accumulator: Registers,
    pub(super) stored: Registers,
    pub(super) results: Registers,
    /// The address register, if it is moved on.
    pub(super) updated: Registers,
}

impl Instruction {
    pub(super) const fn new(class: Class, operands: Registers, results: Registers) -> Self {
        Self {
            class,
            flow: Flow::Next,
            is_wide: false,
            operands,
            shifted: Registers::NONE,
            address: Registers::NONE,
            accumulator: Registers::NONE,
            stored: Registers::NONE,
            results,
            updated: Registers::NONE,
        }
    }
}

/// What instructions are that follow each other.
pub(super) fn decode(codes: &[[u16; 2]]) -> Vec<Instruction> {
    let mut conditional = 0;
    let decode = |&[first, second]: &[u16; 2]| {
        let is_wide = is_wide(first);
        let (first, second) = (u32::from(first), u32::from(second));
        let mut instruction = if is_wide {
            wide(first, second)
        } else {
            narrow(first, conditional > 0)
        };
        instruction.is_wide = is_wide;
        if conditional > 0 {
            instruction.operands = instruction.operands | Registers::FLAGS;
            conditional -= 1;
        }
        if first & 0xff00 == 0xbf00 && first & 0xf != 0 {
            conditional = 4 - (first & 0xf).trailing_zeros();
        }
        instruction
    };
    codes.iter().map(decode).collect()
}

const NONE: Registers = Registers::NONE;
const FLAGS: Registers = Registers::FLAGS;

fn direct(operands: Registers) -> Instruction {
    Instruction {
        flow: Flow::Direct,
        ..Instruction::new(Class::Branch, operands, NONE)
    }
}

fn extract(operands: Registers, shifted: Registers, results: Registers) -> Instruction {
    Instruction {
        shifted,
        ..Instruction::new(Class::Simd, operands, results)
    }
}

fn load(bytes: u8, offset: Option<i32>) -> Class {
    Class::Load { bytes, offset }
}

fn memory(is_load: bool, bytes: u8, offset: Option<i32>) -> Class {
    if is_load {
        load(bytes, offset)
    } else {
        Class::Store { offset }
    }
}

fn access(
    class: Class,
    register: Registers,
    address: Registers,
    updated: Registers,
) -> Instruction {
    let mut instruction = Instruction::new(class, NONE, NONE);
    instruction.address = address;
    instruction.updated = updated;
    if matches!(class, Class::Store { .. }) {
        instruction.stored = register;
    } else {
        instruction.results = register;
        instruction.flow = loaded(register, address, updated);
    }
    instruction
}

fn multiple(is_load: bool, list: Registers, base: Registers, is_updated: bool) -> Instruction {
    let registers = list.numbers().count() as u8;
    let mut instruction = Instruction::new(Class::Multiple { registers }, NONE, NONE);
    instruction.address = base;
    instruction.updated = if is_updated { base } else { NONE };
    if is_load {
        instruction.results = list;
        instruction.flow = loaded(list, base, instruction.updated);
    } else {
        instruction.stored = list;
    }
    instruction
}

/// Where the program counter goes after a load: back, if it was on the stack and the
/// load takes it off.
fn loaded(results: Registers, address: Registers, updated: Registers) -> Flow {
    match results.meets(Registers::PC) {
        true if address == Registers::SP && updated == Registers::SP => Flow::Return,
        true => Flow::Computed,
        false => Flow::Next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_read_and_written() {
        let one = |code| decode(&[code])[0];
        let smlal = one([0xfbc3, 0x6501]);
        assert_eq!(smlal.operands, Registers::list(1 << 3 | 1 << 1));
        assert_eq!(smlal.accumulator, Registers::list(1 << 6 | 1 << 5));
        assert_eq!(smlal.results, smlal.accumulator);
        let pkhbt = one([0xeac7, 0x4709]);
        assert_eq!(pkhbt.operands, Registers::list(1 << 7));
        assert_eq!(pkhbt.shifted, Registers::list(1 << 9));
        let ldr = one([0xf854, 0x0b08]);
        assert_eq!(ldr.class, load(4, Some(0)), "ldr r0, [r4], #8");
        assert_eq!(ldr.updated, Registers::list(1 << 4));
        let lsll = one([0xea50, 0x210d]);
        assert_eq!(lsll.operands, Registers::list(0b111), "lsll r0, r1, r2");
        assert_eq!(lsll.results, Registers::list(0b11));
        let cset = one([0xea5f, 0x908f]);
        assert_eq!(cset.operands, FLAGS, "cset r0, ls");
        let vmladava = one([0xeef2, 0x8f24]);
        assert_eq!(
            vmladava.operands,
            Registers::vector(1) | Registers::vector(2)
        );
        assert_eq!(vmladava.accumulator, Registers::list(1 << 8));
        let pop = one([0xe8bd, 0x8ff0]);
        assert_eq!(pop.class, Class::Multiple { registers: 9 });
        assert_eq!(pop.flow, Flow::Return);
    }

    #[test]
    fn tells_where_it_goes() {
        let cases = [
            ("bne", [0xd104, 0], Flow::Direct),
            ("bl", [0xf003, 0xfcaa], Flow::Direct),
            ("wls", [0xf041, 0xc001], Flow::Direct),
            ("dls", [0xf041, 0xe001], Flow::Next),
            ("vctp.8", [0xf001, 0xe801], Flow::Next),
            ("le", [0xf00f, 0xc009], Flow::Loop),
            ("letp", [0xf01f, 0xc007], Flow::Loop),
            ("bx lr", [0x4770, 0], Flow::Return),
            ("blx r3", [0x4798, 0], Flow::Computed),
            ("mov pc, r3", [0x469f, 0], Flow::Computed),
            ("ldr pc, [sp, #36]", [0xf8dd, 0xf024], Flow::Computed),
            ("tbb", [0xe8df, 0xf000], Flow::Computed),
        ];
        for (name, code, expected) in cases {
            assert_eq!(decode(&[code])[0].flow, expected, "{name}");
        }
    }

    #[test]
    fn knows_what_is_conditional() {
        // itt eq; addeq r0, r0, r1; addeq r2, r2, r1; adds r0, r0, r1
        let codes = [[0xbf04, 0], [0x1840, 0], [0x1852, 0], [0x1840, 0]];
        let [_, first, second, after] = decode(&codes)[..] else {
            panic!("four instructions");
        };
        for conditional in [first, second] {
            assert!(conditional.operands.meets(FLAGS));
            assert!(!conditional.results.meets(FLAGS));
        }
        assert!(!after.operands.meets(FLAGS));
        assert!(after.results.meets(FLAGS));
    }
}
