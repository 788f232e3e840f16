//! Cortex-M33.
//!
//! Arm publishes no timings of its instructions. The rules are fitted to the measurements of
//! `validation`, thirteen whole networks on an STM32U575:
//!
//! - every instruction takes a cycle; of several registers that are read or written each
//!   takes one;
//! - a loaded register can be read a cycle later, but for what is stored; and so can a
//!   product, but for what another product is added to;
//! - a taken branch takes a cycle more, one to an address in a register or from memory two;
//! - code is fetched as on the Cortex-M4, a word a cycle into a buffer of three words. Data
//!   below 0x2000_0000 is read over the same bus (Arm Cortex-M33 Technical Reference Manual
//!   (100230), "C-AHB interface"), and a fetch is lost by it, as by a branch that is not
//!   taken.
//!
//! Assumed: a division takes seven cycles, the mean on the Cortex-M4; floats take what they
//! do there; access that is not aligned takes a cycle more. The core can issue some pairs of
//! short instructions together, which the measured programs do not show and is not counted.

use super::cortex_m4::{DIVISION, floats};
use super::fetch::Fetch;
use super::{Event, is_aligned};
use crate::decode::{Class, Flow, Instruction, Registers};
use crate::latency::Cycles;
use crate::memory::Memories;
use crate::trace::Access;

/// Data below this address is read over the bus that code is fetched over.
const CODE_END: u32 = 0x2000_0000;

/// The pipeline.
#[derive(Debug)]
pub(crate) struct Pipeline {
    now: u64,
    fetch: Fetch,
    /// Whether the next instruction was jumped to.
    is_entered: bool,
    /// The registers that the instruction before loaded, and the product that it made.
    loaded: Registers,
    product: Registers,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            now: 0,
            fetch: Fetch::default(),
            is_entered: false,
            loaded: Registers::NONE,
            product: Registers::NONE,
        }
    }
}

impl Pipeline {
    pub(crate) fn execute(
        &mut self,
        event: &Event<'_>,
        memories: &mut Memories,
        cycles: &mut Cycles,
    ) {
        let operation = event.operation;
        let instruction = &operation.instruction;
        if std::mem::take(&mut self.is_entered) {
            let wait = self.fetch.enter(operation, memories, self.now);
            cycles.code += wait;
            self.now += wait;
        }
        self.now += self.fetch.take(operation, memories, self.now, cycles);
        let wait = event.wait_for_data(memories, self.now, cycles);
        let (issue, accesses) = match event.is_skipped {
            true => (1, 0),
            false => (self.issue(instruction), accesses(event)),
        };
        let branches = event.target.map_or(0, |_| refill(instruction));
        let is_shared = |access: &&Access| !access.is_store && access.address < CODE_END;
        let shared = event.accesses.iter().filter(is_shared).count() as u64;
        let lost = shared + u64::from(event.is_not_taken());
        let fetches = (issue + accesses + wait).saturating_sub(lost);
        self.fetch.advance(fetches, operation, memories, self.now);
        self.is_entered = event.target.is_some();
        let results = |is: bool| match is && !event.is_skipped {
            true => instruction.results,
            false => Registers::NONE,
        };
        self.loaded = results(matches!(instruction.class, Class::Load { .. }));
        self.product = results(instruction.class == Class::Multiply);
        cycles.issue += issue;
        cycles.accesses += accesses;
        cycles.branches += branches;
        self.now += wait + issue + accesses + branches;
    }

    /// Cycles of an instruction, with what it waits for results.
    fn issue(&self, instruction: &Instruction) -> u64 {
        let needed = instruction.reads().without(instruction.stored);
        let operands = instruction.operands | instruction.shifted;
        let own = match instruction.class {
            Class::Divide => return DIVISION,
            Class::Vector(vector) => floats(instruction, vector.latency),
            _ => 1,
        };
        own + u64::from(needed.meets(self.loaded)) + u64::from(operands.meets(self.product))
    }
}

/// More cycles of an access.
fn accesses(event: &Event<'_>) -> u64 {
    let own = match event.operation.instruction.class {
        Class::Multiple { registers } => u64::from(registers).saturating_sub(1),
        Class::TableBranch => 2,
        _ => 0,
    };
    own + u64::from(!event.accesses.iter().all(is_aligned))
}

/// Cycles to go on elsewhere.
fn refill(last: &Instruction) -> u64 {
    match last.flow {
        Flow::Jump { .. } | Flow::Call { .. } => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Core;
    use super::super::tests::{cycles, load, run, two_memories};

    #[test]
    fn costs_what_is_measured() {
        let cases: &[(&str, &[u16], u64)] = &[
            ("ldr r0, [r1]; adds r2, r2, r3", &[0x6808, 0x18d2], 2),
            ("ldr r0, [r1]; adds r2, r2, r0", &[0x6808, 0x1812], 3),
            ("ldr r0, [r1]; str r0, [r2]", &[0x6808, 0x6010], 2),
            ("ldr r0, [r1]; ldr r2, [r0]", &[0x6808, 0x6802], 3),
            ("ldm r0!, {r1, r2}", &[0xc806], 2),
            ("ldrd r1, r0, [r5, #136]", &[0xe9d5, 0x1022], 2),
            (
                "mul r0, r1, r2; add.w r3, r0, r2",
                &[0xfb01, 0xf002, 0xeb00, 0x0302],
                3,
            ),
            (
                "smlad r2, r3, r4, r2; smlad r2, r3, r4, r2",
                &[0xfb23, 0x2204, 0xfb23, 0x2204],
                2,
            ),
            ("str r0, [r1]; ldr r0, [r1]", &[0x6008, 0x6808], 2),
        ];
        for &(name, code, expected) in cases {
            let found = cycles(Core::CortexM33, &[(0x100, code, None)]);
            assert_eq!(found, expected, "{name}");
        }
        let jump = |code| cycles(Core::CortexM33, &[(0x100, code, Some(0x200))]);
        assert_eq!(jump(&[0xd11c]), 2, "bne");
        assert_eq!(jump(&[0x4770]), 3, "bx lr");
    }

    #[test]
    fn data_of_the_code_bus_takes_a_fetch() {
        // Eight times ldr.w r0, [r1] and a long addition: a word of code a cycle.
        let code = [0xf8d1, 0x0000, 0xeb02, 0x0203].repeat(8);
        let from = |start: u32| {
            let accesses: Vec<_> = (0..8).map(|at| load(2 * at, start)).collect();
            let blocks = [(0x100, &code[..], &accesses[..], None)];
            run(Core::CortexM33, &two_memories(), blocks.into_iter())
        };
        assert_eq!(from(0x2000_0000).total(), 16);
        assert_eq!(from(0x0000_1000).total(), 16 + 8);
    }
}
