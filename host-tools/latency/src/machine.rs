//! Machines that QEMU emulates, and which of them has a core and the memory of a program.

use serde::Serialize;
use tadpool_cycles::pipeline::Core;

use super::program::Segment;

/// A machine of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// QEMU's name of it.
    pub name: &'static str,
    /// The core that it emulates.
    #[serde(skip)]
    pub core: Core,
    /// Its memory, by first address and bytes.
    #[serde(skip)]
    memory: &'static [(u32, u32)],
}

const fn machine(name: &'static str, core: Core, memory: &'static [(u32, u32)]) -> Machine {
    Machine { name, core, memory }
}

const K: u32 = 1 << 10;
const M: u32 = 1 << 20;
const MPS2: &[(u32, u32)] = &[
    (0, 8 * M),
    (0x0100_0000, 64 * K),
    (0x2000_0000, 8 * M),
    (0x2100_0000, 16 * M),
];

/// As QEMU's `info mtree` has their memory, the larger ones first.
const MACHINES: [Machine; 10] = [
    machine("mps2-an385", Core::CortexM3, MPS2),
    machine("mps2-an386", Core::CortexM4, MPS2),
    machine(
        "mps2-an500",
        Core::CortexM7,
        &[(0, 8 * M), (0x2000_0000, 8 * M), (0x6000_0000, 16 * M)],
    ),
    machine(
        "mps2-an505",
        Core::CortexM33,
        &[
            (0x1000_0000, 4 * M),
            (0x3800_0000, 4 * M),
            (0x8000_0000, 16 * M),
        ],
    ),
    machine(
        "mps3-an547",
        Core::CortexM55,
        &[
            (0x1000_0000, 512 * K),
            (0x1100_0000, 2 * M),
            (0x3000_0000, 512 * K),
            (0x3100_0000, 4 * M),
            (0x7000_0000, 256 * M),
        ],
    ),
    machine(
        "netduinoplus2",
        Core::CortexM4,
        &[(0, M), (0x0800_0000, M), (0x2000_0000, 192 * K)],
    ),
    machine(
        "netduino2",
        Core::CortexM3,
        &[(0, M), (0x0800_0000, M), (0x2000_0000, 128 * K)],
    ),
    machine(
        "stm32vldiscovery",
        Core::CortexM3,
        &[(0, 128 * K), (0x0800_0000, 128 * K), (0x2000_0000, 8 * K)],
    ),
    machine(
        "lm3s6965evb",
        Core::CortexM3,
        &[(0, 256 * K), (0x2000_0000, 64 * K)],
    ),
    machine(
        "microbit",
        Core::CortexM0,
        &[(0, 256 * K), (0x2000_0000, 16 * K)],
    ),
];

/// A program that no machine has the memory for.
#[derive(Debug, thiserror::Error)]
#[error(
    "no machine that QEMU emulates executes code of a {name} and has memory at {segments}; link \
     the program for one of {known}", name = core.name(), known = known(*core)
)]
pub struct NoMachine {
    core: Core,
    segments: String,
}

impl Machine {
    /// The machine that has memory for all segments, and a core that executes the instructions
    /// of `core`: that core itself if any machine has, or else one with more.
    ///
    /// # Errors
    /// [`NoMachine`] if there is none.
    pub fn find(core: Core, segments: &[Segment]) -> Result<Self, NoMachine> {
        let candidates = executing(core);
        let mut fitting = candidates.filter(|machine| machine.holds(segments));
        fitting.next().ok_or_else(|| NoMachine {
            core,
            segments: shown(segments),
        })
    }

    /// The machine of this name, if it is one of these.
    pub fn named(name: &str) -> Option<Self> {
        MACHINES.into_iter().find(|machine| machine.name == name)
    }

    /// Its memory, by first address and bytes.
    pub fn memory(&self) -> impl Iterator<Item = (u32, u32)> {
        self.memory.iter().copied()
    }

    pub(crate) fn holds(&self, segments: &[Segment]) -> bool {
        let has = |start: u32, bytes: u32| {
            self.memory.iter().any(|&(first, length)| {
                let end = u64::from(start) + u64::from(bytes);
                start >= first && end <= u64::from(first) + u64::from(length)
            })
        };
        let mut all = segments.iter();
        all.all(|it| has(it.address, it.bytes) && has(it.load_address, it.file_bytes))
    }

    /// Its memory, for people.
    pub(crate) fn places(&self) -> String {
        let memory = self.memory.iter();
        let places = memory.map(|(first, bytes)| format!("{first:#010x} ({} KB)", bytes / K));
        places.collect::<Vec<_>>().join(", ")
    }
}

/// The machines that execute a core's instructions, its own first.
fn executing(core: Core) -> impl Iterator<Item = Machine> {
    use Core::{CortexM0, CortexM0Plus, CortexM3, CortexM4, CortexM7, CortexM33, CortexM55};
    let cores: &[Core] = match core {
        CortexM0 | CortexM0Plus => &[CortexM0, CortexM3, CortexM4],
        CortexM3 => &[CortexM3, CortexM4],
        CortexM4 => &[CortexM4],
        // Those of a Cortex-M4 lack floats of double precision, and what is new in Armv8-M: a
        // program that uses these faults.
        CortexM7 => &[CortexM7, CortexM4],
        CortexM33 => &[CortexM33, CortexM4],
        CortexM55 => &[CortexM55],
    };
    let of = move |wanted: Core| MACHINES.into_iter().filter(move |it| it.core == wanted);
    cores.iter().copied().flat_map(of)
}

fn known(core: Core) -> String {
    let machines =
        executing(core).map(|machine| format!("{} ({})", machine.name, machine.places()));
    machines.collect::<Vec<_>>().join("; ")
}

pub(crate) fn shown(segments: &[Segment]) -> String {
    let shown = segments.iter().map(|segment| {
        let end = u64::from(segment.address) + u64::from(segment.bytes);
        format!("{:#010x} to {end:#010x}", segment.address)
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(address: u32, bytes: u32) -> Segment {
        Segment {
            address,
            load_address: address,
            bytes,
            file_bytes: bytes,
            is_code: false,
        }
    }

    #[test]
    fn a_machine_has_the_memory() {
        let find = |core, places: &[(u32, u32)]| {
            let segments: Vec<_> = places
                .iter()
                .map(|&(at, bytes)| segment(at, bytes))
                .collect();
            Machine::find(core, &segments).map(|machine| machine.name)
        };
        let of = |core, places: &[_]| find(core, places).map_err(|error| error.to_string());
        let ram = (0x2000_0000, 0x1000);
        for (core, code, expected) in [
            (Core::CortexM4, 0, "mps2-an386"),
            (Core::CortexM4, 0x0800_0000, "netduinoplus2"),
            (Core::CortexM3, 0x0800_0000, "netduino2"),
            (Core::CortexM7, 0x0800_0000, "netduinoplus2"),
            (Core::CortexM0Plus, 0, "microbit"),
        ] {
            assert_eq!(of(core, &[(code, 0x8000), ram]), Ok(expected));
        }
        assert_eq!(of(Core::CortexM0, &[(0, 512 * K), ram]), Ok("mps2-an385"));
        let error = of(Core::CortexM55, &[(0x0800_0000, 4)]).unwrap_err();
        assert!(
            error.contains("code of a cortex-m55 and has memory at 0x08000000"),
            "{error}"
        );
        assert!(error.contains("mps3-an547 (0x10000000 (512 KB)"), "{error}");
    }
}
