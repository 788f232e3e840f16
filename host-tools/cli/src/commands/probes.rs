//! `tadpool probes`.

use std::fmt;

use clap::Args;
use serde::Serialize;
use tadpool_probe::{FoundProbe, list};

use super::report::table;

#[derive(Debug, Args)]
pub(crate) struct Probes {}

#[derive(Debug, Serialize)]
pub(crate) struct ProbeList {
    probes: Vec<FoundProbe>,
}

impl Probes {
    pub(crate) fn run(self) -> ProbeList {
        ProbeList { probes: list() }
    }
}

impl fmt::Display for ProbeList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.probes.is_empty() {
            return writeln!(f, "no debug probe is connected; emulated boards need none");
        }
        let mut rows = table(["--probe", "name", "may be opened"], 3);
        for probe in &self.probes {
            let accessible = if probe.accessible { "yes" } else { "no" };
            rows.add_row([&probe.selector, &probe.name, accessible]);
        }
        writeln!(f, "{rows}")
    }
}
