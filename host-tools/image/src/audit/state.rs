//! What is known of registers and the stack at a place in a function.

use std::collections::BTreeMap;

use tadpool_cycles::decode::{Flow, Instruction, Memory, Moved, Stack, Value as Computed};

use super::image::Image;

const SP: usize = 13;
const LR: usize = 14;
const PC: usize = 15;

/// What is known of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing.
    Any,
    /// What a register had when the function was entered; of the link register, where it
    /// returns to.
    Entry(u8),
    /// So many bytes from where the stack pointer was then.
    Frame(i32),
    /// A number.
    Number(u32),
    /// A word of the table at this address.
    OfTable(u32),
    /// A number of bytes behind this address.
    Behind(u32),
    /// An entry of a table of distances.
    Distance(Distances),
    /// Twice such an entry.
    TwiceDistance(Distances),
    /// Twice such an entry behind this address.
    BehindDistance(u32, Distances),
}

/// A table of distances between code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Distances {
    pub(super) table: u32,
    /// Of each entry.
    pub(super) bytes: u8,
}

/// What is known before an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    registers: [Value; 16],
    /// Words on the stack, by their place in bytes from where it was at the entry.
    slots: BTreeMap<i32, Value>,
    /// How many of the next instructions have a condition.
    pub(super) conditions: u8,
    /// The top of another stack that was changed to.
    pub(super) other_stack: Option<u32>,
}

/// Two ways to a place differ in a way that makes the stack unknown.
#[derive(Debug)]
pub(super) struct Unbalanced;

impl State {
    /// As a function is entered.
    pub(super) fn entry() -> Self {
        let mut registers = std::array::from_fn(|number| Value::Entry(number as u8));
        // What is passed, and what a veneer may use.
        for register in registers.iter_mut().take(4) {
            *register = Value::Any;
        }
        registers[12] = Value::Any;
        registers[SP] = Value::Frame(0);
        registers[PC] = Value::Any;
        Self {
            registers,
            slots: BTreeMap::new(),
            conditions: 0,
            other_stack: None,
        }
    }

    pub(super) fn get(&self, register: u8) -> Value {
        self.registers[usize::from(register & 15)]
    }

    /// Where the stack pointer is, in bytes from where it was; none if not known.
    pub(super) fn sp(&self) -> Option<i32> {
        match self.registers[SP] {
            Value::Frame(place) => Some(place),
            _ => None,
        }
    }

    /// The registers that a function must give back as they were, if one is not.
    pub(super) fn lost_register(&self) -> Option<u8> {
        (4..=11).find(|&number| self.get(number) != Value::Entry(number))
    }

    /// Learns that another way leads here too; whether anything is less known now.
    pub(super) fn join(&mut self, other: &Self) -> Result<bool, Unbalanced> {
        let same = self.registers[SP] == other.registers[SP]
            && self.conditions == other.conditions
            && self.other_stack == other.other_stack;
        if !same {
            return Err(Unbalanced);
        }
        let mut has_changed = false;
        for (ours, theirs) in self.registers.iter_mut().zip(&other.registers) {
            if *ours != Value::Any && ours != theirs {
                *ours = Value::Any;
                has_changed = true;
            }
        }
        let before = self.slots.len();
        self.slots
            .retain(|place, value| other.slots.get(place) == Some(value));
        Ok(has_changed || self.slots.len() != before)
    }

    /// Forgets all but the stack, and where its pointer is.
    pub(super) fn forget_but_stack(&mut self) {
        let sp = self.registers[SP];
        self.registers = [Value::Any; 16];
        self.registers[SP] = sp;
    }

    /// Changes to the stack with this top.
    pub(super) fn change_stack(&mut self, top: u32) {
        self.forget_but_stack();
        self.slots.clear();
        self.registers[SP] = Value::Frame(0);
        self.other_stack = Some(top);
    }

    /// A call of a part of the same function, which returns to `address`.
    pub(super) fn call_part(&mut self, address: u32) {
        self.registers[LR] = Value::Number(address);
    }

    /// After a call of a function that keeps the registers that are its caller's.
    pub(super) fn call(&mut self) {
        for register in [0, 1, 2, 3, 12, LR] {
            self.registers[register] = Value::Any;
        }
        if let Some(sp) = self.sp() {
            self.slots = self.slots.split_off(&sp);
        }
    }

    /// Executes an instruction at an address, but for its jump; returns what was loaded
    /// into the program counter or moved there. One that has a condition and does not
    /// jump may be left out.
    pub(super) fn execute(
        &mut self,
        image: &Image<'_>,
        address: u32,
        instruction: &Instruction,
    ) -> Value {
        let before = self.clone();
        let pc = Value::Number(address.wrapping_add(4));
        let pc_word = Value::Number(address.wrapping_add(4) & !3);
        let of = |register: u8| {
            if register == 15 {
                pc
            } else {
                before.get(register)
            }
        };
        let is_shifted = !instruction.shifted.is_empty();
        let value = match instruction.value {
            Computed::Constant(number) => Value::Number(number),
            Computed::Copy(register) => of(register),
            Computed::Sum(register, number) => plus(of(register), number),
            Computed::Address(number) => plus(pc_word, number),
            Computed::UpperHalf(upper) => match of(written_register(instruction)) {
                Value::Number(number) => Value::Number(number & 0xffff | u32::from(upper) << 16),
                _ => Value::Any,
            },
            Computed::Total(left, right) => match (of(left), of(right)) {
                (Value::Number(left), Value::Number(right)) if !is_shifted => {
                    Value::Number(left.wrapping_add(right))
                }
                (_, Value::Number(_)) if is_shifted => Value::Any,
                (Value::Number(number), Value::TwiceDistance(distances)) => {
                    Value::BehindDistance(number, distances)
                }
                (Value::Number(number), _) | (_, Value::Number(number)) => Value::Behind(number),
                _ => Value::Any,
            },
            Computed::Twice(register) => match of(register) {
                Value::Distance(distances) => Value::TwiceDistance(distances),
                _ => Value::Any,
            },
            Computed::Unknown => Value::Any,
        };
        let mut target = Value::Any;
        for number in instruction
            .writes()
            .numbers()
            .take_while(|&number| number < 16)
        {
            if number == PC {
                target = value;
            } else {
                self.registers[number] = value;
            }
        }
        if let Some(memory) = &instruction.memory {
            if let Some(loaded) = self.access(image, &before, instruction, memory, pc_word, &of) {
                target = loaded;
            }
        } else if let Stack::Moves(bytes) = instruction.stack() {
            self.registers[SP] = plus(before.registers[SP], bytes);
        }
        if let Some(sp) = self.sp() {
            // What is below the stack pointer belongs to interrupts.
            self.slots = self.slots.split_off(&sp);
        }
        if instruction.is_conditional && instruction.flow == Flow::Next {
            self.maybe(&before);
        }
        target
    }

    /// Undoes what is known only if the instruction before was executed. The stack
    /// pointer is lost if it may have moved.
    fn maybe(&mut self, before: &Self) {
        for (ours, theirs) in self.registers.iter_mut().zip(&before.registers) {
            if ours != theirs {
                *ours = Value::Any;
            }
        }
        self.slots
            .retain(|place, value| before.slots.get(place) == Some(value));
    }

    /// Returns what a load brought to the program counter.
    fn access(
        &mut self,
        image: &Image<'_>,
        before: &Self,
        instruction: &Instruction,
        memory: &Memory,
        pc_word: Value,
        of: &dyn Fn(u8) -> Value,
    ) -> Option<Value> {
        let mut target = None;
        let base = match memory.base {
            Some(15) => pc_word,
            Some(base) => of(base),
            None => Value::Any,
        };
        let place = match memory.offset {
            Some(offset) => plus(base, offset),
            None => Value::Any,
        };
        if memory.is_load {
            // An entry of a table: a register more than a known address.
            let table = match (memory.offset, base) {
                (None, _) => {
                    let numbers = instruction.address.numbers();
                    numbers
                        .map(|number| of(number as u8))
                        .find_map(|value| match value {
                            Value::Number(table) => Some(table),
                            _ => None,
                        })
                }
                (Some(offset), Value::Behind(table)) => Some(table.wrapping_add_signed(offset)),
                _ => None,
            };
            if let (Some(table), Moved::One(Some(register)), bytes @ (1 | 2)) =
                (table, memory.moved, memory.bytes)
            {
                let bytes = bytes as u8;
                let entry = Value::Distance(Distances { table, bytes });
                self.registers[usize::from(register & 15)] = entry;
            }
            for (register, distance) in memory.words() {
                let loaded = match plus(place, distance) {
                    Value::Frame(at) => before.slots.get(&at).copied().unwrap_or(Value::Any),
                    Value::Number(at) => image.constant(at).map_or(Value::Any, Value::Number),
                    _ => table.map_or(Value::Any, Value::OfTable),
                };
                if usize::from(register) == PC {
                    target = Some(loaded);
                } else {
                    self.registers[usize::from(register)] = loaded;
                }
            }
        } else if let Value::Frame(at) = place {
            let end = at.saturating_add_unsigned(memory.bytes);
            self.slots
                .retain(|&slot, _| slot.saturating_add(4) <= at || slot >= end);
            for (register, distance) in memory.words() {
                self.slots.insert(at.saturating_add(distance), of(register));
            }
        }
        if let (Some(update), Some(base_register)) = (memory.update, memory.base) {
            self.registers[usize::from(base_register)] = plus(base, update);
        }
        target
    }
}

/// The one register of the core that an instruction writes.
fn written_register(instruction: &Instruction) -> u8 {
    instruction.writes().numbers().next().unwrap_or(0) as u8
}

fn plus(value: Value, bytes: i32) -> Value {
    match value {
        Value::Frame(place) => place.checked_add(bytes).map_or(Value::Any, Value::Frame),
        Value::Number(number) => Value::Number(number.wrapping_add_signed(bytes)),
        value if bytes == 0 => value,
        _ => Value::Any,
    }
}
