//! The memories of a board, for the model of its core.

use tadpool_boards::latency::{Latency, Port};
use tadpool_boards::{Board, Region};
use tadpool_cycles::memory::{self, MemoryMap};

use super::machine::Machine;
use super::program::Segment;

/// Memory of a board, and where it lies on the machine that is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The board's.
    pub of_board: Region,
    /// Its first address in the emulator.
    pub emulated: u32,
}

/// The board's memories at their own addresses.
pub fn map(board: &Board) -> MemoryMap {
    let whole = Region {
        origin: 0,
        length: u32::MAX,
    };
    map_moved(
        board,
        &[Moved {
            of_board: whole,
            emulated: 0,
        }],
    )
}

/// The board's memories where a machine has others in their place.
pub fn map_moved(board: &Board, moves: &[Moved]) -> MemoryMap {
    let latency = board.latency();
    let caches = latency.caches.iter().map(|(name, cache)| memory::Cache {
        name: name.clone(),
        bytes: cache.bytes,
        line_bytes: cache.line_bytes,
        ways: cache.ways,
        allocates_stores: cache.allocates_stores,
    });
    let regions = moves.iter().flat_map(|it| regions(board, &latency, *it));
    MemoryMap {
        caches: caches.collect(),
        regions: regions.collect(),
        is_measured: latency.measured,
    }
}

/// The memory regions of `latency`, some of them moved.
fn regions(board: &Board, latency: &Latency, moved: Moved) -> Vec<memory::Region> {
    let end = |region: &Region| u64::from(region.origin) + u64::from(region.length);
    let part = |(name, memory): (&String, &tadpool_boards::latency::Memory)| {
        let region = board.addresses(name, memory)?;
        let first = region.origin.max(moved.of_board.origin);
        let last = end(&region).min(end(&moved.of_board));
        let bytes = last.checked_sub(first.into()).filter(|&bytes| bytes > 0)?;
        Some(memory::Region {
            name: name.clone(),
            start: moved.emulated.wrapping_add(first - moved.of_board.origin),
            bytes: u32::try_from(bytes).ok()?,
            code: port(&memory.code),
            data: port(&memory.data),
        })
    };
    latency.memories.iter().filter_map(part).collect()
}

fn port(port: &Port) -> memory::Port {
    memory::Port {
        cache: port.cache.clone(),
        miss_cycles: port.miss_cycles,
        busy_cycles: port.busy_cycles,
        hit_cycles: port.hit_cycles,
        read_bytes: port.read_bytes,
        prefetch: port.prefetch,
        load_cycles: port.load_cycles,
        store_cycles: port.store_cycles,
        banks: port.banks.clone(),
        switch_cycles: port.switch_cycles,
    }
}

/// Where a program's memory lies on a board: none if at its own addresses, or else what of
/// the board stands for each memory of the machine.
pub fn placed(board: &Board, machine: &Machine, segments: &[Segment]) -> Option<Vec<Moved>> {
    let is_within = |start: u32, bytes: u32| {
        board.memory.values().any(|region| {
            let end = u64::from(region.origin) + u64::from(region.length);
            start >= region.origin && u64::from(start) + u64::from(bytes) <= end
        })
    };
    let mut all = segments.iter();
    if all.all(|it| is_within(it.address, it.bytes)) {
        return None;
    }
    let moved = |(origin, length): (u32, u32)| {
        let mut here = segments
            .iter()
            .filter(|it| (origin..=origin + (length - 1)).contains(&it.address));
        // What is there from the start may be written too where the memory holds both.
        let is_code = here.any(|segment| segment.is_code);
        let role = if is_code {
            &board.layout.code
        } else {
            &board.layout.ram
        };
        let of_board = *board.memory.get(role)?;
        Some(Moved {
            of_board: Region {
                length: of_board.length.min(length),
                ..of_board
            },
            emulated: origin,
        })
    };
    Some(machine.memory().filter_map(moved).collect())
}

#[cfg(test)]
mod tests {
    use tadpool_cycles::pipeline::Core;

    use super::*;

    #[test]
    fn a_board_has_its_memories() {
        let board = tadpool_boards::find("stm32f746g-disco").unwrap();
        let map = map(&board);
        assert_eq!(map.check(), Ok(()));
        let region = |name: &str| map.regions.iter().find(|it| it.name == name).unwrap();
        assert_eq!(region("flash").start, 0x0800_0000);
        assert_eq!(region("sram").start, 0x2001_0000);
        assert_eq!(region("sram").data.cache.as_deref(), Some("data"));
    }

    #[test]
    fn every_board_has_a_map() {
        for name in tadpool_boards::names() {
            let board = tadpool_boards::find(name).unwrap();
            assert_eq!(map(&board).check(), Ok(()), "{name}");
        }
    }

    /// Boards are predicted with the memories that were compared with measurements.
    #[test]
    fn validated_boards_have_the_validated_memories() {
        for (name, file) in [
            ("nucleo-l4r5zi", "stm32l4r5-dual-bank"),
            ("stm32f746g-disco", "stm32f746"),
        ] {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../cycles/validation/memories");
            let text = std::fs::read_to_string(format!("{folder}/{file}.toml")).unwrap();
            let validated: MemoryMap = toml::from_str(&text).unwrap();
            let map = map(&tadpool_boards::find(name).unwrap());
            for cache in &map.caches {
                assert!(validated.caches.contains(cache), "{name}: {cache:?}");
            }
            for region in validated.regions {
                let same = map.regions.iter().find(|it| it.name == region.name);
                let is_plain = region.code == region.data && region.data == memory::Port::default();
                assert!(same == Some(&region) || is_plain, "{name}: {region:?}");
            }
        }
    }

    #[test]
    fn memory_of_a_machine_stands_for_that_of_a_board() {
        let board = tadpool_boards::find("stm32f746g-disco").unwrap();
        let segment = |address, is_code| Segment {
            address,
            load_address: address,
            bytes: 0x100,
            file_bytes: 0x100,
            is_code,
        };
        let own = [segment(0x0800_0000, true), segment(0x2000_0000, false)];
        let machine = Machine::find(Core::CortexM7, &own).unwrap();
        assert_eq!(placed(&board, &machine, &own), None);
        let other = [segment(0, true), segment(0x2000_0000, false)];
        let machine = Machine::find(Core::CortexM7, &other).unwrap();
        let moves = placed(&board, &machine, &other).unwrap();
        let map = map_moved(&board, &moves);
        let starts: Vec<_> = map
            .regions
            .iter()
            .map(|it| (it.name.as_str(), it.start))
            .collect();
        assert!(starts.contains(&("flash", 0)), "{starts:?}");
        assert!(starts.contains(&("sram", 0x2001_0000)), "{starts:?}");
    }
}
