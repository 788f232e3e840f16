//! The repository's folder, and programs that are run there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let figures = Path::new(env!("CARGO_MANIFEST_DIR"));
    figures.ancestors().nth(2).unwrap_or(figures).to_owned()
}

/// Where cargo builds the workspace.
pub(crate) fn target() -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR");
    root().join(folder.unwrap_or_else(|| "target".into()))
}

/// Cargo, called in the workspace's folder.
pub(crate) fn cargo<const COUNT: usize>(arguments: [&str; COUNT]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root());
    command
}

/// Runs `command`; an error if it cannot be run or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}
