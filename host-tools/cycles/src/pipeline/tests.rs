//! Helpers for the tests of all cores.

use super::Core;
use crate::decode::{Code, Instruction, decode_block};
use crate::latency::{Cycles, Latency};
use crate::memory::{MemoryMap, Region};
use crate::trace::{Access, Sink};

/// Where what an instruction reads or writes is, unless it is near the code.
const DATA: u32 = 0x2000_0000;

/// Two memories that answer at once: one with code below, one with data above.
pub(super) fn two_memories() -> MemoryMap {
    let region = |name: &str, start| Region {
        name: name.into(),
        start,
        bytes: 0x1000_0000,
        code: Default::default(),
        data: Default::default(),
    };
    MemoryMap {
        is_measured: false,
        caches: Vec::new(),
        regions: vec![region("flash", 0), region("ram", DATA)],
    }
}

/// A block: its address, its code, and where it goes if not on.
pub(super) type Block<'a> = (u32, &'a [u16], Option<u32>);

/// All cycles of blocks one after another, which read and write at the offset of each
/// instruction from the beginning of a memory.
pub(super) fn cycles(core: Core, blocks: &[Block<'_>]) -> u64 {
    let with_accesses = |&(address, code, target)| (address, code, accesses(address, code), target);
    let blocks: Vec<_> = blocks.iter().map(with_accesses).collect();
    let blocks = blocks
        .iter()
        .map(|(address, code, accesses, target)| (*address, *code, &accesses[..], *target));
    run(core, &two_memories(), blocks).total()
}

/// The same with other memories and accesses.
pub(super) fn run<'a>(
    core: Core,
    memory: &MemoryMap,
    blocks: impl Iterator<Item = (u32, &'a [u16], &'a [Access], Option<u32>)>,
) -> Cycles {
    let mut latency = Latency::new(core, memory).unwrap();
    for (number, (address, code, accesses, target)) in (0..).zip(blocks) {
        latency.define(number, address, code).unwrap();
        latency.execute(number, accesses);
        latency.leave(target);
    }
    latency.total()
}

pub(super) fn load(instruction: u16, address: u32) -> Access {
    Access {
        instruction,
        address,
        bytes: 4,
        is_store: false,
    }
}

fn accesses(mut address: u32, mut code: &[u16]) -> Vec<Access> {
    let mut codes = Vec::new();
    while let [first, rest @ ..] = code {
        codes.push(Code::of(*first, rest.first().copied()).unwrap());
        code = &code[codes.last().unwrap().bytes() as usize / 2..];
    }
    let mut all = Vec::new();
    for (at, instruction) in (0..).zip(decode_block(&codes).unwrap()) {
        all.extend(access(at, address, &instruction));
        address += instruction.bytes();
    }
    all
}

fn access(at: u16, address: u32, instruction: &Instruction) -> Option<Access> {
    let memory = instruction.memory?;
    let base = match memory.base {
        Some(15) => address.wrapping_add(4) & !3,
        _ => DATA + 0x1000,
    };
    Some(Access {
        instruction: at,
        address: base.wrapping_add_signed(memory.offset.unwrap_or(0)),
        bytes: memory.bytes.min(4) as u8,
        is_store: !memory.is_load,
    })
}

#[test]
fn cores_have_names() {
    for core in Core::ALL {
        assert_eq!(Core::by_name(core.name()), Some(core));
    }
    assert_eq!(Core::by_name("Cortex-M4F"), Some(Core::CortexM4));
    assert_eq!(Core::by_name("Cortex-M0+"), Some(Core::CortexM0Plus));
    assert_eq!(Core::by_name("Cortex-M85"), None);
}
