//! Cycles of an execution: each block as it is come to and left, with the addresses that
//! its instructions read and write.

use crate::decode::{Flow, Unknown};
use crate::memory::{Memories, MemoryError, MemoryMap};
use crate::pipeline::{Core, Event, Model, Operation};
use crate::trace::{Access, Sink};
use crate::validation::Validated;

/// Cycles, by what they were spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cycles {
    /// Instructions, with what one waits for another's result.
    pub issue: u64,
    /// Cycles of loads and stores beyond the first, if memory answered at once.
    pub accesses: u64,
    /// To go on elsewhere: filling the pipeline, and wrong predictions.
    pub branches: u64,
    /// Waits for memory that code is read from.
    pub code: u64,
    /// Waits for memory that data is read from or written to.
    pub data: u64,
}

impl Cycles {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.issue + self.accesses + self.branches + self.code + self.data
    }
}

/// One instruction, and what it took in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its address.
    pub address: u32,
    /// How often it was executed.
    pub executions: u64,
    /// The cycles that it took.
    pub cycles: Cycles,
}

/// The latency of what is executed, and where it goes. A [`Sink`] of a trace.
///
/// ```
/// use tadpool_cycles::latency::Latency;
/// use tadpool_cycles::memory::MemoryMap;
/// use tadpool_cycles::pipeline::Core;
/// use tadpool_cycles::trace::{Access, Sink};
///
/// let mut latency = Latency::new(Core::CortexM4, &MemoryMap::zero_wait())?;
/// // ldr r0, [r1]; b #-2
/// latency.define(0, 0x100, &[0x6808, 0xe7fd])?;
/// let load = Access { instruction: 0, address: 0x2000_0000, bytes: 4, is_store: false };
/// latency.execute(0, &[load]);
/// latency.execute(0, &[load]);
/// assert_eq!(latency.total().total(), 2 + 1 + 1 + 2 + 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Latency {
    core: Core,
    map: MemoryMap,
    model: Model,
    memories: Memories,
    blocks: Vec<Option<Block>>,
    /// The instruction executed last, whose cost depends on where execution goes on.
    pending: Option<usize>,
    accesses: Vec<Access>,
    total: Cycles,
    instructions: u64,
    /// Those of them that have to do with floats.
    floats: u64,
}

#[derive(Debug)]
struct Block {
    address: u32,
    /// The address behind it.
    end: u32,
    operations: Vec<Operation>,
    counts: Vec<(u64, Cycles)>,
}

impl Latency {
    /// Of a core with a board's memories, whose caches are empty.
    ///
    /// # Errors
    /// [`MemoryError`] if the map cannot be used.
    pub fn new(core: Core, memory: &MemoryMap) -> Result<Self, MemoryError> {
        Ok(Self {
            core,
            map: memory.clone(),
            model: Model::new(core),
            memories: Memories::new(memory)?,
            blocks: Vec::new(),
            pending: None,
            accesses: Vec::new(),
            total: Cycles::default(),
            instructions: 0,
            floats: 0,
        })
    }

    /// Cycles until the last block began, which are settled.
    pub const fn settled(&self) -> Cycles {
        self.total
    }

    /// Cycles until now, as if the execution ended here.
    pub fn total(&mut self) -> Cycles {
        self.leave(None);
        self.total
    }

    /// How many instructions were executed.
    pub fn instructions(&mut self) -> u64 {
        self.leave(None);
        self.instructions
    }

    /// The cycles of each instruction, by block; an address is met twice if it is in two blocks.
    pub fn by_address(&mut self) -> Vec<Line> {
        self.leave(None);
        let blocks = self.blocks.iter().flatten();
        let lines = blocks.flat_map(|block| {
            let counted = block.operations.iter().zip(&block.counts);
            counted.map(|(operation, &(executions, cycles))| Line {
                address: operation.address,
                executions,
                cycles,
            })
        });
        lines.filter(|line| line.executions > 0).collect()
    }

    /// How far such estimates are from what was measured, by the memories that were accessed;
    /// none if there is nothing to compare with, or if more than a hundredth of the
    /// instructions has to do with floats.
    pub fn validated(&mut self) -> Option<Validated> {
        self.leave(None);
        if self.floats > self.instructions / 100 {
            return None;
        }
        let mut used = self.map.clone();
        used.regions
            .retain(|region| self.memories.is_used(region.start));
        self.core.validated(&used)
    }

    /// Executes what is pending, after which the block at `target` is executed.
    pub(crate) fn leave(&mut self, target: Option<u32>) {
        let Some(block) = self.pending.take() else {
            return;
        };
        let Some(block) = &mut self.blocks[block] else {
            return;
        };
        let count = executed(block, target);
        let mut accesses = &self.accesses[..];
        for at in 0..count {
            let is_own = |access: &Access| usize::from(access.instruction) == at;
            let own = accesses.iter().take_while(|access| is_own(access)).count();
            let (own, rest) = accesses.split_at(own);
            accesses = rest;
            let operation = &block.operations[at];
            let is_last = at + 1 == count;
            let event = Event {
                operation,
                accesses: own,
                // A condition left it out if it accesses nothing.
                is_skipped: operation.may_be_skipped && own.is_empty(),
                target: target
                    .filter(|_| is_last && operation.is_branch())
                    .filter(|&target| target != operation.end()),
            };
            let mut cycles = Cycles::default();
            self.model.execute(&event, &mut self.memories, &mut cycles);
            let counted = &mut block.counts[at];
            counted.0 += 1;
            counted.1.add(&cycles);
            self.total.add(&cycles);
            self.floats += u64::from(operation.instruction.float.is_some());
        }
        self.instructions += count as u64;
    }
}

/// How many instructions of a block were executed: all, unless it was left where it could not
/// go elsewhere.
fn executed(block: &Block, target: Option<u32>) -> usize {
    let all = block.operations.len();
    let goes_on = block
        .operations
        .last()
        .is_some_and(|last| last.instruction.flow == Flow::Next);
    match target {
        Some(target) if goes_on && target != block.end => {
            let left = |operation: &Operation| operation.address == target;
            block
                .operations
                .iter()
                .position(left)
                .filter(|&at| at > 0)
                .unwrap_or(all)
        }
        _ => all,
    }
}

impl Cycles {
    /// Adds those of something else.
    pub const fn add(&mut self, other: &Self) {
        self.issue += other.issue;
        self.accesses += other.accesses;
        self.branches += other.branches;
        self.code += other.code;
        self.data += other.data;
    }
}

impl Sink for Latency {
    fn define(&mut self, block: u32, address: u32, code: &[u16]) -> Result<(), Unknown> {
        let operations = Operation::all(address, code, &mut self.memories)?;
        let block = block as usize;
        if self.blocks.len() <= block {
            self.blocks.resize_with(block + 1, || None);
        }
        self.blocks[block] = Some(Block {
            address,
            end: address.wrapping_add(2 * code.len() as u32),
            counts: vec![Default::default(); operations.len()],
            operations,
        });
        Ok(())
    }

    fn execute(&mut self, block: u32, accesses: &[Access]) {
        let block = block as usize;
        let Some(Some(next)) = self.blocks.get(block) else {
            return;
        };
        self.leave(Some(next.address));
        self.pending = Some(block);
        self.accesses.clear();
        self.accesses.extend_from_slice(accesses);
    }

    fn begin(&mut self) {
        self.leave(None);
    }

    fn end(&mut self) {
        self.leave(None);
    }
}
