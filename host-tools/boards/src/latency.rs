//! How long a board's memories take beyond one that answers at once: what a prediction of
//! cycles needs to know of a board.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::startup::Problem;
use super::{Board, Region, Runner};

/// Most cycles that a memory may take.
const MOST_CYCLES: f64 = 10_000.0;
/// Most lines of a cache.
const MOST_LINES: u32 = 65_536;
/// Bytes of a read where nothing is known of the memory: those of the core's bus.
const BUS_BYTES: u32 = 4;
/// Where the figures are from if a file has none.
const ASSUMED: &str = "assumed from `clock.flash_wait_states`: no cache, no prefetch";
const AT_ONCE: &str = "memories that answer at once";

/// The latency of a board's memories, at its clock.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Where the figures are from, for people.
    pub source: String,
    /// Whether estimates with them were compared with measurements of this chip.
    #[serde(default)]
    pub measured: bool,
    /// The caches that the memories name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub caches: BTreeMap<String, Cache>,
    /// The memories, by their name in [`Board::memory`] or by a name of their own. One that
    /// is not here answers at once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub memories: BTreeMap<String, Memory>,
}

/// A cache, of which the line that was used least recently is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// All that it holds.
    pub bytes: u32,
    /// Bytes that are brought in at once.
    pub line_bytes: u32,
    /// Lines of a set; 0 if one set has all lines.
    #[serde(default)]
    pub ways: u32,
    /// Whether a store brings its line in.
    #[serde(default)]
    pub allocates_stores: bool,
}

/// A memory, or a part of one.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Its first address, if its name is not that of a memory of the board.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<u32>,
    /// Its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    /// How instructions are fetched.
    #[serde(default)]
    pub code: Port,
    /// How data is read and written.
    #[serde(default)]
    pub data: Port,
}

/// How a memory is reached; by default it answers at once.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Port {
    /// The cache before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
    /// Cycles that it takes to bring a line of the cache or, without one, `read_bytes`.
    pub miss_cycles: f64,
    /// Cycles for which the rest of the line keeps the memory busy then.
    pub busy_cycles: f64,
    /// Cycles of the first read of another line, if the cache has it.
    pub hit_cycles: f64,
    /// Without a cache: bytes that a read brings, which are kept until another read. 0 where
    /// every access is a read of its own.
    pub read_bytes: u32,
    /// Whether what follows is read meanwhile.
    pub prefetch: bool,
    /// More cycles of every load.
    pub load_cycles: f64,
    /// Cycles of a store that no cache takes.
    pub store_cycles: f64,
    /// Where, in bytes from the memory's start, others begin that are reached over ports of
    /// their own, in ascending order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub banks: Vec<u32>,
    /// More cycles of an access to another of them than the access before.
    pub switch_cycles: f64,
}

impl Board {
    /// The latency of its memories: what its file says, or else what is assumed: an emulated
    /// board and one whose clock is not known answer at once, and every read of a chip's flash
    /// waits as long as `clock.flash_wait_states` says, without a cache.
    pub fn latency(&self) -> Latency {
        if let Some(latency) = &self.latency {
            return latency.clone();
        }
        let wait_states = match (&self.runner, &self.clock) {
            (Runner::Probe(_), Some(clock)) => f64::from(clock.flash_wait_states),
            _ => 0.0,
        };
        if wait_states == 0.0 {
            return Latency {
                source: AT_ONCE.to_owned(),
                ..Latency::default()
            };
        }
        let port = |read_bytes| Port {
            miss_cycles: wait_states,
            read_bytes,
            ..Port::default()
        };
        let memory = Memory {
            code: port(BUS_BYTES),
            data: port(0),
            ..Memory::default()
        };
        let names = [&self.layout.code, &self.layout.weights];
        Latency {
            source: ASSUMED.to_owned(),
            measured: false,
            caches: BTreeMap::new(),
            memories: names
                .map(|name| (name.clone(), memory.clone()))
                .into_iter()
                .collect(),
        }
    }

    /// The addresses of a memory of [`Self::latency`].
    pub fn addresses(&self, name: &str, memory: &Memory) -> Option<Region> {
        let region = self.memory.get(name).copied();
        Some(Region {
            origin: memory.origin.or(region.map(|region| region.origin))?,
            length: memory.length.or(region.map(|region| region.length))?,
        })
    }
}

/// The first field whose value cannot be.
pub(crate) fn check(board: &Board) -> Result<(), Problem> {
    let Some(latency) = &board.latency else {
        return Ok(());
    };
    if latency.source.trim().is_empty() {
        let problem = "does not say where the figures are from".into();
        return Err(("latency.source", "``".into(), problem));
    }
    for (name, cache) in &latency.caches {
        let lines = cache.bytes.checked_div(cache.line_bytes).unwrap_or(0);
        let ways = if cache.ways == 0 { lines } else { cache.ways };
        let is_whole = cache.line_bytes.is_power_of_two()
            && (4..=1024).contains(&cache.line_bytes)
            && cache.bytes.is_multiple_of(cache.line_bytes)
            && (1..=MOST_LINES).contains(&lines)
            && lines.is_multiple_of(ways)
            && (lines / ways).is_power_of_two();
        if !is_whole {
            let value = format!(
                "`{name}` of {} bytes, {} a line, {ways} ways",
                cache.bytes, cache.line_bytes
            );
            let problem = "is not lines of 4 to 1024 bytes, a power of two, in sets whose number \
                           is one too";
            return Err(("latency.caches", value, problem.into()));
        }
    }
    let mut before: Vec<(&str, Region)> = Vec::new();
    for (name, memory) in &latency.memories {
        let Some(region) = board.addresses(name, memory) else {
            let problem = "is not the name of a [memory], and has no `origin` and `length`".into();
            return Err(("latency.memories", format!("`{name}`"), problem));
        };
        let end = |region: &Region| u64::from(region.origin) + u64::from(region.length);
        if region.length == 0 || end(&region) > 1 << 32 {
            let problem = "is empty, or ends beyond the 32-bit address space".into();
            return Err(("latency.memories", format!("`{name}`"), problem));
        }
        for (other, there) in &before {
            if u64::from(region.origin) < end(there) && u64::from(there.origin) < end(&region) {
                let problem = format!("has addresses of `{other}`");
                return Err(("latency.memories", format!("`{name}`"), problem));
            }
        }
        before.push((name, region));
        for port in [&memory.code, &memory.data] {
            check_port(latency, name, port)?;
        }
    }
    Ok(())
}

fn check_port(latency: &Latency, name: &str, port: &Port) -> Result<(), Problem> {
    if let Some(cache) = &port.cache
        && !latency.caches.contains_key(cache)
    {
        let problem = "is not the name of one of `latency.caches`".into();
        return Err(("latency.memories", format!("`{name}`: `{cache}`"), problem));
    }
    let all = [
        port.miss_cycles,
        port.busy_cycles,
        port.hit_cycles,
        port.load_cycles,
        port.store_cycles,
        port.switch_cycles,
    ];
    for cycles in all {
        if !(0.0..=MOST_CYCLES).contains(&cycles) {
            let problem = format!("is not a number of cycles from 0 to {MOST_CYCLES}");
            return Err(("latency.memories", format!("`{name}`: {cycles}"), problem));
        }
    }
    let is_read = port.read_bytes.is_power_of_two() && (4..=1024).contains(&port.read_bytes);
    if port.read_bytes != 0 && !is_read {
        let value = format!("`{name}`: read_bytes = {}", port.read_bytes);
        let problem = "is neither 0 nor a power of two from 4 to 1024".into();
        return Err(("latency.memories", value, problem));
    }
    if !port.banks.is_sorted_by(|one, next| one < next) {
        let value = format!("`{name}`: banks = {:?}", port.banks);
        let problem = "are not in ascending order".into();
        return Err(("latency.memories", value, problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{find, names, parse, text};
    use super::*;

    #[test]
    fn every_chip_of_a_board_has_figures() {
        for name in names() {
            let board = find(name).unwrap();
            let is_emulated = matches!(board.runner, Runner::Qemu(_));
            assert_eq!(board.latency.is_some(), !is_emulated, "{name}");
        }
    }

    #[test]
    fn what_no_file_says_is_assumed() {
        let mut board = find("nucleo-l4r5zi").unwrap();
        board.latency = None;
        let latency = board.latency();
        assert_eq!(latency.source, ASSUMED);
        let flash = &latency.memories["flash"];
        assert_eq!((flash.code.miss_cycles, flash.data.miss_cycles), (5.0, 5.0));
        assert_eq!(board.addresses("flash", flash), Some(board.memory["flash"]));
        board.clock = None;
        assert_eq!(board.latency().source, AT_ONCE);
        assert_eq!(find("qemu-mps2-an386").unwrap().latency().source, AT_ONCE);
    }

    #[test]
    fn every_wrong_value_is_told() {
        let said = |change: &dyn Fn(&mut Latency)| {
            let mut board = find("stm32f746g-disco").unwrap();
            change(board.latency.as_mut().unwrap());
            let text = text(&board).unwrap();
            parse(Path::new("my.toml"), &text).unwrap_err().to_string()
        };
        assert!(said(&|it| it.source.clear()).contains("latency.source"));
        let text = said(&|it| it.caches.get_mut("data").unwrap().line_bytes = 24);
        assert!(text.contains("`data` of 4096 bytes, 24 a line"), "{text}");
        let text = said(&|it| it.memories.get_mut("flash").unwrap().data.cache = Some("l2".into()));
        assert!(
            text.contains("`flash`: `l2` is not the name of one"),
            "{text}"
        );
        let text = said(&|it| it.memories.get_mut("flash").unwrap().data.miss_cycles = -1.0);
        assert!(
            text.contains("`flash`: -1 is not a number of cycles"),
            "{text}"
        );
        let text = said(&|it| it.memories.get_mut("flash").unwrap().data.busy_cycles = 1e9);
        assert!(text.contains("1000000000 is not a number"), "{text}");
        let text = said(&|it| it.memories.get_mut("sram").unwrap().data.switch_cycles = -0.5);
        assert!(text.contains("`sram`: -0.5 is not a number"), "{text}");
        let text = said(&|it| it.memories.get_mut("sram").unwrap().data.banks = vec![8, 8]);
        assert!(text.contains("banks = [8, 8] are not in"), "{text}");
        let text = said(&|it| it.memories.get_mut("flash").unwrap().code.read_bytes = 12);
        assert!(text.contains("read_bytes = 12"), "{text}");
        let text = said(&|it| it.memories.get_mut("flash").unwrap().origin = Some(0x2000_0000));
        assert!(text.contains("has addresses of `"), "{text}");
        let text = said(&|it| drop(it.memories.insert("rom".into(), Memory::default())));
        assert!(
            text.contains("`rom` is not the name of a [memory]"),
            "{text}"
        );
        let text = said(&|it| it.memories.get_mut("flash").unwrap().length = Some(0));
        assert!(text.contains("`flash` is empty"), "{text}");
    }
}
