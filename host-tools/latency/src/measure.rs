//! The cycles of what is executed: of each call, and where they go.

use std::collections::BTreeMap;

use serde::Serialize;
use tadpool_cycles::decode::Unknown;
use tadpool_cycles::latency::{Cycles, Latency};
use tadpool_cycles::memory::{MemoryError, MemoryMap};
use tadpool_cycles::pipeline::Core;
use tadpool_cycles::trace::{Access, Sink};

use super::bound::Bound;
use super::program::Program;

/// Cycles, by what they are spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Split {
    /// All of them.
    pub cycles: u64,
    /// Instructions, with what one waits for another's result.
    pub issue: u64,
    /// Cycles of loads and stores beyond the first, if memory answered at once.
    pub accesses: u64,
    /// To go on elsewhere.
    pub branches: u64,
    /// Waits for the memory of the code.
    pub code: u64,
    /// Waits for the memory of the data.
    pub data: u64,
}

/// Cycles of the calls of what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Calls {
    /// How many came to their end.
    pub count: u64,
    /// Cycles of them all.
    pub cycles: u64,
    /// Those of the fastest.
    pub min: u64,
    /// Those of the slowest.
    pub max: u64,
}

/// Something that cycles were spent in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// A function, or a line as `file:line`.
    pub name: String,
    /// Instructions that were executed.
    pub instructions: u64,
    /// The cycles that they took.
    #[serde(flatten)]
    pub split: Split,
}

/// Takes an execution and adds up its cycles. A [`Sink`].
#[derive(Debug)]
pub struct Measure {
    latency: Latency,
    calls: Calls,
    began: Option<u64>,
}

/// Where the cycles of an execution went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// The calls that were measured.
    pub calls: Calls,
    /// Instructions that were executed.
    pub instructions: u64,
    /// The cycles that they took, in all calls.
    #[serde(flatten)]
    pub split: Split,
    /// Functions, the one with the most cycles of its own first.
    pub functions: Vec<Spent>,
    /// Lines of source, likewise; none if the program does not tell.
    pub lines: Vec<Spent>,
}

impl Measure {
    /// Of a core with memories, whose caches are empty at first.
    ///
    /// # Errors
    /// [`MemoryError`] if the map cannot be used.
    pub fn new(core: Core, memory: &MemoryMap) -> Result<Self, MemoryError> {
        Ok(Self {
            latency: Latency::new(core, memory)?,
            calls: Calls::default(),
            began: None,
        })
    }

    /// How far off they may be.
    pub fn bound(&mut self) -> Bound {
        self.latency.validated().into()
    }

    /// Where the cycles went.
    pub fn profile(&mut self, program: &Program<'_>) -> Profile {
        let lines_of = program.lines();
        let mut functions = BTreeMap::new();
        let mut lines = BTreeMap::new();
        for spent in self.latency.by_address() {
            let function = program.function_at(spent.address);
            let name = function.map_or("?", |function| function.name.as_str());
            add(&mut functions, name, &spent);
            let line = lines_of.as_ref().and_then(|lines| lines.at(spent.address));
            if let Some((file, line)) = line {
                add(&mut lines, &format!("{file}:{line}"), &spent);
            }
        }
        Profile {
            calls: self.calls,
            instructions: self.latency.instructions(),
            split: self.latency.total().into(),
            functions: sorted(functions),
            lines: sorted(lines),
        }
    }
}

type Added = BTreeMap<String, (u64, Cycles)>;

fn add(all: &mut Added, name: &str, spent: &tadpool_cycles::latency::Line) {
    let (instructions, cycles) = all.entry(name.to_owned()).or_default();
    *instructions += spent.executions;
    cycles.add(&spent.cycles);
}

fn sorted(all: Added) -> Vec<Spent> {
    let mut spent: Vec<Spent> = all
        .into_iter()
        .map(|(name, (instructions, cycles))| Spent {
            name,
            instructions,
            split: cycles.into(),
        })
        .collect();
    spent.sort_by(|a, b| {
        b.split
            .cycles
            .cmp(&a.split.cycles)
            .then(a.name.cmp(&b.name))
    });
    spent
}

impl Split {
    /// The part that would be left if memory answered at once.
    pub const fn compute(&self) -> u64 {
        self.issue + self.accesses + self.branches
    }
}

impl std::ops::Add for Split {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cycles: self.cycles + other.cycles,
            issue: self.issue + other.issue,
            accesses: self.accesses + other.accesses,
            branches: self.branches + other.branches,
            code: self.code + other.code,
            data: self.data + other.data,
        }
    }
}

impl From<Cycles> for Split {
    fn from(cycles: Cycles) -> Self {
        Self {
            cycles: cycles.total(),
            issue: cycles.issue,
            accesses: cycles.accesses,
            branches: cycles.branches,
            code: cycles.code,
            data: cycles.data,
        }
    }
}

impl Sink for Measure {
    fn define(&mut self, block: u32, address: u32, code: &[u16]) -> Result<(), Unknown> {
        self.latency.define(block, address, code)
    }

    fn execute(&mut self, block: u32, accesses: &[Access]) {
        self.latency.execute(block, accesses);
    }

    fn begin(&mut self) {
        self.latency.begin();
        self.began = Some(self.latency.total().total());
    }

    fn end(&mut self) {
        self.latency.end();
        let Some(began) = self.began.take() else {
            return;
        };
        let cycles = self.latency.total().total() - began;
        let calls = &mut self.calls;
        calls.min = if calls.count == 0 {
            cycles
        } else {
            calls.min.min(cycles)
        };
        calls.max = calls.max.max(cycles);
        calls.cycles += cycles;
        calls.count += 1;
    }
}
