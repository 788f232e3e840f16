//! The abstract values of registers and stack at a place in a function.

use std::collections::BTreeMap;

use tadpool_cycles::decode::{Instruction, Memory, Moved, Registers, Value as Computed};

use super::code::Code;

pub(super) const SP: usize = 13;
pub(super) const LR: usize = 14;
pub(super) const PC: usize = 15;
/// The registers that a function gives back as they were: r4 to r11.
pub(super) const KEPT: u16 = 0x0ff0;

/// The abstract value of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Unknown,
    /// The value that a register held when the function was entered: in the link register, where it
    /// is to return to.
    Entry(u8),
    /// This number.
    Constant(u32),
    /// So many bytes from where the stack pointer was when the function was entered.
    Stack(i32),
    /// A number that is not known, counted from this address: a place in a table.
    Indexed(u32),
    /// A number of so many bytes from the table at this address.
    Loaded(u32, u8),
    /// Twice that.
    Doubled(u32, u8),
    /// The same, counted from an address: where a jump by a table goes.
    Jump(Table),
}

/// A table of distances in halfwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Table {
    /// Where it begins.
    pub(super) start: u32,
    pub(super) entry_bytes: u8,
    /// The address that the distances are counted from.
    pub(super) origin: u32,
}

/// The abstract state at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) registers: [Value; 16],
    /// Words of the stack, by their addresses.
    slots: BTreeMap<Value, Value>,
    /// Instructions that follow and have a condition.
    pub(super) conditions: u8,
    /// Those of them whose condition is the opposite of the first one's, a bit each.
    opposites: u8,
    /// Whether that condition holds; none if that is not known any more.
    pub(super) holds: Option<bool>,
    /// The start of the stack in use, if it is not the one that the function was entered
    /// with.
    pub(super) other_stack: Option<u32>,
}

impl Value {
    fn plus(self, bytes: i32) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(value.wrapping_add_signed(bytes)),
            Self::Stack(place) => place.checked_add(bytes).map_or(Self::Unknown, Self::Stack),
            _ if bytes == 0 => self,
            _ => Self::Unknown,
        }
    }

    fn sum(self, other: Self) -> Self {
        match (self, other) {
            (Self::Constant(origin), Self::Doubled(start, entry_bytes)) => Self::Jump(Table {
                start,
                entry_bytes,
                origin,
            }),
            (value, Self::Constant(more)) | (Self::Constant(more), value) => {
                match value.plus(more.cast_signed()) {
                    Self::Unknown => Self::Indexed(more),
                    sum => sum,
                }
            }
            _ => Self::Unknown,
        }
    }

    fn join(self, other: Self) -> Self {
        if self == other { self } else { Self::Unknown }
    }

    /// Whether it is where a function is to return to, or a register that it is to give
    /// back: nobody but the function itself has reason to write over such a word on its
    /// stack.
    fn is_kept(self) -> bool {
        matches!(self, Self::Entry(4..=11 | 14))
    }
}

impl State {
    /// That at a function's first instruction.
    pub(super) fn entry() -> Self {
        let mut registers = std::array::from_fn(|number| Value::Entry(number as u8));
        registers[SP] = Value::Stack(0);
        registers[PC] = Value::Unknown;
        Self {
            registers,
            slots: BTreeMap::new(),
            conditions: 0,
            opposites: 0,
            holds: None,
            other_stack: None,
        }
    }

    /// Whether a function may begin here: its caller's registers and stack are as they were.
    pub(super) fn is_entry(&self) -> bool {
        self.registers[SP] == Value::Stack(0)
            && self.registers[LR] == Value::Entry(LR as u8)
            && self.kept() == KEPT
            && self.conditions == 0
            && self.other_stack.is_none()
    }

    /// Those of r4 to r11 that are as they were, a bit each.
    pub(super) fn kept(&self) -> u16 {
        let is_kept = |&number: &u8| self.registers[usize::from(number)] == Value::Entry(number);
        (4..12).filter(is_kept).map(|number| 1 << number).sum()
    }

    /// Bytes of the stack in use that the function has taken; none if that is not known.
    pub(super) fn depth(&self) -> Option<u32> {
        match (self.registers[SP], self.other_stack) {
            (Value::Stack(place), None) => Some(place.min(0).unsigned_abs()),
            (Value::Constant(place), Some(start)) => start.checked_sub(place),
            _ => None,
        }
    }

    /// Forgets what differs; whether the stack pointers agree.
    pub(super) fn join(&mut self, other: &Self) -> bool {
        let agrees = self.registers[SP] == other.registers[SP]
            && self.conditions == other.conditions
            && self.opposites == other.opposites
            && self.other_stack == other.other_stack;
        for (value, other) in self.registers.iter_mut().zip(other.registers) {
            *value = value.join(other);
        }
        self.slots
            .retain(|place, value| other.slots.get(place) == Some(value));
        agrees
    }

    /// Goes on after a call of a function that gives back the registers `kept` and writes
    /// up to `above` bytes of its caller's stack.
    pub(super) fn call(&mut self, kept: u16, above: u32) {
        for number in (0..13).chain([LR]) {
            if kept >> number & 1 == 0 {
                self.registers[number] = Value::Unknown;
            }
        }
        self.forget();
        let sp = self.registers[SP];
        for byte in 0..above {
            self.slots.remove(&sp.plus(byte.cast_signed()));
        }
    }

    /// Executes an instruction, but for where it goes. Returns how far above the function's
    /// own stack it writes.
    pub(super) fn execute(
        &mut self,
        instruction: &Instruction,
        address: u32,
        code: &Code<'_>,
    ) -> u32 {
        let memory = instruction.memory;
        let results = instruction.results;
        let mut above = 0;
        let loaded = memory.filter(|memory| memory.is_load);
        let loaded = loaded.map_or_else(Vec::new, |memory| self.load(&memory, address, code));
        if let Some(memory) = memory.filter(|memory| !memory.is_load) {
            above = self.store(&memory, instruction, address);
        }
        let computed = self.computed(instruction, address);
        for (number, value) in self.registers.iter_mut().enumerate() {
            if results.core_bits() >> number & 1 == 1 {
                *value = computed;
            }
        }
        for (number, value) in loaded {
            self.registers[usize::from(number & 15)] = value;
        }
        for number in instruction.updated.numbers().filter(|&number| number < 16) {
            let moved = memory.and_then(|memory| memory.update);
            self.registers[number] = match moved {
                Some(bytes) if !results.meets(Registers::core(number as u32)) => {
                    self.registers[number].plus(bytes)
                }
                _ => Value::Unknown,
            };
        }
        self.next();
        if instruction.conditions > 0 {
            self.conditions = instruction.conditions;
            self.opposites = instruction.opposites;
        }
        if instruction.writes().meets(Registers::FLAGS) {
            self.holds = None;
        }
        above
    }

    /// Goes on by one instruction.
    pub(super) fn next(&mut self) {
        self.conditions = self.conditions.saturating_sub(1);
        self.opposites >>= 1;
        if self.conditions == 0 {
            self.holds = None;
        }
    }

    /// Whether the next instruction is executed; none if that is not known.
    pub(super) fn executes(&self) -> Option<bool> {
        match self.conditions {
            0 => Some(true),
            _ => self.holds.map(|holds| holds == (self.opposites & 1 == 0)),
        }
    }

    /// The result of an instruction that uses no memory, if it writes one register.
    fn computed(&self, instruction: &Instruction, address: u32) -> Value {
        let pc = address.wrapping_add(4);
        let of = |number: u8| match usize::from(number & 15) {
            PC => Value::Constant(pc),
            number => self.registers[number],
        };
        match instruction.value {
            _ if instruction.results.core_bits().count_ones() != 1 => Value::Unknown,
            Computed::Constant(value) => Value::Constant(value),
            Computed::Copy(number) => of(number),
            Computed::Sum(number, bytes) => of(number).plus(bytes),
            // The wide one may shift the second register.
            Computed::Total(first, second) => match (of(first), of(second)) {
                (first, second) if !instruction.is_wide => first.sum(second),
                (Value::Constant(first), _) => Value::Indexed(first),
                _ => Value::Unknown,
            },
            Computed::Twice(number) => match of(number) {
                Value::Constant(value) => Value::Constant(value.wrapping_mul(2)),
                Value::Loaded(table, bytes) => Value::Doubled(table, bytes),
                _ => Value::Unknown,
            },
            Computed::UpperHalf(upper) => {
                let number = instruction.results.core_bits().trailing_zeros();
                match of(number as u8) {
                    Value::Constant(value) => {
                        Value::Constant(value & 0xffff | u32::from(upper) << 16)
                    }
                    _ => Value::Unknown,
                }
            }
            Computed::Address(bytes) => Value::Constant((pc & !3).wrapping_add_signed(bytes)),
            Computed::Unknown => Value::Unknown,
        }
    }

    /// The lowest address of an access.
    fn place(&self, memory: &Memory, address: u32) -> Value {
        let (Some(base), Some(offset)) = (memory.base, memory.offset) else {
            return Value::Unknown;
        };
        let base = match usize::from(base & 15) {
            PC => Value::Constant(address.wrapping_add(4) & !3),
            number => self.registers[number],
        };
        match base {
            Value::Stack(_) | Value::Constant(_) => base.plus(offset),
            _ => Value::Unknown,
        }
    }

    fn load(&self, memory: &Memory, address: u32, code: &Code<'_>) -> Vec<(u8, Value)> {
        let place = self.place(memory, address);
        let value = |distance: i32| match (self.slots.get(&place.plus(distance)), place) {
            (Some(value), _) => *value,
            (None, Value::Constant(_)) => match place.plus(distance) {
                Value::Constant(address) => {
                    code.word(address).map_or(Value::Unknown, Value::Constant)
                }
                _ => Value::Unknown,
            },
            _ => Value::Unknown,
        };
        let words = memory.words().into_iter();
        let loaded = words.map(|(register, distance)| (register, value(distance)));
        loaded.chain(self.of_table(memory)).collect()
    }

    /// The register that an entry of a table is loaded to.
    fn of_table(&self, memory: &Memory) -> Option<(u8, Value)> {
        let Moved::One(Some(register)) = memory.moved else {
            return None;
        };
        let table = match (
            self.registers[usize::from(memory.base? & 15)],
            memory.offset,
        ) {
            (Value::Constant(table), None) => table,
            (Value::Indexed(start), Some(offset)) => start.wrapping_add_signed(offset),
            _ => return None,
        };
        let bytes = memory.bytes as u8;
        (bytes <= 2).then_some((register, Value::Loaded(table, bytes)))
    }

    fn store(&mut self, memory: &Memory, instruction: &Instruction, address: u32) -> u32 {
        let place = self.place(memory, address);
        if place == Value::Unknown {
            // By a pointer, which may be to a variable on the stack.
            self.forget();
            return 0;
        }
        // A word that begins up to three bytes before is written over too.
        let bytes = if memory.base.is_some() {
            memory.bytes
        } else {
            0
        };
        for byte in -3..bytes.cast_signed() {
            self.slots.remove(&place.plus(byte));
        }
        let is_on_stack = matches!(place, Value::Stack(_)) || self.other_stack.is_some();
        if is_on_stack && !instruction.is_conditional {
            for (register, distance) in memory.words() {
                let value = self.registers[usize::from(register & 15)];
                self.slots.insert(place.plus(distance), value);
            }
        }
        match place {
            Value::Stack(lowest) => {
                let end = i64::from(lowest) + i64::from(bytes);
                u32::try_from(end.max(0)).unwrap_or(u32::MAX)
            }
            _ => 0,
        }
    }

    /// Forgets what others may have changed: all of the stack but what a function keeps
    /// there for itself.
    fn forget(&mut self) {
        self.slots.retain(|_, value| value.is_kept());
    }
}
