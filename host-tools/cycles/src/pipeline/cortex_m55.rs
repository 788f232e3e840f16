//! Cortex-M55.
//!
//! Source: LLVM's scheduling model of the core (`llvm/lib/Target/ARM/ARMScheduleM55.td`),
//! whose comments tell of the pipelines. In order, one instruction is issued a cycle;
//! two if both have one halfword and one of them is no operation, a condition, a branch,
//! MOV, an extension, or ADD or SUB of a constant. An instruction on vectors is two
//! beats of one of three pipes (loads and stores, integers, floats and products), so
//! the next one can begin a cycle later if it is for another pipe, and two cycles later
//! if it is for the same.
//!
//! Where the model is silent this estimate assumes, so as not to say too little:
//!
//! - a cycle for each register of several that are loaded or stored, and for each eight
//!   bytes of several vectors;
//! - a division as on the Cortex-M4;
//! - three cycles to go on elsewhere, which the model gives for a branch that was not
//!   foreseen, and none for the end of a low-overhead loop but when it is met first;
//! - two cycles before any bit field's or parallel sum's result, as most of them have.
//!
//! Vectors whose elements have an address each cost what others do, as in the model,
//! but their addresses are wanted four cycles before. A load may have to wait for the
//! store two cycles before it (github.com/slothy-optimizer/slothy, `cortex_m55r1.py`);
//! that is not counted.

use super::Event;
use super::predictor::Predictor;
use super::slots::{Access, Slots};
use crate::decode::{Class, Flow, Instruction, Pipe, Registers};
use crate::latency::Cycles;
use crate::memory::Memories;

/// Cycles to fill the pipeline after a branch.
const REFILL: u64 = 3;

/// The most that a division takes a Cortex-M4.
const DIVISION: u64 = 12;

/// How many cycles before other operands a vector of addresses is wanted.
const GATHER: u64 = 4;

/// In which cycle an instruction that reads a register can be issued.
#[derive(Debug, Clone, Copy, Default)]
struct Ready {
    /// If it stores it.
    stored: u64,
    other: u64,
}

/// The pipeline.
#[derive(Debug)]
pub(crate) struct Pipeline {
    ready: [Ready; Registers::COUNT],
    /// From when the pipes are free.
    access: u64,
    integer: u64,
    product: u64,
    control: u64,
    slots: Slots,
    predictor: Predictor,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            ready: [Ready::default(); Registers::COUNT],
            access: 0,
            integer: 0,
            product: 0,
            control: 0,
            slots: Slots::default(),
            predictor: Predictor::default(),
        }
    }
}

impl Pipeline {
    pub(crate) fn execute(
        &mut self,
        event: &Event<'_>,
        memories: &mut Memories,
        cycles: &mut Cycles,
    ) {
        let wait = event.wait(memories, self.slots.cycle, cycles);
        if wait > 0 {
            self.slots.wait(wait);
        }
        let operation = event.operation;
        if let Flow::Loop { .. } = operation.instruction.flow {
            // Once it was met, its loop takes it without an instruction.
            if let Some(target) = event.target
                && self.predictor.is_changed(operation.address, target)
            {
                self.slots.wait(1 + REFILL);
                cycles.branches += 1 + REFILL;
            }
            return;
        }
        let before = self.slots.cycle;
        self.issue(&operation.instruction);
        cycles.issue += self.slots.cycle - before;
        if event.target.is_some() {
            self.slots.wait(REFILL);
            cycles.branches += REFILL;
        }
    }

    fn issue(&mut self, instruction: &Instruction) {
        let wanted = self.wanted(instruction);
        let taken = cycles_of(instruction);
        let issued = self.slots.issue((instruction, None), wanted, taken, pairs);
        let at = issued.cycle;
        if let Class::Vector(vector) = instruction.class {
            *self.pipe(vector.pipe) = at + u64::from(vector.beats);
        }
        self.finish(instruction, at);
    }

    fn pipe(&mut self, pipe: Pipe) -> &mut u64 {
        match pipe {
            Pipe::Access => &mut self.access,
            Pipe::Integer => &mut self.integer,
            Pipe::Product => &mut self.product,
            Pipe::IntegerOrProduct if self.integer <= self.product => &mut self.integer,
            Pipe::IntegerOrProduct => &mut self.product,
            Pipe::Control => &mut self.control,
        }
    }

    /// The first cycle in which all that an instruction reads can be read, and its pipe
    /// is free.
    fn wanted(&mut self, instruction: &Instruction) -> u64 {
        let free = match instruction.class {
            Class::Vector(vector) => *self.pipe(vector.pipe),
            _ => 0,
        };
        let latest = |registers: Registers| {
            let ready = registers.numbers().map(|number| self.ready[number].other);
            ready.max().unwrap_or(0)
        };
        let operands = instruction.operands
            | instruction.shifted
            | instruction.address
            | instruction.accumulator;
        let addresses = instruction.address.vectors();
        let gathered = match addresses.is_empty() {
            true => 0,
            false => latest(addresses) + GATHER,
        };
        let stored = instruction.stored.numbers();
        let stored = stored.map(|number| self.ready[number].stored).max();
        free.max(latest(operands))
            .max(gathered)
            .max(stored.unwrap_or(0))
    }

    fn finish(&mut self, instruction: &Instruction, at: u64) {
        let is_multiple = matches!(instruction.class, Class::Multiple { .. });
        let latency = match instruction.class {
            Class::Load { .. }
            | Class::Multiple { .. }
            | Class::Multiply
            | Class::Shifted
            | Class::Simd
            | Class::Saturate
            | Class::System => 2,
            Class::Divide => DIVISION,
            Class::Vector(vector) => u64::from(vector.latency),
            _ => 1,
        };
        // A result of the third stage is forwarded to what stores it.
        let is_forwarded = matches!(instruction.class, Class::Vector(_)) && latency == 2;
        for (order, number) in instruction.results.numbers().enumerate() {
            let other = at + latency + if is_multiple { order as u64 } else { 0 };
            self.ready[number] = Ready {
                stored: other - u64::from(is_forwarded),
                other,
            };
        }
        for number in instruction.updated.numbers() {
            let next = at + 1;
            self.ready[number] = Ready {
                stored: next,
                other: next,
            };
        }
    }
}

/// Cycles in which nothing can be issued that does not join it.
fn cycles_of(instruction: &Instruction) -> u64 {
    match instruction.class {
        Class::Multiple { registers } => u64::from(registers).max(1),
        Class::Divide => DIVISION,
        Class::TableBranch => 2,
        _ => 1,
    }
}

/// Whether two instructions can be issued in one cycle.
fn pairs((older, _): Access<'_>, (younger, _): Access<'_>) -> bool {
    let joins = |instruction: &Instruction| match instruction.class {
        Class::Hint | Class::Move | Class::Extend => true,
        Class::Branch => instruction.flow.is_direct(),
        _ => false,
    };
    let is_narrow = !older.is_wide && !younger.is_wide;
    is_narrow
        && cycles_of(older) == 1
        && cycles_of(younger) == 1
        && (joins(older) || joins(younger))
}

#[cfg(test)]
mod tests;
