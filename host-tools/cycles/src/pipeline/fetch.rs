//! The buffer that code is fetched into, a word a cycle, before it is decoded.

use super::Operation;
use crate::latency::Cycles;
use crate::memory::Memories;

/// Halfwords that the buffer holds.
const BUFFER: u64 = 6;

/// The buffer.
#[derive(Debug, Default)]
pub(super) struct Fetch {
    /// Halfwords that are fetched and not executed.
    fetched: u64,
    /// The word that is fetched next.
    next: u32,
    /// How many cycles its memory lets it wait.
    pending: u64,
}

impl Fetch {
    /// Begins anew with an instruction that was jumped to, and tells what memory is waited
    /// for. Of a long one off the word both words are there then.
    pub(super) fn enter(
        &mut self,
        operation: &Operation,
        memories: &mut Memories,
        now: u64,
    ) -> u64 {
        let word = operation.address & !3;
        let mut wait = memories.fetch(operation.region, word, now);
        self.next = word.wrapping_add(4);
        self.fetched = 2;
        if operation.is_off_word() {
            self.fetched = 1;
            if operation.instruction.is_wide {
                wait += memories.fetch(operation.region, self.next, now + wait);
                self.next = self.next.wrapping_add(4);
                self.fetched = 3;
            }
        }
        self.pending = memories.fetch(operation.region, self.next, now + wait);
        wait
    }

    /// Takes an instruction out of the buffer, and tells how many cycles that took because
    /// it was not there yet; of them, those that memory was waited for are counted.
    pub(super) fn take(
        &mut self,
        operation: &Operation,
        memories: &mut Memories,
        now: u64,
        cycles: &mut Cycles,
    ) -> u64 {
        let halfwords = u64::from(operation.instruction.bytes() / 2);
        let mut missing = 0;
        // What is executed first, and what an exception came back to, was not jumped to.
        let first = u64::from(self.next).wrapping_sub(2 * self.fetched);
        if first as u32 != operation.address {
            missing = self.enter(operation, memories, now);
            cycles.code += missing;
        }
        while self.fetched < halfwords {
            match self.pending > 0 {
                true => cycles.code += 1,
                false => cycles.issue += 1,
            }
            missing += 1;
            self.advance(1, operation, memories, now + missing);
        }
        self.fetched -= halfwords;
        missing
    }

    /// Fetches for some cycles, while an instruction is executed.
    pub(super) fn advance(
        &mut self,
        count: u64,
        operation: &Operation,
        memories: &mut Memories,
        now: u64,
    ) {
        for _ in 0..count {
            // Only whole words of the buffer are free.
            if self.fetched.div_ceil(2) == BUFFER / 2 {
                return;
            }
            if self.pending > 0 {
                self.pending -= 1;
                continue;
            }
            self.fetched += 2;
            self.next = self.next.wrapping_add(4);
            self.pending = memories.fetch(operation.region, self.next, now);
        }
    }
}
