//! Cortex-M7, which issues up to two instructions a cycle, in order.
//!
//! Sources: LLVM's scheduling model of the core, written by Arm
//! (`llvm/lib/Target/ARM/ARMScheduleM7.td`), and the measurements on an STM32H743 in
//! github.com/jnk0le/random ("pipeline cycle test"). Where they differ the measured
//! one is taken. They say that
//!
//! - arithmetic takes a cycle, and so does a word's load before arithmetic. Addresses,
//!   and what is shifted or extracted first, are wanted a cycle before other operands;
//!   a sum or a move whose own operands are in time for it is finished a cycle before
//!   other results. A product takes one cycle more, and does not take a word that was
//!   loaded in the cycle before; what is added to it is wanted a cycle later than it, so
//!   sums of products follow each other every cycle;
//! - bytes, halfwords and what is saturated take one cycle more than a word;
//! - what is stored is never waited for;
//! - what moves several registers takes a cycle for two, a division seven, and nothing
//!   else is issued with either. Nor are two products together, a product and a store,
//!   two stores, two that want the one shifter, or anything and then an instruction on
//!   bit fields or on parts of a register, which can only be the older one;
//! - two loads are issued together if they are from different banks of a tightly coupled
//!   memory, which are the even and the odd words.
//!
//! Fitted to the measurements of `validation`: two loads through a cache are not issued
//! together, and neither are a product and then a load that moves its address register.
//!
//! Assumptions of this estimate: a result is not forwarded to arithmetic in the same cycle,
//! as the measurements saw it of some sums. Direct branches and returns are predicted: they
//! take the place of an instruction and are the last one of their cycle. A condition is
//! predicted by a counter of two bits for each branch, and a branch to an address that was
//! computed or loaded to go where it went the last time.

use super::Event;
use super::predictor::Predictor;
use super::slots::{Access, Issued, Slots};
use crate::decode::{Class, Instruction, Registers};
use crate::latency::Cycles;
use crate::memory::Memories;

/// Cycles that a division takes.
const DIVISION: u64 = 7;

/// Cycles before what a special register, a barrier or a float gives can be read.
const SYSTEM: u64 = 3;

/// Cycles that a wrong prediction costs; six if the flags are known early enough.
const MISPREDICTION: u64 = 8;

/// In which cycle an instruction that reads a register can be issued, by what it does
/// with it.
#[derive(Debug, Clone, Copy, Default)]
struct Ready {
    /// Shifts it, extracts from it or takes it as an address.
    early: u64,
    multiplies: u64,
    /// All else.
    late: u64,
}

/// The pipeline.
#[derive(Debug)]
pub(crate) struct Pipeline {
    ready: [Ready; Registers::COUNT],
    slots: Slots,
    predictor: Predictor,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            ready: [Ready::default(); Registers::COUNT],
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
        let instruction = &event.operation.instruction;
        let before = self.slots.cycle;
        let read = match event.accesses {
            [access, ..] if !access.is_store => {
                let region = memories.region(access.address);
                (!memories.is_cached(region)).then_some(access.address)
            }
            _ => None,
        };
        let wanted = self.wanted(instruction);
        let taken = cycles_of(instruction);
        let issued = self.slots.issue((instruction, read), wanted, taken, pairs);
        self.finish(instruction, issued);
        cycles.issue += self.slots.cycle - before;
        if event.operation.is_branch() && self.is_missed(event) {
            self.slots.wait(MISPREDICTION);
            cycles.branches += MISPREDICTION;
        } else if event.operation.is_branch() {
            self.slots.wait(0);
        }
    }

    /// Whether a branch goes elsewhere than was predicted.
    fn is_missed(&mut self, event: &Event<'_>) -> bool {
        let flow = event.operation.instruction.flow;
        let address = event.operation.address;
        match event.target {
            Some(target) if flow.is_computed() => self.predictor.is_changed(address, target),
            target if flow.is_conditional() => self.predictor.is_missed(address, target.is_some()),
            _ => false,
        }
    }

    /// The first cycle in which all that an instruction reads can be read.
    fn wanted(&self, instruction: &Instruction) -> u64 {
        let latest = |registers: Registers, read: &dyn Fn(Ready) -> u64| {
            let ready = registers.numbers().map(|number| read(self.ready[number]));
            ready.max().unwrap_or(0)
        };
        let operands = match instruction.class {
            // It is predicted.
            Class::Branch => return 0,
            Class::Multiply => latest(instruction.operands, &|ready| ready.multiplies),
            _ => latest(instruction.operands, &|ready| ready.late),
        };
        let early = instruction.shifted | instruction.address;
        operands
            .max(latest(early, &|ready| ready.early))
            // Sums are made a cycle after products.
            .max(latest(instruction.accumulator, &|ready| ready.late).saturating_sub(1))
    }

    fn finish(&mut self, instruction: &Instruction, issued: Issued) {
        let at = issued.cycle;
        let is_word = matches!(
            instruction.class,
            Class::Load { bytes: 4, .. } | Class::Multiple { .. }
        );
        let latency = match instruction.class {
            Class::Load { .. } if !is_word => 2,
            Class::Multiply | Class::Saturate => 2,
            Class::Divide => DIVISION,
            Class::System | Class::Vector(_) => SYSTEM,
            _ => 1,
        };
        let is_early = !issued.is_younger
            && matches!(instruction.class, Class::Move | Class::Add)
            && instruction
                .operands
                .numbers()
                .all(|number| self.ready[number].early <= at);
        for (order, number) in instruction.results.numbers().enumerate() {
            // Two registers a cycle, of the lowest numbers first.
            let late = at + latency + if is_word { order as u64 / 2 } else { 0 };
            self.ready[number] = Ready {
                early: late + u64::from(!is_early),
                multiplies: late + u64::from(is_word),
                late,
            };
        }
        for number in instruction.updated.numbers() {
            let next = at + 1;
            self.ready[number] = Ready {
                early: next,
                multiplies: next,
                late: next,
            };
        }
    }
}

/// Cycles in which nothing can be issued that does not join it.
fn cycles_of(instruction: &Instruction) -> u64 {
    match instruction.class {
        Class::Multiple { registers } => u64::from(registers).div_ceil(2),
        Class::Divide => DIVISION,
        Class::TableBranch => 2,
        _ => 1,
    }
}

fn is_alone(instruction: &Instruction) -> bool {
    matches!(
        instruction.class,
        Class::Multiple { .. }
            | Class::Divide
            | Class::TableBranch
            | Class::System
            | Class::Vector(_)
    )
}

/// Whether the core has the units for two instructions in one cycle.
fn pairs((older, first): Access<'_>, (younger, second): Access<'_>) -> bool {
    match (older.class, younger.class) {
        _ if is_alone(older) || is_alone(younger) => false,
        (Class::Multiply, Class::Load { .. }) if !younger.updated.is_empty() => false,
        (_, Class::Extend | Class::Simd | Class::Saturate) => false,
        (Class::Multiply, Class::Multiply | Class::Store { .. })
        | (Class::Store { .. }, Class::Multiply | Class::Store { .. }) => false,
        (Class::Shift | Class::Shifted, Class::Shifted) => false,
        (_, Class::Shifted) => older.shifted.is_empty(),
        (Class::Load { .. }, Class::Load { .. }) => match (first, second) {
            (Some(first), Some(second)) => (first ^ second) & 4 != 0,
            _ => false,
        },
        _ => true,
    }
}

#[cfg(test)]
mod tests;
