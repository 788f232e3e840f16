//! The checks of a minute or two: format, lints, and unit tests that need no emulator.

use anyhow::Result;

use crate::ci::{clippy, format};
use crate::run::{cargo, run};

/// Runs the quick checks; an error if one fails.
pub(crate) fn quick() -> Result<()> {
    format()?;
    clippy()?;
    run(&mut cargo([
        "test",
        "--workspace",
        "--lib",
        "--bins",
        "--locked",
    ]))
}
