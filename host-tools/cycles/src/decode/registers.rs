//! Sets of registers.

use std::ops::{BitOr, BitOrAssign};

/// A set of registers: those of the core by number, the flags, the predicates of
/// vectors, the floating-point status, and the 32 words of the vectors and floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Registers(u64);

const FIRST_FLOAT: u32 = 19;

impl Registers {
    /// No register.
    pub const NONE: Self = Self(0);
    /// The stack pointer, r13.
    pub const SP: Self = Self(1 << 13);
    /// The link register, r14.
    pub const LR: Self = Self(1 << 14);
    /// The program counter, r15.
    pub const PC: Self = Self(1 << 15);
    /// The flags of a comparison (N, Z, C, V) and of parallel arithmetic (GE).
    pub const FLAGS: Self = Self(1 << 16);
    /// The predicates of vectors, VPR.
    pub const VPR: Self = Self(1 << 17);
    /// The flags of floats and of a vector's carry, in FPSCR.
    pub const STATUS: Self = Self(1 << 18);
    /// How many numbers there are.
    pub const COUNT: usize = FIRST_FLOAT as usize + 32;

    /// A register of the core, `number` from 0 to 15.
    pub const fn core(number: u32) -> Self {
        Self(1 << (number & 15))
    }

    /// Registers of the core, a bit each.
    pub const fn list(bits: u32) -> Self {
        Self(bits as u64 & 0xffff)
    }

    /// The float of 32 bits (or 16) with a number from 0 to 31.
    pub const fn single(number: u32) -> Self {
        Self(1 << (FIRST_FLOAT + (number & 31)))
    }

    /// The float of 64 bits with a number from 0 to 15.
    pub const fn double(number: u32) -> Self {
        Self(3 << (FIRST_FLOAT + 2 * (number & 15)))
    }

    /// The vector with a number from 0 to 7.
    pub const fn vector(number: u32) -> Self {
        Self(15 << (FIRST_FLOAT + 4 * (number & 7)))
    }

    /// `count` floats of 32 bits from a number on, as far as there are any.
    pub(super) fn singles(first: u32, count: u32) -> Self {
        (first..first.saturating_add(count).min(32))
            .fold(Self::NONE, |all, n| all | Self::single(n))
    }

    /// Those of them that hold vectors and floats.
    pub const fn vectors(self) -> Self {
        Self(self.0 & (0xffff_ffff << FIRST_FLOAT))
    }

    /// Those of them that are the core's, r0 to r15, a bit each.
    pub const fn core_bits(self) -> u16 {
        self.0 as u16
    }

    /// Whether the sets have a register in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of them that are not in `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// All of them, a bit each.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Their numbers, from the lowest.
    pub fn numbers(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let number = rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            (number < u64::BITS).then_some(number as usize)
        })
    }
}

impl BitOr for Registers {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Registers {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
