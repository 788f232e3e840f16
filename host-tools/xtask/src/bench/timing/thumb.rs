//! What Thumb instructions read and write, and of which sort they are.
//!
//! Encodings by the Armv7-M and Armv8-M Architecture Reference Manuals (DDI 0403,
//! chapter A5, and DDI 0553, chapter C2).

mod narrow;
mod wide;

use std::ops::BitOr;

use self::narrow::narrow;
use self::wide::wide;
use super::is_wide;

/// Registers of the core by number, and the flags.
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
    pub(super) const COUNT: usize = 17;

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
    /// MOV, and ADD and SUB of constants that are not shifted.
    Move,
    /// ADD and SUB of registers.
    Add,
    /// Other arithmetic and logic of registers or constants that are not shifted.
    Logic,
    /// A shift alone.
    Shift,
    /// Arithmetic and logic whose second operand, perhaps a constant, is shifted.
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
    /// Barriers, special registers, exclusive access, what stops the core, and
    /// coprocessors.
    System,
}

/// Where the program counter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Next,
    /// To an address in the code.
    Direct,
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
        let pop = one([0xe8bd, 0x8ff0]);
        assert_eq!(pop.class, Class::Multiple { registers: 9 });
        assert_eq!(pop.flow, Flow::Return);
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
