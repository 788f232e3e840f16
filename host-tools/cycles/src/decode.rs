//! One instruction of Thumb or Helium code, taken apart.
//!
//! Encodings by the Armv8-M Architecture Reference Manual (DDI 0553, chapter C2), of
//! which Armv6-M and Armv7-M have subsets. What the tables say is compared with LLVM's
//! decoder over all codes of one halfword and all 402 million of two; see
//! `README.md`. Not known, so an error: the coprocessors' instructions (MCR, LDC, CDP and
//! their kin), custom instructions, branch futures, and what is unpredictable because of
//! a register that must not be there.

mod control;
mod float;
mod memory;
mod narrow;
mod pattern;
mod processing;
mod registers;
mod vector;
mod wide;

pub use self::memory::{Memory, Moved};
pub use self::registers::Registers;

/// The code of an instruction: one halfword, or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code {
    first: u16,
    second: Option<u16>,
}

/// A code that stands for no instruction that this decoder knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no known instruction has the code {code}")]
pub struct Unknown {
    /// The code.
    pub code: Code,
}

/// The class of an instruction: the classes that some core's pipeline tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// No operation, or a condition for those that follow.
    Hint,
    /// MOV, and ADD and SUB of a constant that is not shifted and a register that is
    /// neither the stack pointer nor the program counter.
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
    /// Division of integers.
    Divide,
    /// One register from memory.
    Load {
        /// Bytes that are read.
        bytes: u8,
        /// The offset from the address register, if it is a number.
        offset: Option<i32>,
    },
    /// One register to memory.
    Store {
        /// The offset from the address register, if it is a number.
        offset: Option<i32>,
    },
    /// Several registers from or to memory.
    Multiple {
        /// How many.
        registers: u8,
    },
    /// A jump to a place that a table in memory gives.
    TableBranch,
    /// Branches, with or without link.
    Branch,
    /// Barriers, special registers, exclusive access and what stops the core.
    System,
    /// Vectors, and scalars in their registers.
    Vector(Vector),
}

/// The unit of a Cortex-M55 that executes an instruction on vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pipe {
    /// Loads and stores.
    Access,
    /// Integers.
    Integer,
    /// Products, floats and sums over a vector.
    Product,
    /// Whichever of these two is free.
    IntegerOrProduct,
    /// Predicates.
    Control,
}

/// How an instruction on vectors, or on scalars in their registers, is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vector {
    /// The pipe.
    pub pipe: Pipe,
    /// Cycles for which it has the pipe.
    pub beats: u8,
    /// Cycles before its first beat's result can be read.
    pub latency: u8,
}

/// Where the program counter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flow {
    /// On.
    Next,
    /// To `offset` bytes from the instruction's address plus four; or on, if it has a
    /// condition.
    Jump {
        /// Bytes from the instruction's address plus four.
        offset: i32,
        /// Whether it may go on instead.
        is_conditional: bool,
    },
    /// To a function.
    Call {
        /// Bytes from the instruction's address plus four.
        offset: i32,
    },
    /// To the beginning of a low-overhead loop, or on after the last turn.
    Loop {
        /// Bytes from the instruction's address plus four; below zero.
        offset: i32,
    },
    /// From a function: BX LR, or a load of the program counter from the stack.
    Return,
    /// To an address in a register or in memory.
    Computed,
    /// To a function whose address is in a register.
    ComputedCall,
    /// To what a table in memory says: TBB, TBH.
    Table {
        /// Bytes of an entry.
        entry_bytes: u8,
    },
    /// Nowhere: UDF.
    Stop,
}

impl Flow {
    /// Whether it is a branch to a place that the code tells, the end of a loop apart.
    pub const fn is_direct(self) -> bool {
        matches!(self, Self::Jump { .. } | Self::Call { .. })
    }

    /// Whether it is a branch that the code tells, and may not be taken.
    pub const fn is_conditional(self) -> bool {
        matches!(
            self,
            Self::Jump {
                is_conditional: true,
                ..
            }
        )
    }

    /// Whether it is to a place that was computed or loaded, but is no return.
    pub const fn is_computed(self) -> bool {
        matches!(
            self,
            Self::Computed | Self::ComputedCall | Self::Table { .. }
        )
    }
}

/// The knowledge about the core register that an instruction computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    /// Nothing.
    Unknown,
    /// This number.
    Constant(u32),
    /// The value of the register with this number.
    Copy(u8),
    /// The value of a register, plus a number.
    Sum(u8, i32),
    /// The sum of two registers, of which the second one may be shifted.
    Total(u8, u8),
    /// Twice the value of a register, shifted to the left by one.
    Twice(u8),
    /// As before, with another upper half.
    UpperHalf(u16),
    /// So many bytes from the instruction's address plus four, rounded down to a word.
    Address(i32),
}

/// Floating-point values that an instruction moves or computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Float {
    /// Of 16 bits.
    Half,
    /// Of 32 bits.
    Single,
    /// Of 64 bits.
    Double,
    /// A vector of them.
    Vector,
}

/// A special register that an instruction writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Special {
    /// MSP of the security state in use.
    MainStack,
    /// Another stack pointer other than by its name: PSP, or one of the other security
    /// state; or CONTROL, which says which of them is in use.
    Stack,
    /// The limit of a stack pointer.
    StackLimit,
    /// Another one.
    Other,
}

/// The effect of an instruction on the stack pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stack {
    /// Nothing.
    Keeps,
    /// Adds a number of bytes; below zero the stack grows.
    Moves(i32),
    /// Sets it to a value that the instruction alone does not tell.
    Sets,
}

/// One instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// Its class for the pipelines.
    pub class: Class,
    /// Where the program counter goes.
    pub flow: Flow,
    /// Whether it has two halfwords.
    pub is_wide: bool,
    /// Whether it is executed only under a condition that an IT before it set.
    pub is_conditional: bool,
    /// How many of the instructions that follow have a condition: those of an IT.
    pub conditions: u8,
    /// Those of them whose condition is the opposite, a bit each, the first one's lowest.
    pub opposites: u8,
    /// The registers that it reads, but for the next four sets.
    pub operands: Registers,
    /// Registers that are shifted, extended or extracted before they are an operand.
    pub shifted: Registers,
    /// Registers that form an address.
    pub address: Registers,
    /// The register that a product is added to.
    pub accumulator: Registers,
    /// Registers that are written to memory.
    pub stored: Registers,
    /// The registers that it writes, but for the next set.
    pub results: Registers,
    /// The address register, if it is moved on.
    pub updated: Registers,
    /// The knowledge about the result.
    pub value: Value,
    /// Its access to memory.
    pub memory: Option<Memory>,
    /// Floating-point values that it has to do with.
    pub float: Option<Float>,
    /// A special register that it writes.
    pub special: Option<Special>,
}

/// Decodes one instruction that no IT precedes.
///
/// # Errors
/// [`Unknown`] if there is no such instruction, or none that this decoder knows.
pub fn decode(code: Code) -> Result<Instruction, Unknown> {
    decode_under(code, false)
}

/// The same for an instruction that an IT made conditional, or not. Short arithmetic
/// sets no flags then.
///
/// # Errors
/// As [`decode`].
pub fn decode_under(code: Code, is_conditional: bool) -> Result<Instruction, Unknown> {
    let instruction = match code.second {
        None => narrow::narrow(code.first.into(), is_conditional),
        Some(_) => wide::wide(code),
    };
    let mut instruction = instruction.ok_or(Unknown { code })?;
    instruction.is_wide = code.second.is_some();
    instruction.is_conditional = is_conditional;
    if is_conditional {
        instruction.operands |= Registers::FLAGS;
    }
    // Whatever writes the program counter jumps, also where no table says so.
    if instruction.flow == Flow::Next && instruction.writes().meets(Registers::PC) {
        instruction.flow = Flow::Computed;
    }
    Ok(instruction)
}

/// Decodes instructions that follow each other.
///
/// # Errors
/// As [`decode`].
pub fn decode_block(codes: &[Code]) -> Result<Vec<Instruction>, Unknown> {
    let mut conditions = 0_u8;
    let decode = |&code: &Code| {
        let instruction = decode_under(code, conditions > 0)?;
        conditions = conditions.saturating_sub(1).max(instruction.conditions);
        Ok(instruction)
    };
    codes.iter().map(decode).collect()
}

impl Code {
    /// A code of one halfword.
    pub const fn narrow(first: u16) -> Self {
        Self {
            first,
            second: None,
        }
    }

    /// A code of two halfwords.
    pub const fn wide(first: u16, second: u16) -> Self {
        Self {
            first,
            second: Some(second),
        }
    }

    /// The code that begins with `first`, and has what follows it in memory if it needs
    /// it; none if it needs it and there is nothing.
    pub const fn of(first: u16, next: Option<u16>) -> Option<Self> {
        match next {
            _ if !is_wide(first) => Some(Self::narrow(first)),
            Some(second) => Some(Self::wide(first, second)),
            None => None,
        }
    }

    /// How many bytes it has: two or four.
    pub const fn bytes(self) -> u32 {
        if self.second.is_some() { 4 } else { 2 }
    }

    /// Both halfwords, the first one in the upper half.
    const fn bits(self) -> u32 {
        let second = match self.second {
            Some(second) => second,
            None => 0,
        };
        (self.first as u32) << 16 | second as u32
    }

    /// `count` bits from bit `at` of both halfwords.
    const fn field(self, at: u32, count: u32) -> u32 {
        self.bits() >> at & ((1 << count) - 1)
    }

    /// Whether a bit is set.
    const fn has(self, bit: u32) -> bool {
        self.bits() >> bit & 1 == 1
    }

    /// A register of the core whose number is in four bits from `at`.
    const fn core(self, at: u32) -> Registers {
        Registers::core(self.field(at, 4))
    }

    /// The same, or none if the number is that of the program counter.
    const fn core_unless_pc(self, at: u32) -> Registers {
        match self.field(at, 4) {
            15 => Registers::NONE,
            number => Registers::core(number),
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.second {
            None => write!(f, "{:04x}", self.first),
            Some(second) => write!(f, "{:04x} {second:04x}", self.first),
        }
    }
}

/// Whether an instruction that begins with `first` has two halfwords.
pub const fn is_wide(first: u16) -> bool {
    first >> 11 >= 0b11101
}

impl Instruction {
    const fn new(class: Class, operands: Registers, results: Registers) -> Self {
        Self {
            class,
            flow: Flow::Next,
            is_wide: false,
            is_conditional: false,
            conditions: 0,
            opposites: 0,
            operands,
            shifted: Registers::NONE,
            address: Registers::NONE,
            accumulator: Registers::NONE,
            stored: Registers::NONE,
            results,
            updated: Registers::NONE,
            value: Value::Unknown,
            memory: None,
            float: None,
            special: None,
        }
    }

    /// Bytes of its code: two or four.
    pub const fn bytes(&self) -> u32 {
        if self.is_wide { 4 } else { 2 }
    }

    /// All registers that it reads.
    pub fn reads(&self) -> Registers {
        self.operands
            | self.shifted
            | self.address
            | self.accumulator
            | self.stored
            | if self.value_keeps_half() {
                self.results
            } else {
                Registers::NONE
            }
    }

    const fn value_keeps_half(&self) -> bool {
        matches!(self.value, Value::UpperHalf(_))
    }

    /// All registers that it writes.
    pub fn writes(&self) -> Registers {
        self.results | self.updated
    }

    /// Its effect on the stack pointer by name. A special register may be it
    /// too; see [`Special::Stack`].
    pub fn stack(&self) -> Stack {
        if !self.writes().meets(Registers::SP) {
            return Stack::Keeps;
        }
        let moved = self.memory.and_then(|memory| memory.update);
        match (self.value, moved) {
            _ if self.results.meets(Registers::SP) && self.updated.meets(Registers::SP) => {
                Stack::Sets
            }
            (Value::Sum(13, bytes), None) => Stack::Moves(bytes),
            (_, Some(bytes)) if self.updated.meets(Registers::SP) => Stack::Moves(bytes),
            _ => Stack::Sets,
        }
    }

    const fn with_value(mut self, value: Value) -> Self {
        self.value = value;
        self
    }

    const fn with_flow(mut self, flow: Flow) -> Self {
        self.flow = flow;
        self
    }

    const fn with_float(mut self, float: Float) -> Self {
        self.float = Some(float);
        self
    }

    const fn with_accumulator(mut self, accumulator: Registers) -> Self {
        self.accumulator = accumulator;
        self
    }

    const fn with_shifted(mut self, shifted: Registers) -> Self {
        self.shifted = shifted;
        self
    }
}

const NONE: Registers = Registers::NONE;
const FLAGS: Registers = Registers::FLAGS;

/// A branch to a place in the code.
fn jump(operands: Registers, offset: i32, is_conditional: bool) -> Instruction {
    Instruction::new(Class::Branch, operands, NONE).with_flow(Flow::Jump {
        offset,
        is_conditional,
    })
}

/// Extracts from a register, and perhaps adds the result to another.
fn extract(operands: Registers, shifted: Registers, results: Registers) -> Instruction {
    Instruction::new(Class::Simd, operands, results).with_shifted(shifted)
}

/// The lowest `bits` of `value` as a signed number.
const fn sign_extend(value: u32, bits: u32) -> i32 {
    (value << (32 - bits)).cast_signed() >> (32 - bits)
}

#[cfg(test)]
mod tests;
