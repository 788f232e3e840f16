//! Values that a board's file cannot have.

use std::ops::RangeInclusive;

use super::latency;
use super::startup::{self, Problem, STARTUPS, Startup};
use super::{Board, Region, Runner, Watchdog};

/// Bytes of the protocol's field for a board's name.
const MAX_NAME: usize = 32;
/// Faster than any probe.
const MAX_SPEED_KHZ: u32 = 100_000;
/// More than QEMU takes is refused by it.
const MAX_ICOUNT_SHIFT: u32 = 10;
/// The range of an RP2040's watchdog, the smallest of all chips.
const WATCHDOG_MS: RangeInclusive<u32> = 100..=8000;
/// The smallest sector that flash is erased by.
const SLOT_MULTIPLE_BYTES: u32 = 1 << 10;
const POSITIVE: &str = "must be positive";

/// The first field whose value cannot be.
pub(crate) fn check(board: &Board) -> Result<(), Problem> {
    check_name(board)?;
    startup::check_core(board)?;
    check_memory(board)?;
    check_layout(board)?;
    check_clock(board)?;
    check_watchdog(board)?;
    latency::check(board)?;
    check_runner(board)?;
    let name = board.startup();
    match Startup::find(name) {
        Some(startup) => startup.check(board),
        None => {
            let known: Vec<&str> = STARTUPS.iter().map(|startup| startup.name).collect();
            let problem = format!("is no start-up code; there is {}", known.join(", "));
            Err(("startup", format!("`{name}`"), problem))
        }
    }
}

fn check_name(board: &Board) -> Result<(), Problem> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = &board.name;
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_plain) {
        let problem = format!("is not 1 to {MAX_NAME} letters, digits, `-`, `_` and `.`");
        return Err(("name", format!("`{name}`"), problem));
    }
    match board.chip.trim().is_empty() {
        true => Err(("chip", "``".into(), "is not the name of a chip".into())),
        false => Ok(()),
    }
}

fn check_memory(board: &Board) -> Result<(), Problem> {
    for (name, Region { origin, length }) in &board.memory {
        let end = u64::from(*origin) + u64::from(*length);
        if *length == 0 || end > 1 << 32 {
            let value = format!("`{name}` of {length:#x} bytes at {origin:#x}");
            let problem = "is empty, or ends beyond the 32-bit address space".into();
            return Err(("memory", value, problem));
        }
    }
    Ok(())
}

fn check_layout(board: &Board) -> Result<(), Problem> {
    let layout = &board.layout;
    let mut places = vec![
        ("layout.code", &layout.code),
        ("layout.weights", &layout.weights),
        ("layout.ram", &layout.ram),
    ];
    places.extend(layout.rings.as_ref().map(|rings| ("layout.rings", rings)));
    for (field, region) in &places {
        if !board.memory.contains_key(*region) {
            let problem = "is not the name of a [memory]".into();
            return Err((field, format!("`{region}`"), problem));
        }
    }
    for (place, (field, region)) in places.iter().enumerate() {
        for (other_field, other) in &places[..place] {
            let is_shared = (*field, *other_field) == ("layout.weights", "layout.code");
            if (region == other && !is_shared) || (region != other && overlap(board, region, other))
            {
                let problem = format!("is, in part, the memory of {other_field}");
                return Err((field, format!("`{region}`"), problem));
            }
        }
    }
    let budgets = [
        ("budget.flash_bytes", board.budget.flash_bytes, &layout.code),
        ("budget.ram_bytes", board.budget.ram_bytes, &layout.ram),
    ];
    for (field, budget, region) in budgets {
        let length = board.memory[region].length;
        if budget.is_some_and(|bytes| bytes == 0 || bytes > length) {
            let problem = format!("is not between 1 and the {length} bytes of `{region}`");
            return Err((field, budget.unwrap_or(0).to_string(), problem));
        }
    }
    let (ram, stack) = (board.ram_bytes(), layout.stack_bytes);
    if stack == 0 || !stack.is_multiple_of(8) || u64::from(stack) >= ram {
        let problem = "is not a multiple of 8 between 0 and the RAM's length";
        return Err(("layout.stack_bytes", stack.to_string(), problem.into()));
    }
    if layout.copy_weights && layout.weights != layout.code {
        // The start-up code copies from the memory that the image starts in.
        let problem = "asks for a copy of weights that are not in the memory of `layout.code`";
        return Err(("layout.copy_weights", "true".into(), problem.into()));
    }
    if layout.weight_slots {
        check_slots(board)?;
    }
    let inference = board.budget.inference_stack_bytes;
    if inference.is_some_and(|bytes| bytes == 0 || bytes > stack) {
        let problem = "is not between 1 and `layout.stack_bytes`".into();
        let value = inference.unwrap_or(0).to_string();
        return Err(("budget.inference_stack_bytes", value, problem));
    }
    Ok(())
}

/// Slots are a memory of their own, in halves that begin where erasing one leaves the other.
fn check_slots(board: &Board) -> Result<(), Problem> {
    let layout = &board.layout;
    let problem = if layout.weights == layout.code {
        "needs a [memory] of their own for the weights in `layout.weights`".to_owned()
    } else if !board.memory[&layout.weights]
        .length
        .is_multiple_of(2 * SLOT_MULTIPLE_BYTES)
        || !board.memory[&layout.weights]
            .origin
            .is_multiple_of(SLOT_MULTIPLE_BYTES)
    {
        let name = &layout.weights;
        format!("halves `{name}`, which has to begin and halve at a multiple of 1 KB")
    } else {
        return Ok(());
    };
    Err(("layout.weight_slots", "true".into(), problem))
}

fn overlap(board: &Board, one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|name| &board.memory[name]);
    let end = |region: &Region| u64::from(region.origin) + u64::from(region.length);
    u64::from(one.origin) < end(other) && u64::from(other.origin) < end(one)
}

fn check_clock(board: &Board) -> Result<(), Problem> {
    let counter_hz = board.counter.frequency_hz;
    if counter_hz == Some(0) {
        return Err(("counter.frequency_hz", "0".into(), POSITIVE.into()));
    }
    if counter_hz.is_none() && !board.has_unknown_clock() {
        let problem = "is missing; only `startup = \"cortex-m\"` behind a debug probe does without";
        return Err(("counter.frequency_hz", "none".into(), problem.into()));
    }
    if let Some(clock) = &board.clock {
        if clock.core_hz == 0 {
            return Err(("clock.core_hz", "0".into(), POSITIVE.into()));
        }
        if matches!(board.runner, Runner::Probe(_)) && counter_hz != Some(clock.core_hz) {
            let problem = "is not `counter.frequency_hz`, though the chip counts the core's clock";
            return Err(("clock.core_hz", clock.core_hz.to_string(), problem.into()));
        }
    }
    if let Some(register) = &board.busy_register
        && (!register.address.is_multiple_of(4) || register.mask.count_ones() != 1)
    {
        let value = format!("{:#x}, mask {:#x}", register.address, register.mask);
        let problem = "is not the address of a register and one bit of it".into();
        return Err(("busy_register", value, problem));
    }
    match &board.uart {
        Some(uart) if uart.baud == 0 => Err(("uart.baud", "0".into(), POSITIVE.into())),
        _ => Ok(()),
    }
}

/// A limit that every chip's watchdog can count, above any step of a small network.
fn check_watchdog(board: &Board) -> Result<(), Problem> {
    match &board.watchdog {
        Some(Watchdog { limit_ms }) if !WATCHDOG_MS.contains(limit_ms) => {
            let (first, last) = (WATCHDOG_MS.start(), WATCHDOG_MS.end());
            let problem = format!("is not between {first} and {last}");
            Err(("watchdog.limit_ms", limit_ms.to_string(), problem))
        }
        _ => Ok(()),
    }
}

fn check_runner(board: &Board) -> Result<(), Problem> {
    match &board.runner {
        Runner::Qemu(qemu) => {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let machine = &qemu.machine;
            if machine.is_empty() || machine.starts_with('-') || !machine.chars().all(is_plain) {
                let problem = "is no machine of QEMU; `qemu-system-arm -machine help` lists them";
                return Err((
                    "runner.qemu.machine",
                    format!("`{machine}`"),
                    problem.into(),
                ));
            }
            if qemu.icount_shift > MAX_ICOUNT_SHIFT {
                let problem = format!("is more than QEMU takes, {MAX_ICOUNT_SHIFT}");
                return Err((
                    "runner.qemu.icount_shift",
                    qemu.icount_shift.to_string(),
                    problem,
                ));
            }
            Ok(())
        }
        Runner::Probe(probe) if !(1..=MAX_SPEED_KHZ).contains(&probe.speed_khz) => {
            let problem = format!("is not between 1 and {MAX_SPEED_KHZ}");
            Err((
                "runner.probe.speed_khz",
                probe.speed_khz.to_string(),
                problem,
            ))
        }
        Runner::Probe(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{find, parse, text};

    /// The error for a built-in board's file with some of its text replaced.
    fn said(board: &str, old: &str, new: &str) -> String {
        let text = text(&find(board).unwrap()).unwrap();
        let changed = text.replacen(old, new, 1);
        assert_ne!(changed, text, "{board} has no {old}");
        let error = parse(Path::new("my.toml"), &changed)
            .unwrap_err()
            .to_string();
        error.replace("`my.toml`: ", "")
    }

    #[test]
    fn every_wrong_value_is_told_with_its_field() {
        let (emulated, f746, l4r5) = ("qemu-mps2-an386", "stm32f746g-disco", "nucleo-l4r5zi");
        let cases = [
            (
                emulated,
                "name = \"qemu-mps2-an386\"",
                "name = \"../a\"",
                "name = `../a` is not",
            ),
            (
                f746,
                "chip = \"STM32F746NG\"",
                "chip = \" \"",
                "chip = `` is not the name",
            ),
            (
                f746,
                "chip = \"STM32F746NG\"",
                "chip = \"STM32F411RE\"",
                "startup = stm32f746g-disco sets up the clocks of STM32F746",
            ),
            (
                f746,
                "core = \"Cortex-M7\"",
                "core = \"Cortex-A7\"",
                "core = Cortex-A7 is none of",
            ),
            (
                f746,
                "core = \"Cortex-M7\"",
                "core = \"Cortex-M4F\"",
                "core = Cortex-M4F is not Cortex-M7, the core of",
            ),
            (
                f746,
                "thumbv7em-none-eabihf",
                "thumbv7m-none-eabi",
                "target = thumbv7m-none-eabi does not build for Cortex-M7",
            ),
            (
                f746,
                "dsp-m7",
                "helium",
                "kernels = helium needs the vector extension",
            ),
            (
                "rpi-pico",
                "kernels = \"portable\"",
                "kernels = \"dsp\"",
                "kernels = dsp needs the DSP extension",
            ),
            (
                "rpi-pico",
                "boot = \"second-stage\"",
                "",
                "layout.boot = none is not `second-stage`",
            ),
            (
                "rpi-pico",
                "mask = 4194304",
                "mask = 3",
                "busy_register = 0xd0000010, mask 0x3 is not",
            ),
            (
                f746,
                "length = 1048576",
                "length = 0",
                "memory = `flash` of 0x0 bytes",
            ),
            (
                f746,
                "origin = 134217728",
                "origin = 4294967295",
                "memory = `flash` of 0x100000 bytes at 0xffffffff",
            ),
            (
                f746,
                "code = \"flash\"",
                "code = \"ram\"",
                "layout.ram = `ram` is, in part, the memory of layout.code",
            ),
            (
                f746,
                "origin = 536870912",
                "origin = 134217728",
                "layout.ram = `ram` is, in part, the memory of layout.code",
            ),
            (
                f746,
                "ram = \"ram\"",
                "ram = \"ram\"\nrings = \"flash\"",
                "layout.rings = `flash` is, in part, the memory of layout.code",
            ),
            (
                f746,
                "[counter]",
                "[watchdog]\nlimit_ms = 9000\n[counter]",
                "watchdog.limit_ms = 9000 is not between 100 and 8000",
            ),
            (
                "qemu-lm3s6965evb",
                "[counter]",
                "[watchdog]\nlimit_ms = 2000\n[counter]",
                "watchdog = given is not started by start-up code `qemu-systick`",
            ),
            (
                f746,
                "weight_slots = false",
                "weight_slots = true",
                "layout.weight_slots = true needs a [memory] of their own",
            ),
            (
                f746,
                "stack_bytes = 8192",
                "stack_bytes = 12",
                "layout.stack_bytes = 12 is not a multiple of 8",
            ),
            (
                f746,
                "inference_stack_bytes = 4096",
                "inference_stack_bytes = 9000",
                "budget.inference_stack_bytes = 9000 is not between",
            ),
            (
                emulated,
                "ram_bytes = 327680",
                "ram_bytes = 0",
                "budget.ram_bytes = 0 is not between",
            ),
            (
                emulated,
                "flash_bytes = 2097152",
                "flash_bytes = 99999999",
                "budget.flash_bytes = 99999999 is not between",
            ),
            (
                f746,
                "core_hz = 216000000",
                "core_hz = 100000000",
                "clock.core_hz = 100000000 is not `counter.frequency_hz`",
            ),
            (
                f746,
                "frequency_hz = 216000000",
                "",
                "counter.frequency_hz = none is missing",
            ),
            (
                f746,
                "frequency_hz = 216000000",
                "frequency_hz = 0",
                "counter.frequency_hz = 0 must be positive",
            ),
            (
                f746,
                "speed_khz = 4000",
                "speed_khz = 0",
                "runner.probe.speed_khz = 0 is not between",
            ),
            (
                l4r5,
                "baud = 115200",
                "baud = 0",
                "uart.baud = 0 must be positive",
            ),
            (
                l4r5,
                "baud = 115200",
                "baud = 115200\naddress = 4",
                "uart.address = given is the HAL's",
            ),
            (
                emulated,
                "address = 1073758208",
                "",
                "uart.address = none is missing",
            ),
            (
                emulated,
                "machine = \"mps2-an386\"",
                "machine = \"-S\"",
                "runner.qemu.machine = `-S` is no machine",
            ),
            (
                emulated,
                "icount_shift = 6",
                "icount_shift = 11",
                "runner.qemu.icount_shift = 11 is more than",
            ),
            (
                emulated,
                "startup = \"qemu-mps2\"",
                "startup = \"qemu\"",
                "startup = `qemu` is no start-up code; there is qemu-mps2",
            ),
            (
                emulated,
                "startup = \"qemu-mps2\"",
                "startup = \"cortex-m\"",
                "busy_register = given is not used by",
            ),
        ];
        for (board, old, new, expected) in cases {
            let said = said(board, old, new);
            assert!(said.starts_with(expected), "{new}: {said}");
        }
    }
}
