//! The virtual probe: emulated boards, reached as real ones are.
//!
//! QEMU's gdbstub takes the place of the wires. probe-rs opens the probe by a
//! selector, attaches, flashes, runs and reads through it with the code that it
//! has for real ones.

mod core;
mod gdb;
mod probe;
mod process;
mod program;
mod target;

use std::sync::Once;

use probe_rs::Target;
use probe_rs::config::RegistryError;
use probe_rs::plugin::{Plugin, register_plugin};

pub use probe::Tamper;
pub(crate) use process::ANSWER_TIME;
pub use process::{Emulator, EmulatorError};
pub use program::{Ended, run_program};

use tadpool_boards::Board;

/// Makes probe-rs know virtual probes.
pub(crate) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        register_plugin(Plugin {
            probe_drivers: &[&probe::Factory],
            ..Plugin::default()
        });
    });
}

impl Emulator {
    /// How its virtual probe is selected.
    pub fn selector(&self) -> String {
        probe::selector(self.serial_number())
    }
}

/// The target description of an emulated board for probe-rs.
pub(crate) fn target(board: &Board) -> Result<Target, RegistryError> {
    target::describe(board)
}
