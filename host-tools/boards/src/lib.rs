#![doc = include_str!("../README.md")]

mod file;
mod linker;
mod values;

pub mod latency;
pub mod startup;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use file::{BoardError, check, find, load, names, notes, parse, read, text};

/// The board that is used when none is named; it needs no hardware.
pub const DEFAULT_BOARD: &str = "qemu-mps2-an386";

/// A board.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Name of the board.
    pub name: String,
    /// The feature of the firmware that chooses its start-up code; the board's
    /// name if none.
    #[serde(default)]
    pub startup: Option<String>,
    /// The file that describes it; none if it is built in.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// The microcontroller; of a board with a debug probe, the name that
    /// probe-rs has for it.
    pub chip: String,
    /// The register by which the chip tells which one it is, if any is known.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// Its processor core.
    pub core: String,
    /// Rust's target triple.
    pub target: String,
    /// Which kernels run on it.
    pub kernels: KernelVariant,
    /// Where the pin is that is high while an inference runs.
    #[serde(default)]
    pub busy_pin: Option<String>,
    /// The pin's output register, on boards that are used without a HAL.
    #[serde(default)]
    pub busy_register: Option<BusyRegister>,
    /// The link for MLPerf Tiny's commands beside the debug probe.
    #[serde(default)]
    pub uart: Option<Uart>,
    /// Memories that the linker may use, by name.
    pub memory: BTreeMap<String, Region>,
    /// The memory of each part of an image.
    pub layout: MemoryLayout,
    /// Less than the memories' lengths, where the image shall need less.
    #[serde(default)]
    pub budget: Budget,
    /// How fast the processor runs; none where that means nothing.
    #[serde(default)]
    pub clock: Option<CoreClock>,
    /// How long its memories take; see [`Board::latency`] for a board whose file does not say.
    #[serde(default)]
    pub latency: Option<latency::Latency>,
    /// The chip's watchdog; off if none.
    #[serde(default)]
    pub watchdog: Option<Watchdog>,
    /// The counter that costs are measured with.
    pub counter: Counter,
    /// How an image is run.
    pub runner: Runner,
}

/// The register by which a chip tells which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Its address.
    pub register: u32,
    /// The bits of it that are the same for all of these chips.
    pub mask: u32,
    /// Their value.
    pub value: u32,
    /// The least value of its upper 16 bits that the board's file suits, where those are the
    /// chip's revision.
    #[serde(default)]
    pub oldest_revision: Option<u16>,
}

/// Which kernels run on a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelVariant {
    /// Plain Rust.
    Portable,
    /// Assembly for the DSP extension.
    Dsp,
    /// The same, in the order that suits a Cortex-M7.
    DspM7,
    /// Assembly for the vector extension.
    Helium,
}

/// A memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// First address.
    pub origin: u32,
    /// Length in bytes.
    pub length: u32,
}

/// The memory of each part of an image, by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryLayout {
    /// Vector table, code and constants.
    pub code: String,
    /// The model's statics.
    pub weights: String,
    /// Stack and statics.
    pub ram: String,
    /// RTT's rings, if not with the statics: where no data cache keeps them from the probe.
    #[serde(default)]
    pub rings: Option<String>,
    /// Length of the stack.
    pub stack_bytes: u32,
    /// Whether `weights` is two slots, which are written apart from the program: an update of
    /// the weights goes to the one that is not in use, and can be undone.
    #[serde(default)]
    pub weight_slots: bool,
    /// Whether the weights that an inference reads most often are copied to `ram` at start, as
    /// far as there is room: where the memory that holds them is slower.
    #[serde(default)]
    pub copy_weights: bool,
    /// When the firmware compares the weights with what was written.
    #[serde(default)]
    pub check_weights: WeightCheck,
    /// The block that the boot ROM reads beside the vector table, if any.
    #[serde(default)]
    pub boot: Option<Boot>,
}

/// When the firmware compares the CRC of the weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightCheck {
    /// At each start.
    #[default]
    Start,
    /// At each start, and a sixteenth before each inference.
    Parts,
    /// At each start, and all before each inference.
    Inference,
}

impl WeightCheck {
    /// Inferences in which all weights are checked once; none where only a start does so.
    pub fn parts(self) -> Option<u32> {
        match self {
            Self::Start => None,
            Self::Parts => Some(16),
            Self::Inference => Some(1),
        }
    }
}

/// The block that a chip's boot ROM reads beside the vector table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Boot {
    /// A second boot loader, in the 256 bytes before it.
    SecondStage,
    /// The kind of image, within the first 4 KB.
    ImageDefinition,
}

/// A bit of a register that drives a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BusyRegister {
    /// Address of the register.
    pub address: u32,
    /// The bit.
    pub mask: u32,
}

/// A serial port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Uart {
    /// Its name, and where it comes out.
    pub name: String,
    /// Bits in a second.
    pub baud: u32,
    /// Address of its registers, on boards that are used without a HAL.
    #[serde(default)]
    pub address: Option<u32>,
}

/// The bytes that an image may use; more fails its build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Bytes of the memory that holds the code.
    pub flash_bytes: Option<u32>,
    /// Bytes of the memory that holds stack and statics.
    pub ram_bytes: Option<u32>,
    /// Stack of the inference itself, below the request loop's.
    pub inference_stack_bytes: Option<u32>,
}

/// How fast the processor runs after start-up: what a latency is reported with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CoreClock {
    /// Cycles of the core in a second.
    pub core_hz: u32,
    /// Which caches and prefetch buffers are on.
    pub caches: String,
    /// Cycles that a read of the flash waits.
    pub flash_wait_states: u32,
}

/// A watchdog, which resets the board if nothing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    /// Milliseconds that a step of an inference may take.
    pub limit_ms: u32,
}

/// The counter that costs are measured with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    /// The timer's name.
    pub name: String,
    /// Ticks in a second of the board's time; none where nobody knows how fast the chip
    /// starts, as with `startup = "cortex-m"`.
    #[serde(default)]
    pub frequency_hz: Option<u32>,
}

/// How an image is run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Runner {
    /// By QEMU, behind a virtual debug probe.
    Qemu(Qemu),
    /// By the chip itself, behind a debug probe.
    Probe(Probe),
}

/// How a debug probe reaches the chip.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Speed of the wires that is tried first; slower ones follow.
    pub speed_khz: u32,
    /// Whether the chip is only reached while its reset pin is held.
    #[serde(default)]
    pub under_reset: bool,
    /// probe-rs' names of the flash algorithms to use where it knows several for one memory.
    #[serde(default)]
    pub flash_algorithms: Vec<String>,
}

/// The unit of a board's costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Instructions that an emulator executed; no measure of latency.
    Instructions,
    /// Cycles of the core, counted by the chip.
    Cycles,
    /// Ticks of a counter whose relation to the core is not known.
    Ticks,
}

/// How QEMU runs an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Qemu {
    /// QEMU's name of the board.
    pub machine: String,
    /// An instruction takes `2^icount_shift` ns of the board's time.
    pub icount_shift: u32,
    /// Whether its code's memory can only be written by a debug probe, as QEMU has
    /// no flash controller for it.
    #[serde(default)]
    pub read_only_code: bool,
}

impl KernelVariant {
    /// All of them, in the order of the cores that they need.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Dsp, Self::DspM7, Self::Helium];

    /// The name in board files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Dsp => "dsp",
            Self::DspM7 => "dsp-m7",
            Self::Helium => "helium",
        }
    }
}

impl Board {
    /// The feature of the firmware that chooses the board's start-up code.
    pub fn startup(&self) -> &str {
        self.startup.as_deref().unwrap_or(&self.name)
    }

    /// The features of the firmware that build an image for the board.
    pub fn features(&self) -> String {
        let startup = self.startup();
        match self.kernels {
            KernelVariant::Portable => startup.to_owned(),
            kernels => format!("{startup},{}", kernels.name()),
        }
    }

    /// Bytes that code, constants and weights may take.
    pub fn flash_bytes(&self) -> u64 {
        let layout = &self.layout;
        let code = self.length(&layout.code, self.budget.flash_bytes);
        if layout.weights == layout.code {
            code
        } else {
            code + self.weights_bytes()
        }
    }

    /// Bytes that weights may take in a memory of their own.
    pub fn weights_bytes(&self) -> u64 {
        match self.slots() {
            Some([slot, _]) => u64::from(slot.length.saturating_sub(linker::SLOT_HEADER_BYTES)),
            None => self.length(&self.layout.weights, None),
        }
    }

    /// The slots of the weights, each half of their memory, where they have any.
    pub fn slots(&self) -> Option<[Region; 2]> {
        let memory = self.memory.get(&self.layout.weights);
        let &Region { origin, length } = memory.filter(|_| self.layout.weight_slots)?;
        let length = length / 2;
        let second = origin.checked_add(length)?;
        Some([origin, second].map(|origin| Region { origin, length }))
    }

    /// Bytes that variables and stack may take.
    pub fn ram_bytes(&self) -> u64 {
        self.length(&self.layout.ram, self.budget.ram_bytes)
    }

    /// Bytes of a memory, or those of it that a budget leaves.
    pub fn length(&self, region: &str, budget: Option<u32>) -> u64 {
        let length = self.memory.get(region).map_or(0, |region| region.length);
        u64::from(budget.map_or(length, |budget| budget.min(length)))
    }

    /// The unit of [`Self::cost`].
    pub fn unit(&self) -> Unit {
        match (&self.runner, &self.clock) {
            (Runner::Qemu(_), _) => Unit::Instructions,
            (Runner::Probe(_), Some(_)) => Unit::Cycles,
            // Both of its counters count the core's clock, however fast that is.
            (Runner::Probe(_), None) if self.startup() == startup::GENERIC => Unit::Cycles,
            (Runner::Probe(_), None) => Unit::Ticks,
        }
    }

    /// Whether nobody knows how fast the core's clock is.
    pub fn has_unknown_clock(&self) -> bool {
        self.counter.frequency_hz.is_none()
            && self.startup() == startup::GENERIC
            && matches!(self.runner, Runner::Probe(_))
    }

    /// Converts `ticks` of the counter to [`Self::unit`], rounded to nearest.
    ///
    /// An emulated board's clock advances by the same time for each
    /// instruction, so its counter counts instructions.
    pub fn cost(&self, ticks: u64) -> u64 {
        let ticks_hz = u128::from(self.counter.frequency_hz.unwrap_or(1));
        let (costs, per_ticks) = match (&self.runner, &self.clock) {
            (Runner::Qemu(qemu), _) => (1_000_000_000, ticks_hz << qemu.icount_shift),
            (Runner::Probe(_), Some(clock)) => (u128::from(clock.core_hz), ticks_hz),
            (Runner::Probe(_), None) => (1, 1),
        };
        let cost = (u128::from(ticks) * costs + per_ticks / 2) / per_ticks;
        u64::try_from(cost).unwrap_or(u64::MAX)
    }

    /// Microseconds that `ticks` of the counter are; none where the counter's
    /// time is an emulator's, or its frequency is not known.
    pub fn latency_us(&self, ticks: u64) -> Option<f64> {
        match (&self.runner, self.counter.frequency_hz) {
            (Runner::Probe(_), Some(hz)) => Some(ticks as f64 * 1e6 / f64::from(hz)),
            _ => None,
        }
    }
}

impl Unit {
    /// The name, in the plural.
    pub fn name(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Cycles => "cycles",
            Self::Ticks => "ticks",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_instructions() {
        let board = find("qemu-mps2-an386").unwrap();
        assert_eq!(board.unit(), Unit::Instructions);
        assert_eq!(board.cost(0), 0);
        assert_eq!(board.cost(16), 10);
        assert_eq!(board.cost(16_000_000_000_000), 10_000_000_000_000);
        assert_eq!(board.latency_us(16), None);
    }

    #[test]
    fn ticks_become_cycles_and_latency() {
        let emulated = find("qemu-mps2-an386").unwrap();
        let board = Board {
            clock: Some(CoreClock {
                core_hz: 200_000_000,
                caches: "none".into(),
                flash_wait_states: 6,
            }),
            runner: Runner::Probe(Probe {
                speed_khz: 4000,
                under_reset: false,
                flash_algorithms: Vec::new(),
            }),
            ..emulated
        };
        // 25 MHz ticks of a 200 MHz core.
        assert_eq!((board.unit(), board.cost(100)), (Unit::Cycles, 800));
        assert_eq!(board.latency_us(100), Some(4.0));
        let board = Board {
            clock: None,
            ..board
        };
        assert_eq!((board.unit(), board.cost(100)), (Unit::Ticks, 100));
    }

    /// README's table has every field that a file can have, and no other.
    #[test]
    fn readme_names_every_field() {
        let full = |board: &str| {
            let mut board = find(board).unwrap();
            board.busy_pin = Some("a pin".into());
            board.identity = Some(Identity {
                register: 0,
                mask: 0,
                value: 0,
                oldest_revision: Some(0),
            });
            board.budget = Budget {
                flash_bytes: Some(1),
                ram_bytes: Some(1),
                inference_stack_bytes: Some(1),
            };
            board.layout.boot = Some(Boot::SecondStage);
            board.layout.rings = Some(board.layout.ram.clone());
            board.clock = Some(CoreClock {
                core_hz: 1,
                caches: "none".into(),
                flash_wait_states: 0,
            });
            board.watchdog = Some(Watchdog { limit_ms: 1 });
            let memories = board
                .latency
                .iter_mut()
                .flat_map(|it| it.memories.values_mut());
            memories.for_each(|memory| memory.data.banks = vec![1]);
            board
        };
        let emulated = full("qemu-mps2-an386");
        let probed = full("stm32f746g-disco");
        let mut written = std::collections::BTreeSet::new();
        for board in [&emulated, &probed] {
            let table: toml::Table = text(board).unwrap().parse().unwrap();
            fields("", &table, &mut written);
        }
        let readme = include_str!("../README.md");
        let named = readme.lines().filter_map(|line| {
            let (name, _) = line.strip_prefix("| `")?.split_once("` |")?;
            (!name.contains("-") && name != "uart").then(|| name.to_owned())
        });
        assert_eq!(named.collect::<std::collections::BTreeSet<_>>(), written);
    }

    /// Adds the fields of a table, with `NAME` for the names of memories and caches, and
    /// `PORT` for the ways to reach one.
    fn fields(path: &str, table: &toml::Table, all: &mut std::collections::BTreeSet<String>) {
        for (key, value) in table {
            let key = match (path, key.as_str()) {
                ("memory." | "latency.caches." | "latency.memories.", _) => "NAME",
                ("latency.memories.NAME.", "code" | "data") => "PORT",
                _ => key,
            };
            match value {
                toml::Value::Table(below) => fields(&format!("{path}{key}."), below, all),
                _ => {
                    all.insert(format!("{path}{key}"));
                }
            }
        }
    }
}
