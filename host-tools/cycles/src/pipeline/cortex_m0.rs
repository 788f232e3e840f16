//! Cortex-M0 and Cortex-M0+.
//!
//! Sources: Arm Cortex-M0 Technical Reference Manual (DDI 0432), table 3-1, and Arm
//! Cortex-M0+ Technical Reference Manual (DDI 0484), table 3-1: loads and stores take two
//! cycles, several registers one and one each, a taken branch three or, on a Cortex-M0+,
//! two, a call four or three, and a special register four or three. The multiplier is
//! taken to be the fast one, of one cycle.

use super::Event;
use crate::decode::{Class, Flow};
use crate::latency::Cycles;
use crate::memory::Memories;

/// The cost of a jump, which depends on the length of the pipeline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refill {
    /// Cycles to fill the pipeline behind a branch.
    jump: u64,
    /// More cycles to do so behind a load of the program counter.
    load: u64,
    /// Cycles of barriers and special registers.
    special: u64,
}

/// Three stages.
pub(crate) const CORTEX_M0: Refill = Refill {
    jump: 2,
    load: 3,
    special: 4,
};

/// Two stages.
pub(crate) const CORTEX_M0_PLUS: Refill = Refill {
    jump: 1,
    load: 2,
    special: 3,
};

/// One of the two.
#[derive(Debug)]
pub(crate) struct Pipeline {
    refill: Refill,
    now: u64,
}

impl Pipeline {
    pub(crate) fn new(refill: Refill) -> Self {
        Self { refill, now: 0 }
    }

    pub(crate) fn execute(
        &mut self,
        event: &Event<'_>,
        memories: &mut Memories,
        cycles: &mut Cycles,
    ) {
        let instruction = &event.operation.instruction;
        let wait = event.wait(memories, self.now, cycles);
        let (issue, accesses) = match instruction.class {
            Class::Load { .. } | Class::Store { .. } => (1, 1),
            Class::Multiple { registers } => (1, registers.into()),
            Class::System => (self.refill.special, 0),
            _ => (1, 0),
        };
        let branches = match (event.target, instruction.class) {
            (None, _) => 0,
            (Some(_), Class::Multiple { .. } | Class::Load { .. }) => self.refill.load,
            // A call takes a cycle more than another branch.
            _ if matches!(instruction.flow, Flow::Call { .. }) => self.refill.jump + 1,
            _ => self.refill.jump,
        };
        cycles.issue += issue;
        cycles.accesses += accesses;
        cycles.branches += branches;
        self.now += wait + issue + accesses + branches;
    }
}

#[cfg(test)]
mod tests {
    use super::super::Core;
    use super::super::tests::cycles;

    #[test]
    fn costs_what_the_manuals_say() {
        // Jumps taken.
        let cases: &[(&str, &[u16], [u64; 2])] = &[
            ("adds r0, r1, r2", &[0x1888], [1, 1]),
            ("muls r0, r1", &[0x4348], [1, 1]),
            ("ldr r0, [r1]", &[0x6808], [2, 2]),
            ("ldm r0!, {r1, r2}", &[0xc806], [3, 3]),
            ("bne", &[0xd11c], [3, 2]),
            ("bl", &[0xf003, 0xfcaa], [4, 3]),
            ("bx lr", &[0x4770], [3, 2]),
            ("pop {r4-r7, pc}", &[0xbdf0], [9, 8]),
            ("msr primask, r0", &[0xf380, 0x8810], [4, 3]),
        ];
        for &(name, code, expected) in cases {
            let of = |core| cycles(core, &[(0x100, code, Some(0x1000))]);
            assert_eq!(
                [of(Core::CortexM0), of(Core::CortexM0Plus)],
                expected,
                "{name}"
            );
        }
    }
}
