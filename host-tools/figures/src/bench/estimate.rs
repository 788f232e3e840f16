//! An estimate of a core's cycles, from what the emulator executed between calls of a
//! function, with memories that answer at once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tadpool_cycles::decode::Unknown;
use tadpool_cycles::latency::Latency;
use tadpool_cycles::memory::MemoryMap;
use tadpool_cycles::pipeline::Core;
use tadpool_cycles::trace::{Access, Sink};
use tadpool_latency::execute::{Ended, Listener, Run, Window, execute};
use tadpool_latency::plugin::plugin;
use tadpool_latency::program::Program;

use crate::repository::root;

/// The function that the image calls before and after what is counted.
const MARK: &str = "tadpool_mark";

/// The instructions executed between two calls of [`MARK`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Executed {
    pub(super) instructions: u64,
    pub(super) cycles: u64,
}

/// Executes an image on a machine, and tells what lay between each call of [`MARK`] and the
/// next: what is counted and what is not, in turn.
pub(super) fn executed(
    image: &Path,
    machine: &str,
    core: Core,
    limit: Duration,
) -> Result<Vec<Executed>> {
    let bytes = std::fs::read(image).with_context(|| image.display().to_string())?;
    let mark = Program::read(image, &bytes)?.function(MARK)?;
    let window = Window {
        from: Some(mark),
        to: Some(mark),
        calls: None,
    };
    let plugin = plugin(&root().join("target/tadpool"))?;
    let listener = Listener::new(&plugin, window)?;
    let parts = Parts {
        latency: Latency::new(core, &MemoryMap::zero_wait())?,
        began: None,
        parts: Vec::new(),
    };
    let run = Run {
        path: image,
        machine,
        arguments: &["-icount", "shift=0"],
        limit,
        prints: None,
    };
    let (parts, ended) = execute(run, listener, parts)?;
    ensure!(
        matches!(ended, Ended::Exit(status) if status.success()),
        "{}: the kernels did not end well: {ended:?}",
        image.display()
    );
    Ok(parts.parts)
}

/// Adds up what lies between marks.
struct Parts {
    latency: Latency,
    began: Option<Executed>,
    parts: Vec<Executed>,
}

impl Parts {
    fn now(&mut self) -> Executed {
        Executed {
            instructions: self.latency.instructions(),
            cycles: self.latency.total().total(),
        }
    }
}

impl Sink for Parts {
    fn define(&mut self, block: u32, address: u32, code: &[u16]) -> Result<(), Unknown> {
        self.latency.define(block, address, code)
    }

    fn execute(&mut self, block: u32, accesses: &[Access]) {
        self.latency.execute(block, accesses);
    }

    fn begin(&mut self) {
        self.latency.begin();
        self.began = Some(self.now());
    }

    fn end(&mut self) {
        self.latency.end();
        let now = self.now();
        if let Some(began) = self.began.take() {
            self.parts.push(Executed {
                instructions: now.instructions - began.instructions,
                cycles: now.cycles - began.cycles,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_marks_is_counted_apart() {
        let mut parts = Parts {
            latency: Latency::new(Core::CortexM4, &MemoryMap::zero_wait()).unwrap(),
            began: None,
            parts: Vec::new(),
        };
        // nop, nop
        parts.define(0, 0x100, &[0xbf00, 0xbf00]).unwrap();
        for executions in [1, 3] {
            parts.begin();
            for _ in 0..executions {
                parts.execute(0, &[]);
            }
            parts.end();
        }
        let instructions: Vec<u64> = parts.parts.iter().map(|it| it.instructions).collect();
        assert_eq!(instructions, [2, 6]);
        assert!(parts.parts[1].cycles > parts.parts[0].cycles);
    }
}
