//! Pipelines: what an instruction takes on a core, by what is published of it and by
//! measurements. One file a core, with the source of every rule.
//!
//! A pipeline is given what is executed, one instruction after another, with the addresses
//! that are read and written and where branches go, and keeps what one instruction leaves
//! to the next.

mod cortex_m0;
mod cortex_m33;
mod cortex_m4;
mod cortex_m55;
mod cortex_m7;
mod fetch;
mod predictor;
mod slots;

use crate::decode::{Code, Flow, Instruction, Unknown, decode_block};
use crate::latency::Cycles;
use crate::memory::Memories;
use crate::trace::Access;

/// A core whose cycles can be estimated. By what each is, its file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Core {
    /// Armv6-M in three stages.
    CortexM0,
    /// Armv6-M in two stages.
    CortexM0Plus,
    /// Armv7-M without SIMD and floats.
    CortexM3,
    /// Armv7-M with them.
    CortexM4,
    /// Armv7-M, up to two instructions a cycle.
    CortexM7,
    /// Armv8-M.
    CortexM33,
    /// Armv8.1-M with vectors.
    CortexM55,
}

impl Core {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::CortexM0,
        Self::CortexM0Plus,
        Self::CortexM3,
        Self::CortexM4,
        Self::CortexM7,
        Self::CortexM33,
        Self::CortexM55,
    ];

    /// Its name, in lower case, as compilers have it: `cortex-m4`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CortexM0 => "cortex-m0",
            Self::CortexM0Plus => "cortex-m0plus",
            Self::CortexM3 => "cortex-m3",
            Self::CortexM4 => "cortex-m4",
            Self::CortexM7 => "cortex-m7",
            Self::CortexM33 => "cortex-m33",
            Self::CortexM55 => "cortex-m55",
        }
    }

    /// The core with a name, whose letters may be of either case and may be followed by
    /// what says that it has floats: `Cortex-M4F`, `Cortex-M0+`.
    pub fn by_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase().replace('+', "plus");
        let is = |core: &Self| name.trim_end_matches('f') == core.name();
        Self::ALL.into_iter().find(is)
    }
}

/// An instruction at its address.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) instruction: Instruction,
    pub(crate) address: u32,
    /// The memory that its code is in.
    pub(crate) region: usize,
    /// Whether it accesses memory unless a condition leaves it out.
    pub(crate) may_be_skipped: bool,
}

/// An instruction that is executed.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) operation: &'a Operation,
    pub(crate) accesses: &'a [Access],
    /// Whether a condition is seen to leave it out.
    pub(crate) is_skipped: bool,
    /// Where it goes, if that is not what follows in memory.
    pub(crate) target: Option<u32>,
}

/// The pipeline of one core.
#[derive(Debug)]
pub(crate) enum Model {
    CortexM0(cortex_m0::Pipeline),
    CortexM4(cortex_m4::Pipeline),
    CortexM33(cortex_m33::Pipeline),
    CortexM7(Box<cortex_m7::Pipeline>),
    CortexM55(Box<cortex_m55::Pipeline>),
}

impl Model {
    pub(crate) fn new(core: Core) -> Self {
        use cortex_m4::Rules;
        match core {
            Core::CortexM0 => Self::CortexM0(cortex_m0::Pipeline::new(cortex_m0::CORTEX_M0)),
            Core::CortexM0Plus => {
                Self::CortexM0(cortex_m0::Pipeline::new(cortex_m0::CORTEX_M0_PLUS))
            }
            Core::CortexM3 => Self::CortexM4(cortex_m4::Pipeline::new(Rules::CortexM3)),
            Core::CortexM4 => Self::CortexM4(cortex_m4::Pipeline::new(Rules::CortexM4)),
            Core::CortexM33 => Self::CortexM33(cortex_m33::Pipeline::default()),
            Core::CortexM7 => Self::CortexM7(Box::default()),
            Core::CortexM55 => Self::CortexM55(Box::default()),
        }
    }

    /// Executes an instruction, and adds what it takes to `cycles`.
    pub(crate) fn execute(
        &mut self,
        event: &Event<'_>,
        memories: &mut Memories,
        cycles: &mut Cycles,
    ) {
        match self {
            Self::CortexM0(pipeline) => pipeline.execute(event, memories, cycles),
            Self::CortexM4(pipeline) => pipeline.execute(event, memories, cycles),
            Self::CortexM33(pipeline) => pipeline.execute(event, memories, cycles),
            Self::CortexM7(pipeline) => pipeline.execute(event, memories, cycles),
            Self::CortexM55(pipeline) => pipeline.execute(event, memories, cycles),
        }
    }
}

impl Operation {
    /// The instructions of a block that begins at an address.
    pub(crate) fn all(
        mut address: u32,
        mut halfwords: &[u16],
        memories: &mut Memories,
    ) -> Result<Vec<Self>, Unknown> {
        let mut codes = Vec::new();
        while let [first, rest @ ..] = halfwords {
            // Half an instruction at the end is decoded as if zeros followed it.
            let second = rest.first().copied().unwrap_or(0);
            let code = Code::of(*first, Some(second)).unwrap_or(Code::narrow(*first));
            halfwords = halfwords.get(code.bytes() as usize / 2..).unwrap_or(&[]);
            codes.push(code);
        }
        let mut operations = Vec::with_capacity(codes.len());
        for instruction in decode_block(&codes)? {
            operations.push(Self {
                instruction,
                address,
                region: memories.region(address),
                may_be_skipped: instruction.is_conditional && instruction.memory.is_some(),
            });
            address = address.wrapping_add(instruction.bytes());
        }
        Ok(operations)
    }

    /// The address behind it.
    pub(crate) fn end(&self) -> u32 {
        self.address.wrapping_add(self.instruction.bytes())
    }

    /// Whether it begins at the second half of a word.
    pub(crate) fn is_off_word(&self) -> bool {
        self.address & 2 != 0
    }

    /// Whether it can go elsewhere.
    pub(crate) fn is_branch(&self) -> bool {
        !matches!(self.instruction.flow, Flow::Next | Flow::Stop)
    }
}

impl Event<'_> {
    /// Whether it is a branch that goes on.
    pub(crate) fn is_not_taken(&self) -> bool {
        self.target.is_none() && self.operation.is_branch()
    }

    /// Cycles that its code and its data wait for memory, at `now`; the former are added to
    /// what the code took, the latter to what the data took.
    pub(crate) fn wait(&self, memories: &mut Memories, now: u64, cycles: &mut Cycles) -> u64 {
        let code = self.wait_for_code(memories, now, cycles);
        code + self.wait_for_data(memories, now + code, cycles)
    }

    /// The former alone.
    fn wait_for_code(&self, memories: &mut Memories, now: u64, cycles: &mut Cycles) -> u64 {
        let operation = self.operation;
        let mut code = memories.fetch(operation.region, operation.address, now);
        if operation.instruction.is_wide {
            let second = operation.address.wrapping_add(2);
            code += memories.fetch(operation.region, second, now + code);
        }
        cycles.code += code;
        code
    }

    /// The latter alone.
    pub(crate) fn wait_for_data(
        &self,
        memories: &mut Memories,
        now: u64,
        cycles: &mut Cycles,
    ) -> u64 {
        let mut data = 0;
        for access in self.accesses {
            let region = memories.region(access.address);
            let bytes = access.bytes.into();
            data += match access.is_store {
                true => memories.store(region, access.address, bytes),
                false => memories.load(region, access.address, bytes, now + data),
            };
        }
        cycles.data += data;
        data
    }
}

/// Whether an access is at a multiple of its bytes.
fn is_aligned(access: &Access) -> bool {
    access.address.is_multiple_of(access.bytes.max(1).into())
}

#[cfg(test)]
mod tests;
