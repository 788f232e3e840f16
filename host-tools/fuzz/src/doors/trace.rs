//! The trace that an emulator's plugin writes of an execution.

use tadpool_cycles::latency::Latency;
use tadpool_cycles::memory::MemoryMap;
use tadpool_cycles::pipeline::Core;
use tadpool_cycles::trace::{ACCESS, BEGIN, DEFINE, END, EXECUTE, MAGIC, STORE, VERSION, read};

/// A loop of a load, a store and a branch, executed a few times.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let block = |number: u8, address: u8, code: &[u16]| {
        let halfwords = (code.len() as u16).to_le_bytes();
        let head = [DEFINE, number, 0, 0, 0, 0, address, 0, 0];
        let code = code.iter().flat_map(|half| half.to_le_bytes());
        head.into_iter().chain(halfwords).chain(code).collect()
    };
    let execute = |number: u8| vec![EXECUTE, number, 0, 0, 0];
    let access = |instruction: u8, flags: u8| vec![ACCESS, instruction, 0, flags, 4, 0, 0, 0x20];
    let begin: Vec<u8> = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
    // ldr r0, [r1]; str r0, [r1]; b #-4
    let body: Vec<u8> = block(0, 1, &[0x6808, 0x6008, 0xe7fc]);
    // movw r0, #1; bx lr
    let end: Vec<u8> = block(1, 2, &[0xf240, 0x0001, 0x4770]);
    let turn = [execute(0), access(0, 2), access(1, 2 | STORE)].concat();
    let whole = [
        &begin[..],
        &body,
        &[BEGIN],
        &turn,
        &turn,
        &end,
        &execute(1),
        &[END],
    ]
    .concat();
    vec![begin, whole]
}

/// The cycles of a trace are the sum of its instructions' cycles, whatever is in it.
pub(super) fn check(bytes: &[u8]) {
    for core in [Core::CortexM4, Core::CortexM7] {
        let mut latency =
            Latency::new(core, &MemoryMap::zero_wait()).expect("memory that answers at once");
        if let Err(error) = read(bytes, &mut latency) {
            super::check_error(&error);
        }
        let lines = latency.by_address();
        let sum: u64 = lines.iter().map(|line| line.cycles.total()).sum();
        assert_eq!(sum, latency.total().total());
        let executions: u64 = lines.iter().map(|line| line.executions).sum();
        assert_eq!(executions, latency.instructions());
    }
}
