//! How far estimates are from what was measured: see `validation/README.md`.

use crate::memory::MemoryMap;
use crate::pipeline::Core;

/// How far the estimates of a core are from what was measured on silicon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Validated {
    /// How many programs were measured, each a neural network as a whole.
    pub programs: usize,
    /// The mean of the errors' absolute values, in percent of what was measured.
    pub mean_percent: f64,
    /// The largest of them.
    pub worst_percent: f64,
}

/// The kind of memory that a core waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// Nothing.
    ZeroWait,
    /// Flash with wait states and caches.
    Flash,
}

/// Cycles of a miss above which no memory was measured: external ones.
const MOST_MEASURED: f64 = 16.0;

/// The most that programs may wait for memory, in percent of their cycles, to be among those
/// that tell of the pipeline alone.
#[cfg(test)]
const ZERO_WAIT_PERCENT: f64 = 5.0;

/// The errors in `validation/table.tsv`.
const VALIDATED: [(Core, Memory, Validated); 8] = [
    entry(Core::CortexM0Plus, Memory::ZeroWait, 4, 0.8, 1.5),
    entry(Core::CortexM0Plus, Memory::Flash, 8, 2.0, 5.1),
    entry(Core::CortexM4, Memory::ZeroWait, 11, 1.2, 3.3),
    entry(Core::CortexM4, Memory::Flash, 17, 1.0, 3.3),
    entry(Core::CortexM7, Memory::ZeroWait, 15, 1.5, 2.8),
    entry(Core::CortexM7, Memory::Flash, 23, 1.2, 2.8),
    entry(Core::CortexM33, Memory::ZeroWait, 16, 1.1, 5.7),
    entry(Core::CortexM33, Memory::Flash, 21, 1.1, 5.7),
];

const fn entry(
    core: Core,
    memory: Memory,
    programs: usize,
    mean_percent: f64,
    worst_percent: f64,
) -> (Core, Memory, Validated) {
    let validated = Validated {
        programs,
        mean_percent,
        worst_percent,
    };
    (core, memory, validated)
}

impl Core {
    /// How far estimates of this core with a board's memories are from measurements; none if
    /// there are none to compare with, of the core or of the memories. Without waits for memory, programs are taken that
    /// wait for it for less than a twentieth of their cycles.
    pub fn validated(self, memory: &MemoryMap) -> Option<Validated> {
        let is_measured = memory.is_measured;
        let ports = memory.regions.iter().flat_map(|it| [&it.code, &it.data]);
        let most = ports.map(|port| port.miss_cycles.max(port.load_cycles));
        let most = most.fold(0.0, f64::max);
        let memory = match most {
            0.0 => Memory::ZeroWait,
            _ if !is_measured || most > MOST_MEASURED => return None,
            _ => Memory::Flash,
        };
        let is = |entry: &&(Self, Memory, Validated)| entry.0 == self && entry.1 == memory;
        Some(VALIDATED.iter().find(is)?.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Latency;
    use crate::trace::{Access, Sink};

    const TABLE: &str = include_str!("../validation/table.tsv");

    /// A line's core, what it waits for, and its error, in percent.
    fn lines() -> Vec<(Core, f64, f64)> {
        let line = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let number = |at: usize| -> f64 { fields[at].parse().unwrap() };
            let error = 100.0 * (number(10) / number(4) - 1.0);
            assert!((error - number(11)).abs() < 0.011, "{line}");
            (Core::by_name(fields[1]).unwrap(), number(12), error)
        };
        TABLE.lines().skip(1).map(line).collect()
    }

    fn of(core: Core, memory: Memory) -> Option<Validated> {
        let lines = lines();
        let is = |line: &&(Core, f64, f64)| {
            line.0 == core && (memory == Memory::Flash || line.1 < ZERO_WAIT_PERCENT)
        };
        let errors: Vec<f64> = lines.iter().filter(is).map(|line| line.2.abs()).collect();
        let round = |percent: f64| (10.0 * percent).round() / 10.0;
        (!errors.is_empty()).then(|| Validated {
            programs: errors.len(),
            mean_percent: round(errors.iter().sum::<f64>() / errors.len() as f64),
            worst_percent: round(errors.iter().fold(0.0, |most, error| most.max(*error))),
        })
    }

    #[test]
    fn errors_are_those_of_the_table() {
        for core in Core::ALL {
            for memory in [Memory::ZeroWait, Memory::Flash] {
                let entry = VALIDATED.iter().find(|it| it.0 == core && it.1 == memory);
                assert_eq!(
                    entry.map(|it| it.2),
                    of(core, memory),
                    "{core:?} {memory:?}"
                );
            }
        }
    }

    #[test]
    fn no_program_is_further_off_than_promised() {
        let worst = lines()
            .into_iter()
            .max_by(|one, other| one.2.abs().total_cmp(&other.2.abs()));
        assert!(worst.unwrap().2.abs() < 6.0, "{worst:?}");
    }

    #[test]
    fn memories_of_the_table_are_measured() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/validation/memories");
        for line in TABLE.lines().skip(1) {
            let fields: Vec<&str> = line.split('\t').collect();
            let file = format!("{folder}/{}.toml", fields[2]);
            let map: MemoryMap = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
            let core = Core::by_name(fields[1]).unwrap();
            assert!(core.validated(&map).is_some(), "{line}");
            let other = MemoryMap {
                is_measured: false,
                ..map
            };
            assert_eq!(core.validated(&other), None, "{line}");
        }
    }

    #[test]
    fn what_was_not_measured_is_not_validated() {
        let zero_wait = MemoryMap::zero_wait();
        for core in [Core::CortexM0, Core::CortexM3, Core::CortexM55] {
            assert_eq!(core.validated(&zero_wait), None, "{core:?}");
        }
        assert!(Core::CortexM4.validated(&zero_wait).is_some());
        let text = "is_measured = true\n[[region]]\nname = \"external\"\nstart = 0x9000_0000\nbytes = 0x100_0000\n\
                    data = { read_bytes = 32, miss_cycles = 80.0 }";
        let external = toml::from_str(text).unwrap();
        assert_eq!(Core::CortexM7.validated(&external), None);
        // What is not accessed does not matter.
        let mut latency = Latency::new(Core::CortexM7, &external).unwrap();
        latency.define(0, 0x100, &[0x6808]).unwrap();
        latency.execute(0, &[]);
        assert!(latency.validated().is_some());
        let access = Access {
            instruction: 0,
            address: 0x9000_0000,
            bytes: 4,
            is_store: false,
        };
        latency.execute(0, &[access]);
        assert_eq!(latency.validated(), None);
        // vadd.f32 s0, s0, s1
        let mut latency = Latency::new(Core::CortexM7, &zero_wait).unwrap();
        latency.define(0, 0x100, &[0xee30, 0x0a20]).unwrap();
        latency.execute(0, &[]);
        assert_eq!(latency.validated(), None);
    }
}
