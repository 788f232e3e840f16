//! Boards of which little more than the chip is named: the rest is what probe-rs knows of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use probe_rs::CoreType;
use probe_rs::Target;
use probe_rs::config::MemoryRegion;
use tadpool_boards::startup::{Chips, GENERIC, STARTUPS, Startup};
use tadpool_boards::{
    Board, BoardError, Budget, Counter, KernelVariant, MemoryLayout, Probe, Region, Runner,
    WeightCheck,
};
use toml::{Table, Value};

use super::chip::{named, prefer};
use super::error::ProbeError;

const SPEED_KHZ: u32 = 4000;
/// The stack of a board whose file does not say; a quarter of the RAM if that is less.
const STACK_BYTES: u64 = 8192;

/// Where Cortex-M has RAM for data; there may be the same elsewhere, to run code from.
const DATA: Range<u32> = 0x2000_0000..0x4000_0000;

/// Chips of Armv8-M whose core is known, by the beginning of their names: that of a Cortex-M33
/// has the DSP extension (by `__DSP_PRESENT` in the headers that the makers publish).
const ARMV8M: [(&str, &str); 11] = [
    ("nRF5340", CORTEX_M33),
    ("nRF54L", CORTEX_M33),
    ("nRF91", CORTEX_M33),
    ("STM32H5", CORTEX_M33),
    ("STM32L5", CORTEX_M33),
    ("STM32U3", CORTEX_M33),
    ("STM32U5", CORTEX_M33),
    ("STM32WBA", CORTEX_M33),
    ("GD32E23", CORTEX_M23),
    ("R7FA0", CORTEX_M23),
    ("R7FA2", CORTEX_M23),
];
const CORTEX_M23: &str = "Cortex-M23";
const CORTEX_M33: &str = "Cortex-M33";
/// The core of the others: it may lack the DSP extension.
pub const UNKNOWN_ARMV8M: &str = "Armv8-M";

/// A board that cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Its name or its file is wrong.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// probe-rs does not know its chip.
    #[error(transparent)]
    Chip(#[from] ProbeError),
    /// The generic start-up code does not start its chip.
    #[error("`{chip}` cannot be started by `{GENERIC}`: {problem}")]
    NotGeneric {
        /// The chip.
        chip: String,
        /// The reason, and what to do.
        problem: String,
    },
}

/// The board of this name, or in this file (`.toml`).
///
/// A file with `startup = "cortex-m"` may leave out everything but `chip`: memory, core, target
/// and the rest are then those of [`board_of_chip`].
///
/// # Errors
/// A [`FindError`]; among them a chip that probe-rs does not know.
pub fn find_board(board: &str) -> Result<Board, FindError> {
    let path = Path::new(board);
    if path.extension().is_none_or(|end| end != "toml") {
        return Ok(tadpool_boards::find(board)?);
    }
    let text = tadpool_boards::read(path)?;
    let found = match text.parse::<Table>() {
        Ok(table) if table.get("startup").and_then(Value::as_str) == Some(GENERIC) => {
            completed(path, table)?
        }
        // What is wrong with it is said below.
        _ => tadpool_boards::parse(path, &text)?,
    };
    if let Runner::Probe(probe) = &found.runner {
        prefer(&mut named(&found.chip)?, &probe.flash_algorithms)?;
    }
    Ok(Board {
        file: Some(PathBuf::from(board)),
        ..found
    })
}

/// `board` with another chip.
///
/// # Errors
/// A [`FindError`]; among them start-up code that is for other chips.
pub fn with_chip(board: &Board, chip: &str) -> Result<Board, FindError> {
    named(chip)?;
    let board = Board {
        chip: chip.to_owned(),
        ..board.clone()
    };
    let named = PathBuf::from(format!("{}.toml", board.name));
    tadpool_boards::check(board.file.as_deref().unwrap_or(&named), &board)?;
    Ok(board)
}

/// A board with this chip and nothing else: at the clock that the chip has out of reset.
///
/// # Errors
/// A [`FindError`] if probe-rs does not know it, or it cannot be started so.
pub fn board_of_chip(chip: &str) -> Result<Board, FindError> {
    let not_generic = |problem: String| FindError::NotGeneric {
        chip: chip.to_owned(),
        problem,
    };
    let needs_block = |startup: &&Startup| {
        let of_chip = matches!(startup.chips, Chips::Family(family, _)
            if chip.get(..family.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(family)));
        of_chip && startup.boot.is_some()
    };
    if let Some(startup) = STARTUPS.iter().find(needs_block) {
        let problem = "its boot ROM reads a block before it starts a program";
        return Err(not_generic(format!(
            "{problem}; take `--board {}`, or a copy of its file",
            startup.name
        )));
    }
    let target = named(chip)?;
    let core = target.cores.first();
    let core = core.ok_or_else(|| not_generic("probe-rs knows no core of it".into()))?;
    let (name, triple, kernels) = match core.core_type {
        CoreType::Armv6m => ("Armv6-M", "thumbv6m-none-eabi", KernelVariant::Portable),
        CoreType::Armv7m => ("Armv7-M", "thumbv7m-none-eabi", KernelVariant::Portable),
        CoreType::Armv7em => ("Armv7E-M", "thumbv7em-none-eabihf", KernelVariant::Dsp),
        CoreType::Armv8m => of_armv8m(&target.name),
        other => {
            return Err(not_generic(format!(
                "its core is {other:?}, not a Cortex-M"
            )));
        }
    };
    let memories = Memories::of(&target, &core.name);
    let code = memories.code.as_ref();
    let code = code.ok_or_else(|| {
        not_generic("probe-rs has no flash algorithm for a memory that it can run from".into())
    })?;
    let ram = memories.ram.as_ref();
    let ram = ram.ok_or_else(|| not_generic("probe-rs knows no RAM of it".into()))?;
    let ram_bytes = u64::from(memories.all[ram].length);
    let stack_bytes = STACK_BYTES.min(ram_bytes / 4) / 8 * 8;
    Ok(Board {
        name: target.name.to_lowercase(),
        startup: Some(GENERIC.to_owned()),
        file: None,
        chip: target.name.clone(),
        identity: None,
        core: name.to_owned(),
        target: triple.to_owned(),
        kernels,
        busy_pin: None,
        busy_register: None,
        uart: None,
        layout: MemoryLayout {
            code: code.clone(),
            weights: code.clone(),
            ram: ram.clone(),
            stack_bytes: stack_bytes as u32,
            weight_slots: false,
            copy_weights: false,
            check_weights: WeightCheck::Start,
            boot: None,
            rings: None,
        },
        memory: memories.all,
        budget: Budget::default(),
        clock: None,
        latency: None,
        watchdog: None,
        counter: Counter {
            name: "the core's own".to_owned(),
            frequency_hz: None,
        },
        runner: Runner::Probe(Probe {
            speed_khz: SPEED_KHZ,
            under_reset: false,
            flash_algorithms: Vec::new(),
        }),
    })
}

/// The core of a chip of Armv8-M, the target and the kernels for it.
fn of_armv8m(chip: &str) -> (&'static str, &'static str, KernelVariant) {
    let begins = |start: &str| {
        let begin = chip.get(..start.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    let known = ARMV8M.iter().find(|(start, _)| begins(start));
    match known.map(|(_, core)| *core) {
        Some(CORTEX_M23) => (
            CORTEX_M23,
            "thumbv8m.base-none-eabi",
            KernelVariant::Portable,
        ),
        Some(core) => (core, "thumbv8m.main-none-eabihf", KernelVariant::Dsp),
        None => (
            UNKNOWN_ARMV8M,
            "thumbv8m.main-none-eabihf",
            KernelVariant::Portable,
        ),
    }
}

/// A board's file that leaves out what probe-rs knows of its chip.
fn completed(path: &Path, given: Table) -> Result<Board, FindError> {
    let chip = given
        .get("chip")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_emulated = given
        .get("runner")
        .is_some_and(|runner| runner.get("qemu").is_some());
    let mut table = match board_of_chip(chip) {
        Ok(base) => tadpool_boards::text(&base)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_default(),
        // An emulated board may have a chip of any name; its file is to say all then.
        Err(_) if is_emulated => Table::new(),
        Err(error) => return Err(error),
    };
    if given.contains_key("runner") {
        table.remove("runner");
    }
    merge(&mut table, given);
    Ok(tadpool_boards::parse(path, &table.to_string())?)
}

/// Puts the values of `over` in the place of those of `table`, table by table.
fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

/// The memories of a chip that an image can lie in.
#[derive(Debug, Default)]
struct Memories {
    all: BTreeMap<String, Region>,
    /// The one that the chip boots from, or else the largest that can be flashed.
    code: Option<String>,
    /// The largest of those where Cortex-M has its data, or else elsewhere.
    ram: Option<String>,
}

impl Memories {
    fn of(target: &Target, core: &str) -> Self {
        let mut memories = Self::default();
        let mut flashes: Vec<(bool, Region)> = Vec::new();
        let mut rams: Vec<Region> = Vec::new();
        for memory in &target.memory_map {
            let range = memory.address_range();
            let (Ok(origin), Ok(length)) = (
                u32::try_from(range.start),
                u32::try_from(range.end.saturating_sub(range.start)),
            ) else {
                continue;
            };
            let region = Region { origin, length };
            match memory {
                MemoryRegion::Ram(ram) if ram.cores.iter().any(|name| name == core) => {
                    join(&mut rams, region);
                }
                MemoryRegion::Nvm(nvm) if nvm.accessible_by(core) && !nvm.is_alias => {
                    let access = nvm.access();
                    let mut algorithms = target.flash_algorithms.iter();
                    let is_flashed = algorithms.any(|algorithm| {
                        let at = &algorithm.flash_properties.address_range;
                        at.start <= range.start && range.end <= at.end
                    });
                    if access.execute && is_flashed {
                        join_flash(&mut flashes, access.boot, region);
                    }
                }
                _ => {}
            }
        }
        let code = flashes
            .iter()
            .max_by_key(|(boots, region)| (*boots, region.length));
        let code = code.map(|(_, region)| *region);
        let ram = rams.iter().copied().max_by_key(|region| {
            let is_for_data = DATA.contains(&region.origin);
            (is_for_data, region.length, u32::MAX - region.origin)
        });
        let mut add = |kind: &str, region: Region, is_main: bool| {
            let name = match is_main {
                true => kind.to_owned(),
                false => format!("{kind}_{:08x}", region.origin),
            };
            memories.all.insert(name.clone(), region);
            name
        };
        for (_, region) in flashes {
            let name = add("flash", region, Some(region) == code);
            if Some(region) == code {
                memories.code = Some(name);
            }
        }
        for region in rams {
            let name = add("ram", region, Some(region) == ram);
            if Some(region) == ram {
                memories.ram = Some(name);
            }
        }
        memories
    }
}

/// Adds a memory, to the one that it follows if there is one.
fn join(regions: &mut Vec<Region>, region: Region) {
    let follows =
        |before: &&mut Region| before.origin.checked_add(before.length) == Some(region.origin);
    match regions.iter_mut().find(follows) {
        Some(before) => before.length = before.length.saturating_add(region.length),
        None => regions.push(region),
    }
}

/// The same of flash; it boots if its first part does.
fn join_flash(regions: &mut Vec<(bool, Region)>, boots: bool, region: Region) {
    let follows = |(_, before): &&mut (bool, Region)| {
        before.origin.checked_add(before.length) == Some(region.origin)
    };
    match regions.iter_mut().find(follows) {
        Some((_, before)) => before.length = before.length.saturating_add(region.length),
        None => regions.push((boots, region)),
    }
}

#[cfg(test)]
mod tests {
    use probe_rs::config::Registry;

    use super::*;

    #[test]
    fn a_chip_becomes_a_board() {
        // Core and memories as in the chips' data sheets.
        for (chip, core, flash, ram) in [
            (
                "STM32F411RETx",
                "Armv7E-M",
                (0x0800_0000, 512 << 10),
                (0x2000_0000, 128 << 10),
            ),
            (
                "STM32F103C8",
                "Armv7-M",
                (0x0800_0000, 64 << 10),
                (0x2000_0000, 20 << 10),
            ),
            (
                "STM32G0B1RETx",
                "Armv6-M",
                (0x0800_0000, 512 << 10),
                (0x2000_0000, 144 << 10),
            ),
            (
                "nRF52840_xxAA",
                "Armv7E-M",
                (0, 1 << 20),
                (0x2000_0000, 256 << 10),
            ),
            (
                "STM32L4R5ZITx",
                "Armv7E-M",
                (0x0800_0000, 2 << 20),
                (0x2000_0000, 640 << 10),
            ),
        ] {
            let board = board_of_chip(chip).unwrap();
            tadpool_boards::check(Path::new(chip), &board).unwrap();
            assert_eq!(board.core, core, "{chip}");
            let place = |name: &str| (board.memory[name].origin, board.memory[name].length);
            assert_eq!(place(&board.layout.code), flash, "{chip}");
            assert_eq!(place(&board.layout.ram), ram, "{chip}");
            assert_eq!(board.latency_us(1), None);
        }
    }

    #[test]
    fn kernels_are_those_that_the_core_is_known_to_execute() {
        for (chip, core, kernels) in [
            ("STM32U575ZITx", CORTEX_M33, KernelVariant::Dsp),
            ("nRF5340_xxAA", CORTEX_M33, KernelVariant::Dsp),
            ("GD32E230C8", CORTEX_M23, KernelVariant::Portable),
            ("LPC55S69JBD64", UNKNOWN_ARMV8M, KernelVariant::Portable),
        ] {
            let board = board_of_chip(chip).unwrap();
            tadpool_boards::check(Path::new(chip), &board).unwrap();
            assert_eq!((board.core.as_str(), board.kernels), (core, kernels));
        }
    }

    /// Every chip that probe-rs knows becomes a board that a file may describe, or is refused.
    #[test]
    fn all_chips_become_boards_or_are_refused() {
        let registry = Registry::from_builtin_families();
        let (mut boards, mut refused) = (0, 0);
        for family in registry.families() {
            // Variants of a family differ in sizes.
            let Some(variant) = family.variants.first() else {
                continue;
            };
            match board_of_chip(&variant.name) {
                Ok(board) => {
                    tadpool_boards::check(Path::new(&variant.name), &board).unwrap();
                    board.memory_map().unwrap();
                    boards += 1;
                }
                Err(FindError::NotGeneric { .. }) => refused += 1,
                Err(error) => panic!("{}: {error}", variant.name),
            }
        }
        assert!(
            boards > 100 && refused > 5,
            "{boards} boards, {refused} refused"
        );
    }

    #[test]
    fn a_file_says_what_it_wants_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let found = |text: &str| {
            std::fs::write(&path, text).unwrap();
            find_board(path.to_str().unwrap())
        };
        let text = "chip = \"STM32F411RETx\"\nstartup = \"cortex-m\"\n";
        let board = found(text).unwrap();
        assert_eq!(board.file.as_deref(), Some(path.as_path()));
        assert_eq!(
            Board {
                file: None,
                ..board
            },
            board_of_chip("STM32F411RETx").unwrap()
        );
        let more = "name = \"mine\"\n[layout]\nstack_bytes = 4096\n[counter]\nname = \"c\"\n\
                    frequency_hz = 16000000\n[runner.probe]\nspeed_khz = 1000\n";
        let board = found(&format!("{text}{more}")).unwrap();
        assert_eq!(
            (board.name.as_str(), board.layout.stack_bytes),
            ("mine", 4096)
        );
        assert_eq!(board.latency_us(16), Some(1.0));
        let error = |text: &str| found(text).unwrap_err().to_string();
        assert!(error("startup = \"cortex-m\"").contains("probe-rs knows no chip ``"));
        assert!(error(&text.replace("RETx", "RX")).contains("knows no chip `STM32F411RX`"));
        assert!(error(&format!("{text}colour = 1")).contains("colour"));
        // Whole files too: chips are asked for when they are read.
        let whole = tadpool_boards::text(&board).unwrap();
        let unknown = whole.replace("STM32F411RETx", "STM32F999");
        assert!(error(&unknown).contains("knows no chip `STM32F999`"));
        let error = board_of_chip("RP2040").unwrap_err().to_string();
        assert!(error.contains("--board rpi-pico"), "{error}");
    }
}
