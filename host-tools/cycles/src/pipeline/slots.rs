//! The cycles of a core that issues up to two instructions in one, in order.

use crate::decode::Instruction;

/// The cycles, and what can be joined.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// The first cycle in which nothing was issued yet.
    pub(super) cycle: u64,
    /// The instruction issued in the cycle before, if another may join it, and the address
    /// that it reads.
    older: Option<(Instruction, Option<u32>)>,
}

/// When an instruction is issued.
#[derive(Debug, Clone, Copy)]
pub(super) struct Issued {
    pub(super) cycle: u64,
    /// Whether it joins an older one.
    pub(super) is_younger: bool,
}

/// An instruction, and the address that it reads.
pub(super) type Access<'a> = (&'a Instruction, Option<u32>);

impl Slots {
    /// Issues an instruction that is not to be issued before the cycle `wanted` and takes
    /// `cycles` of its own, or joins the one before if the two are a pair.
    pub(super) fn issue(
        &mut self,
        instruction: Access<'_>,
        wanted: u64,
        cycles: u64,
        pairs: fn(Access<'_>, Access<'_>) -> bool,
    ) -> Issued {
        let is_younger = self.older.as_ref().is_some_and(|(older, address)| {
            wanted < self.cycle && pairs((older, *address), instruction)
        });
        let cycle = if is_younger {
            self.older = None;
            self.cycle - 1
        } else {
            let cycle = self.cycle.max(wanted);
            self.older = Some((*instruction.0, instruction.1));
            self.cycle = cycle + cycles;
            cycle
        };
        Issued { cycle, is_younger }
    }

    /// Nothing is issued for so many cycles, and nothing joins what was.
    pub(super) fn wait(&mut self, cycles: u64) {
        self.cycle += cycles;
        self.older = None;
    }
}
