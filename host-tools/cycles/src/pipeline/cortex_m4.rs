//! Cortex-M4, and Cortex-M3, which has its pipeline.
//!
//! Sources: Arm Cortex-M4 Technical Reference Manual (DDI 0439), sections 3.3.1
//! "Cortex-M4 instructions" and 3.3.2 "Load/store timings", and where the manual gives a
//! range or is silent, what published measurements at zero wait states say:
//!
//! - a load takes two cycles, or one if the one before loaded from the same memory, but not
//!   the address; a NOP behind it is free. That the one before moved the address register
//!   does not matter (fitted to the measurements of `validation`);
//! - a load behind a store waits two cycles for it (fitted);
//! - a store takes one cycle, or two if its offset is in a register;
//! - an address that the instruction before computed is wanted a cycle earlier;
//! - a word off the halfword takes two cycles more, a word off the word or a halfword off
//!   the halfword one;
//! - a taken branch takes a cycle more, CBZ and CBNZ, and branches to an address in a
//!   register or from memory, two; and two more if the target is a long instruction that
//!   does not begin on a word;
//! - code comes a word a cycle into a buffer of three words; a branch that is not taken
//!   loses one of them, and so do three long instructions off the word;
//! - IT takes no cycle behind a short instruction;
//! - what a condition leaves out takes a cycle;
//! - VMLA and its kin take three cycles, VDIV and VSQRT fourteen, and a load of floats one
//!   and one a word;
//! - a division takes three cycles, and one for every four bits of the quotient but the
//!   first. Operands are not known: the mean over quotients of 1 to 32 bits is taken.
//!
//! Cortex-M3: Arm Cortex-M3 Technical Reference Manual (DDI 0337), section 3.3.1: a product
//! of 32 bits takes one cycle, with accumulation two; one of 64 bits three to five, with
//! accumulation four to seven, of which the most is taken.

use super::fetch::Fetch;
use super::{Event, Operation};
use crate::decode::{Class, Flow, Instruction, Registers, Value};
use crate::latency::Cycles;
use crate::memory::{Memories, NO_REGION};

/// The mean over quotients of 1 to 32 bits, of 3 to 10.
pub(super) const DIVISION: u64 = 7;
/// Cycles that a load behind a store waits.
const LOAD_BEHIND_STORE: u64 = 2;
/// Of so many long instructions off the word, a fetch is lost.
const LOST: u64 = 3;
/// More cycles of a jump to a long instruction that does not begin on a word.
const OFF_WORD: u64 = 2;

/// Whose rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    CortexM3,
    CortexM4,
}

/// The pipeline.
#[derive(Debug)]
pub(crate) struct Pipeline {
    rules: Rules,
    now: u64,
    fetch: Fetch,
    /// Long instructions off the word of which no fetch was lost yet.
    off: u64,
    /// Whether the next instruction was jumped to.
    is_entered: bool,
    before: Before,
}

/// The state that the instruction before leaves.
#[derive(Debug, Clone, Copy)]
struct Before {
    kind: Kind,
    is_wide: bool,
    results: Registers,
    /// The memory that it accessed.
    region: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Load,
    Store,
    /// Of several registers.
    Multiple,
    Other,
}

impl Pipeline {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            now: 0,
            fetch: Fetch::default(),
            off: 0,
            is_entered: false,
            before: Before {
                kind: Kind::Other,
                is_wide: true,
                results: Registers::NONE,
                region: NO_REGION,
            },
        }
    }

    pub(crate) fn execute(
        &mut self,
        event: &Event<'_>,
        memories: &mut Memories,
        cycles: &mut Cycles,
    ) {
        let operation = event.operation;
        let instruction = &operation.instruction;
        let jumped = self.enter(operation, memories, cycles);
        let missing = self.fetch.take(operation, memories, self.now, cycles);
        self.now += missing;
        let wait = event.wait_for_data(memories, self.now, cycles);
        let region = match event.accesses {
            [first, ..] => memories.region(first.address),
            [] => NO_REGION,
        };
        let own = match event.is_skipped {
            true => 1,
            false => self.own(event, region),
        };
        let left = if event.target.is_some() {
            refill(instruction)
        } else {
            0
        };
        let lost = u64::from(event.is_not_taken()) + self.lost(operation);
        let fetches = (own + wait).saturating_sub(lost);
        self.fetch.advance(fetches, operation, memories, self.now);
        self.is_entered = event.target.is_some();
        self.before = Before {
            kind: if event.is_skipped {
                Kind::Other
            } else {
                kind(instruction)
            },
            is_wide: instruction.is_wide,
            results: instruction.results,
            region,
        };
        let is_access = instruction.memory.is_some();
        let issue = if is_access { own.min(1) } else { own };
        cycles.issue += issue;
        cycles.accesses += own - issue;
        cycles.branches += jumped + left;
        self.now += own + wait + left;
    }

    /// Cycles that a jump's target costs.
    fn enter(
        &mut self,
        operation: &Operation,
        memories: &mut Memories,
        cycles: &mut Cycles,
    ) -> u64 {
        if !std::mem::take(&mut self.is_entered) {
            return 0;
        }
        let wait = match operation.instruction.is_wide && operation.is_off_word() {
            true => OFF_WORD,
            false => 0,
        };
        let code = self.fetch.enter(operation, memories, self.now);
        cycles.code += code;
        self.now += code + wait;
        wait
    }

    /// Fetches that are lost since long instructions do not begin on a word.
    fn lost(&mut self, operation: &Operation) -> u64 {
        if !operation.instruction.is_wide || !operation.is_off_word() {
            return 0;
        }
        self.off += 1;
        let lost = self.off / LOST;
        self.off %= LOST;
        lost
    }

    /// Cycles of an instruction that is fetched, and accesses the memory `region`.
    fn own(&self, event: &Event<'_>, region: usize) -> u64 {
        let instruction = &event.operation.instruction;
        let before = &self.before;
        let address = instruction.address;
        // No result is forwarded to an address.
        let stall = before.kind == Kind::Other && address.meets(before.results);
        let needs = address.meets(before.results);
        let overlaps = before.kind == Kind::Load && !needs;
        match instruction.class {
            Class::Divide => DIVISION,
            Class::Load { .. } => {
                let behind = match before.kind {
                    Kind::Load if overlaps && before.region == region => 1,
                    Kind::Store => 2 + LOAD_BEHIND_STORE,
                    _ => 2 + u64::from(stall),
                };
                behind + off(event)
            }
            Class::Store { .. } if overlaps => 1 + off(event),
            // The write buffer takes it, and only an offset in a register takes time.
            Class::Store { offset } => {
                1 + u64::from(offset.is_none()) + u64::from(stall) + off(event)
            }
            Class::Multiple { registers } => 1 + u64::from(registers),
            Class::TableBranch => 3,
            Class::Hint if instruction.conditions > 0 => u64::from(before.is_wide),
            Class::Hint => u64::from(before.kind != Kind::Load),
            Class::Vector(vector) => floats(instruction, vector.latency),
            Class::Multiply if self.rules == Rules::CortexM3 => product(instruction),
            _ => 1,
        }
    }
}

/// More cycles of an access that is not aligned.
fn off(event: &Event<'_>) -> u64 {
    match event.accesses {
        [access] if access.bytes == 4 && access.address & 1 != 0 => 2,
        [access] if access.bytes == 4 && access.address & 2 != 0 => 1,
        [access] if access.bytes == 2 && access.address & 1 != 0 => 1,
        _ => 0,
    }
}

/// Cycles to go on elsewhere.
fn refill(last: &Instruction) -> u64 {
    match last.flow {
        Flow::Next | Flow::Stop => 0,
        // CBZ and CBNZ compare a register themselves.
        Flow::Jump {
            is_conditional: true,
            ..
        } if !last.operands.meets(Registers::FLAGS) => 2,
        Flow::Jump { .. } | Flow::Call { .. } | Flow::Loop { .. } => 1,
        Flow::Return | Flow::Computed | Flow::ComputedCall | Flow::Table { .. } => 2,
    }
}

/// Cycles of a product on a Cortex-M3.
fn product(instruction: &Instruction) -> u64 {
    let is_long = instruction.results.numbers().count() == 2;
    match instruction.accumulator.is_empty() {
        true if is_long && instruction.is_wide => 5,
        false if is_long => 7,
        false => 2,
        true => 1,
    }
}

/// Cycles of floats.
pub(super) fn floats(instruction: &Instruction, latency: u8) -> u64 {
    const LONG: u8 = 14;
    let sums = instruction.operands.meets(instruction.results);
    match instruction.memory {
        Some(memory) => 1 + u64::from(memory.bytes.div_ceil(4)),
        None if latency >= LONG => LONG.into(),
        None if sums && instruction.value == Value::Unknown => 3,
        None => 1,
    }
}

fn kind(instruction: &Instruction) -> Kind {
    match instruction.class {
        Class::Load { .. } => Kind::Load,
        Class::Store { .. } => Kind::Store,
        Class::Multiple { .. } | Class::TableBranch => Kind::Multiple,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests;
