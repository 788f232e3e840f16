//! A board's guide: from the box to its first record.

use std::fmt;

use serde::Serialize;
use tadpool_boards::{Board, BoardError, Runner, notes};
use tadpool_input::text::escaped_lines;

use super::bringup::STAGES;
use super::report::{grouped, table};

/// Instructions for the first start of a board.
#[derive(Debug, Serialize)]
pub(crate) struct Guide {
    name: String,
    /// The facts in its file, by name.
    facts: Vec<(&'static str, String)>,
    /// The clock that `tadpool bringup` measures, if the file says one.
    clock: Option<String>,
    /// The text beside its file.
    notes: String,
    /// Names of the stages of `tadpool bringup`.
    stages: Vec<&'static str>,
}

impl Guide {
    pub(crate) fn of(board: &Board) -> Result<Self, BoardError> {
        Ok(Self {
            name: board.name.clone(),
            facts: facts(board),
            clock: board.clock.as_ref().map(|clock| {
                let mhz = f64::from(clock.core_hz) / 1e6;
                format!("{mhz} MHz, within 2 %; not measured in an emulator")
            }),
            // A user's own may hold what a terminal obeys.
            notes: escaped_lines(&notes(board)?).into_owned(),
            stages: STAGES.iter().map(|(name, ..)| *name).collect(),
        })
    }
}

fn facts(board: &Board) -> Vec<(&'static str, String)> {
    let mut facts = vec![("chip", format!("{}, {}", board.chip, board.core))];
    if let Some(identity) = &board.identity {
        let register = identity.register;
        let (value, mask) = (identity.value, identity.mask);
        let text = format!("{register:08x} holds {value:08x} in its bits {mask:08x}");
        facts.push(("tells by", text));
    }
    for (what, name, bytes) in [
        ("code", &board.layout.code, board.flash_bytes()),
        ("variables", &board.layout.ram, board.ram_bytes()),
    ] {
        let origin = board.memory.get(name).map_or(0, |region| region.origin);
        let bytes = grouped(bytes);
        let text = format!("{bytes} bytes of `{name}`, from {origin:08x} on");
        facts.push((what, text));
    }
    if let Some(clock) = &board.clock {
        let (mhz, caches) = (f64::from(clock.core_hz) / 1e6, &clock.caches);
        let text = format!("{mhz} MHz, {} wait states", clock.flash_wait_states);
        facts.push(("clock", format!("{text}; on: {caches}")));
    }
    let counter = board.counter.name.clone();
    facts.push(("counter", counter));
    if let Some(pin) = &board.busy_pin {
        facts.push(("busy pin", format!("{pin}: high during an inference")));
    }
    if let Some(uart) = &board.uart {
        facts.push(("serial port", format!("{}, {} baud", uart.name, uart.baud)));
    }
    facts.push((
        "runs by",
        match &board.runner {
            Runner::Qemu(qemu) => format!("QEMU's machine {}", qemu.machine),
            Runner::Probe(probe) => format!("a debug probe at up to {} kHz", probe.speed_khz),
        },
    ));
    facts
}

impl fmt::Display for Guide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        writeln!(f, "# {name}\n")?;
        let mut rows = table(["", "as the board's file says"], 2);
        for (what, text) in &self.facts {
            rows.add_row([what, text.as_str()]);
        }
        writeln!(f, "{rows}\n")?;
        let (before, after) = match self.notes.split_once("## If it does not start") {
            Some((before, after)) => (before.trim_end(), after.trim()),
            None => (self.notes.trim_end(), ""),
        };
        if !before.is_empty() {
            writeln!(f, "{before}\n")?;
        }
        writeln!(
            f,
            "## The first three commands

1. `tadpool doctor` says `ok` of Rust, of the board's target and of the debug probe, or what
   to install: on Linux, the rules by which a user may open the probe. `tadpool probes` lists
   what is connected; with several, pass `--probe`.
2. `tadpool bringup MODEL IMAGE --board {name}` writes the image, starts it, and prints
   a table with these stages, each `good`:
"
        )?;
        let mut rows = table(["stage", "found", "if it is not good, look at"], 3);
        for (stage, found, remedy) in STAGES {
            let found = match (&self.clock, stage) {
                (Some(clock), "clock") => clock,
                _ => found,
            };
            rows.add_row([stage, found, remedy]);
        }
        writeln!(
            f,
            "{rows}

3. `tadpool run MODEL IMAGE --board {name}` prints the image's label and what it cost;
   `tadpool bench MODEL --board {name}` that of each step.

MODEL is a model description or an ONNX file, IMAGE a picture.

## If it does not start

- The first stage that is not good is the one to mend; the row `stopped` has the error's text.
- `tadpool logs MODEL --board {name}` prints what the firmware says of its start, and of
  the fault that ended its last run.
- A slower `--speed`, `--under-reset` (for a program that keeps debuggers out), another cable."
        )?;
        match after {
            "" => Ok(()),
            after => writeln!(f, "{after}"),
        }
    }
}
