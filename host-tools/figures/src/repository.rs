//! The repository's folder, and programs that are run there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let figures = Path::new(env!("CARGO_MANIFEST_DIR"));
    figures.ancestors().nth(2).unwrap_or(figures).to_owned()
}

/// Runs `command`; an error if it cannot be run or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}
