//! The cycles of each step of an inference.

use std::collections::HashMap;

use tadpool_cycles::decode::Unknown;
use tadpool_cycles::latency::{Cycles, Latency};
use tadpool_cycles::memory::{MemoryError, MemoryMap};
use tadpool_cycles::pipeline::Core;
use tadpool_cycles::trace::{Access, Sink};

use super::bound::Bound;
use super::measure::Split;

/// Takes an inference and tells its steps apart: each ends where the function that observes
/// them is called, whose own cycles are left out. A [`Sink`].
#[derive(Debug)]
pub struct Steps {
    latency: Latency,
    observer: u32,
    /// The first address and the end of each block.
    blocks: HashMap<u32, (u32, u32)>,
    /// The end of the block that was executed last.
    before: u32,
    /// The cycles at which the step began; none while the observer runs.
    since: Option<Cycles>,
    /// Where the observer returns to.
    back: Option<u32>,
    steps: Vec<Cycles>,
    rest: Cycles,
    is_over: bool,
}

impl Steps {
    /// Of a core with memories, with the address of the function that is called after each
    /// step.
    ///
    /// # Errors
    /// [`MemoryError`] if the map cannot be used.
    pub fn new(core: Core, memory: &MemoryMap, observer: u32) -> Result<Self, MemoryError> {
        Ok(Self {
            latency: Latency::new(core, memory)?,
            observer,
            blocks: HashMap::new(),
            before: 0,
            since: None,
            back: None,
            steps: Vec::new(),
            rest: Cycles::default(),
            is_over: false,
        })
    }

    /// The steps that ended, and what came after the last one; none if the inference did not
    /// come to its end.
    pub fn cycles(&self) -> Option<(Vec<Split>, Split)> {
        let steps = self.steps.iter().map(|&cycles| cycles.into()).collect();
        self.is_over.then(|| (steps, self.rest.into()))
    }

    /// How far off they may be.
    pub fn bound(&mut self) -> Bound {
        self.latency.validated().into()
    }

    fn passed(&mut self, now: Cycles) -> Cycles {
        let since = self.since.take().unwrap_or(now);
        Cycles {
            issue: now.issue - since.issue,
            accesses: now.accesses - since.accesses,
            branches: now.branches - since.branches,
            code: now.code - since.code,
            data: now.data - since.data,
        }
    }
}

impl Sink for Steps {
    fn define(&mut self, block: u32, address: u32, code: &[u16]) -> Result<(), Unknown> {
        let end = address.wrapping_add(2 * code.len() as u32);
        self.blocks.insert(block, (address, end));
        self.latency.define(block, address, code)
    }

    fn execute(&mut self, block: u32, accesses: &[Access]) {
        self.latency.execute(block, accesses);
        let Some(&(address, end)) = self.blocks.get(&block) else {
            return;
        };
        if address == self.observer && self.since.is_some() {
            let cycles = self.passed(self.latency.settled());
            self.steps.push(cycles);
            self.back = Some(self.before);
        } else if self.back == Some(address) {
            self.back = None;
            self.since = Some(self.latency.settled());
        }
        self.before = end;
    }

    fn begin(&mut self) {
        self.latency.begin();
        self.since = Some(self.latency.settled());
    }

    fn end(&mut self) {
        self.latency.end();
        let now = self.latency.total();
        self.rest = self.passed(now);
        self.is_over = true;
    }
}

/// The same execution on several boards, whose memories differ. A [`Sink`].
#[derive(Debug)]
pub struct Alike(pub Vec<Steps>);

impl Sink for Alike {
    fn define(&mut self, block: u32, address: u32, code: &[u16]) -> Result<(), Unknown> {
        let mut all = self.0.iter_mut();
        all.try_for_each(|steps| steps.define(block, address, code))
    }

    fn execute(&mut self, block: u32, accesses: &[Access]) {
        for steps in &mut self.0 {
            steps.execute(block, accesses);
        }
    }

    fn begin(&mut self) {
        self.0.iter_mut().for_each(Sink::begin);
    }

    fn end(&mut self) {
        self.0.iter_mut().for_each(Sink::end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_where_the_observer_is_called() {
        let mut steps = Steps::new(Core::CortexM4, &MemoryMap::zero_wait(), 0x200).unwrap();
        // nop; bl 0x200, nop; bl 0x200, bx lr
        let call = |at: u32| {
            let offset = 0x200 - (at + 6);
            [0xbf00, 0xf000, 0xf800 | (offset / 2) as u16]
        };
        steps.define(0, 0x100, &call(0x100)).unwrap();
        steps.define(1, 0x106, &call(0x106)).unwrap();
        steps.define(2, 0x200, &[0xbf00, 0xbf00, 0x4770]).unwrap();
        steps.define(3, 0x10c, &[0xbf00, 0x4770]).unwrap();
        assert_eq!(steps.cycles(), None);
        steps.begin();
        for block in [0, 2, 1, 2, 3] {
            steps.execute(block, &[]);
        }
        steps.end();
        let (each, rest) = steps.cycles().unwrap();
        assert_eq!(each.len(), 2);
        assert!(
            each.iter()
                .chain([&rest])
                .all(|split| (2..8).contains(&split.cycles))
        );
    }
}
