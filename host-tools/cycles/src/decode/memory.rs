//! Access to memory.

use super::{Class, Flow, Instruction, NONE, Registers};

/// The memory access of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Memory {
    /// Whether it reads.
    pub is_load: bool,
    /// The core's register with the address; none if a vector has addresses.
    pub base: Option<u8>,
    /// The offset of the lowest address, in bytes, if it is a number. With the
    /// program counter as base, it counts from the instruction's address plus four,
    /// rounded down to a word.
    pub offset: Option<i32>,
    /// The write-back of the base register, in bytes.
    pub update: Option<i32>,
    /// Bytes in all, or those of one element if their addresses are a vector.
    pub bytes: u32,
    /// The kind of data moved.
    pub moved: Moved,
}

/// The registers that memory is read to or written from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moved {
    /// A word, or less, of one of the core's registers; none for what only prefetches.
    One(Option<u8>),
    /// A word each of two registers, in this order.
    Pair(u8, u8),
    /// A word each of several registers, a bit each, the lowest number at the lowest
    /// address.
    List(u16),
    /// Floats, vectors or special registers.
    Other,
}

impl Memory {
    /// The core's registers whose whole words are moved, each with its distance in
    /// bytes from the lowest address.
    pub fn words(&self) -> Vec<(u8, i32)> {
        match self.moved {
            Moved::One(Some(register)) if self.bytes == 4 => vec![(register, 0)],
            Moved::Pair(low, high) => vec![(low, 0), (high, 4)],
            Moved::List(list) => {
                let numbers = (0..16).filter(|number| list >> number & 1 == 1);
                numbers.zip((0..).step_by(4)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// How an address is made.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) base: u32,
    /// Other registers that are added.
    pub(super) index: Registers,
    pub(super) offset: Option<i32>,
    pub(super) update: Option<i32>,
}

impl Place {
    /// At a number of bytes from a register.
    pub(super) const fn at(base: u32, offset: i32) -> Self {
        Self {
            base,
            index: NONE,
            offset: Some(offset),
            update: None,
        }
    }

    /// At the sum of two registers.
    pub(super) const fn sum(base: u32, index: Registers) -> Self {
        Self {
            base,
            index,
            offset: None,
            update: None,
        }
    }

    /// With an offset that is added before the access, after it, or before it and for
    /// good, as the bits P and W tell.
    pub(super) const fn indexed(base: u32, distance: i32, is_before: bool, is_kept: bool) -> Self {
        Self {
            base,
            index: NONE,
            offset: Some(if is_before { distance } else { 0 }),
            update: if is_kept { Some(distance) } else { None },
        }
    }
}

/// One register of the core from or to memory. `None` only prefetches.
pub(super) fn one(is_load: bool, bytes: u8, register: Option<u32>, place: Place) -> Instruction {
    let class = match is_load {
        true => Class::Load {
            bytes,
            offset: place.offset,
        },
        false => Class::Store {
            offset: place.offset,
        },
    };
    let registers = register.map_or(NONE, Registers::core);
    let moved = Moved::One(register.map(|register| register as u8));
    access(class, is_load, bytes.into(), registers, moved, place)
}

/// Several registers of the core from or to memory.
pub(super) fn several(is_load: bool, moved: Moved, place: Place) -> Instruction {
    let list = match moved {
        Moved::Pair(low, high) => Registers::core(low.into()) | Registers::core(high.into()),
        Moved::List(list) => Registers::list(list.into()),
        Moved::One(_) | Moved::Other => NONE,
    };
    let registers = list.numbers().count() as u8;
    let bytes = match moved {
        Moved::Pair(..) => 8,
        _ => 4 * u32::from(registers),
    };
    access(
        Class::Multiple { registers },
        is_load,
        bytes,
        list,
        moved,
        place,
    )
}

/// Any registers from or to memory.
pub(super) fn access(
    class: Class,
    is_load: bool,
    bytes: u32,
    registers: Registers,
    moved: Moved,
    place: Place,
) -> Instruction {
    let base = Registers::core(place.base);
    let mut instruction = Instruction::new(class, NONE, NONE);
    instruction.address = base | place.index;
    instruction.updated = if place.update.is_some() { base } else { NONE };
    if is_load {
        instruction.results = registers;
    } else {
        instruction.stored = registers;
    }
    instruction.memory = Some(Memory {
        is_load,
        base: Some(place.base as u8),
        offset: place.offset,
        update: place.update,
        bytes,
        moved,
    });
    if is_load && registers.meets(Registers::PC) {
        // Back, if it was on the stack and the load takes it off.
        let is_return = instruction.address == Registers::SP && place.update.is_some();
        instruction.flow = if is_return {
            Flow::Return
        } else {
            Flow::Computed
        };
    }
    instruction
}
