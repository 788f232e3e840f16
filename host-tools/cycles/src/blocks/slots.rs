//! The cycles of a core that issues up to two instructions in one, in order.

use crate::decode::Instruction;

#[derive(Default)]
pub(super) struct Slots<'a> {
    /// The first cycle in which nothing was issued yet.
    pub(super) cycle: u64,
    /// The instruction issued in the cycle before, if another may join it.
    older: Option<&'a Instruction>,
}

/// When an instruction is issued.
#[derive(Clone, Copy)]
pub(super) struct Issued {
    pub(super) cycle: u64,
    /// Whether it joins an older one.
    pub(super) is_younger: bool,
}

impl<'a> Slots<'a> {
    /// Issues an instruction that is not to be issued before the cycle `wanted` and takes
    /// `cycles` of its own, or joins the one before if the two are a pair.
    pub(super) fn issue(
        &mut self,
        instruction: &'a Instruction,
        wanted: u64,
        cycles: u64,
        pairs: fn(&Instruction, &Instruction) -> bool,
    ) -> Issued {
        let is_younger = self
            .older
            .is_some_and(|older| wanted < self.cycle && pairs(older, instruction));
        let cycle = if is_younger {
            self.older = None;
            self.cycle - 1
        } else {
            let cycle = self.cycle.max(wanted);
            self.older = Some(instruction);
            self.cycle = cycle + cycles;
            cycle
        };
        Issued { cycle, is_younger }
    }
}
