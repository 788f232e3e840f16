//! The conditions of measurements on a board, and what several runs share.

use serde::Serialize;
use tadpool_protocol::{Hello, Setup};

use tadpool_boards::{Board, Runner, Unit};

/// The conditions of a measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Provenance {
    /// Version of this tool.
    pub tool_version: &'static str,
    /// Name of the model.
    pub model: String,
    /// Hash of the model.
    pub model_hash: String,
    /// Hash (FNV-1a) of the image's file.
    pub image_hash: String,
    /// Name of the board.
    pub board: String,
    /// Its chip.
    pub chip: String,
    /// Its core.
    pub core: String,
    /// Which kernels ran.
    pub kernels: &'static str,
    /// The runner: a chip, or an emulator.
    pub runner: &'static str,
    /// The counter.
    pub counter: String,
    /// Ticks of the counter in a second.
    pub counter_hz: u32,
    /// Ticks that a reading of the counter costs, which are left out.
    pub counter_overhead_ticks: u32,
    /// The chip's set-up as the start-up code found it.
    pub setup: Option<Setup>,
}

/// The conditions that the figures of several runs share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: u64,
    /// The one in the middle, the lower of two.
    pub median: u64,
    /// Not exceeded by 95 in 100.
    pub p95: u64,
    /// The most.
    pub max: u64,
}

impl Provenance {
    /// The conditions of measurements in a session with `board`, which said `hello`.
    pub fn of(board: &Board, hello: &Hello, image_hash: u32) -> Self {
        let is_emulated = matches!(board.runner, Runner::Qemu(_));
        Self {
            tool_version: env!("CARGO_PKG_VERSION"),
            model: hello.model.as_str().to_owned(),
            model_hash: format!("{:08x}", hello.model_hash),
            image_hash: format!("{image_hash:08x}"),
            board: board.name.clone(),
            chip: board.chip.clone(),
            core: board.core.clone(),
            kernels: board.kernels.name(),
            runner: if is_emulated { "QEMU" } else { "chip" },
            counter: board.counter.name.clone(),
            counter_hz: hello.counter.frequency_hz,
            counter_overhead_ticks: hello.counter.overhead_ticks,
            setup: (!is_emulated).then_some(hello.setup),
        }
    }

    /// Clock, caches and wait states, in words; none of an emulator, which has
    /// none.
    pub fn conditions(&self) -> Option<String> {
        let setup = self.setup?;
        let caches = [
            (setup.instruction_cache, "instruction cache"),
            (setup.data_cache, "data cache"),
            (setup.flash_cache, "flash cache"),
        ];
        let caches: Vec<&str> = caches
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, name)| *name)
            .collect();
        let caches = match caches.is_empty() {
            true => "no cache".to_owned(),
            false => caches.join(" and "),
        };
        let wait_states = match setup.flash_wait_states {
            Some(count) => format!("{count} flash wait states"),
            None if setup.core_hz == 0 => "flash wait states out of reset".to_owned(),
            None => "no flash of its own".to_owned(),
        };
        let source = match setup.crystal {
            true => "crystal",
            false => "the chip's oscillator, ±1 %",
        };
        let boost = match setup.boost {
            Some(false) => ", no boost mode",
            _ => "",
        };
        let banks = match setup.dual_bank {
            Some(true) => ", dual-bank flash",
            Some(false) => ", single-bank flash",
            None => "",
        };
        let clock = match setup.core_hz {
            0 => "clock out of reset".to_owned(),
            hz => format!("{} MHz ({source}{boost})", f64::from(hz) / 1e6),
        };
        Some(format!("{clock}, {caches}, {wait_states}{banks}"))
    }
}

impl Spread {
    /// The spread of `figures`; zeros if there are none.
    pub fn of(figures: impl IntoIterator<Item = u64>) -> Self {
        let mut sorted: Vec<u64> = figures.into_iter().collect();
        sorted.sort_unstable();
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        Self {
            min: rank(0),
            median: rank(50),
            p95: rank(95),
            max: rank(100),
        }
    }

    /// How far the runs differ.
    pub fn jitter(&self) -> u64 {
        self.max - self.min
    }

    /// The same in another unit.
    pub fn map(self, convert: impl Fn(u64) -> u64) -> Self {
        Self {
            min: convert(self.min),
            median: convert(self.median),
            p95: convert(self.p95),
            max: convert(self.max),
        }
    }
}

/// The name of a figure of `unit`, for people.
pub fn caveat(unit: Unit) -> &'static str {
    match unit {
        Unit::Instructions => "instructions counted by the emulator, which are no latency",
        Unit::Cycles => "cycles of the core, counted by the chip",
        Unit::Ticks => "ticks of the board's counter",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_take_figures_that_were_measured() {
        let spread = Spread::of([5, 1, 4, 2, 3]);
        let expected = Spread {
            min: 1,
            median: 3,
            p95: 5,
            max: 5,
        };
        assert_eq!(spread, expected);
        assert_eq!(spread.jitter(), 4);
        assert_eq!(Spread::of(1..=100).p95, 95);
        assert_eq!(Spread::of([7]).p95, 7);
        assert_eq!(Spread::of([]).max, 0);
    }
}
