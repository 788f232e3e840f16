//! The package for Python: its types, and its tests on the extension that the workspace builds;
//! or on a wheel as it would be published.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::python::environment;
use crate::run::{self, root, run, target};

/// The package's folder.
const FOLDER: &str = "host-tools/python";
/// What its tests need.
const REQUIREMENTS: &str = "host-tools/python/requirements.txt";

/// Checks the types of the package, and runs its tests but for those that need torch, which is
/// large.
pub(crate) fn check() -> Result<()> {
    run::build(&["--lib"])?;
    let package = assemble().context("cannot assemble the package")?;
    let python = environment("package", &root().join(REQUIREMENTS))?;
    let mut mypy = command(&python, &["mypy", "--cache-dir"]);
    run(mypy.arg(target().join("mypy")))?;
    run(tests(&python).env("PYTHONPATH", package))
}

/// Builds the wheel as `pip install .[torch]` does, and runs the tests on what it installs,
/// those that need torch included.
pub(crate) fn build() -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    run(Command::new("python3")
        .args(["-m", "venv"])
        .arg(folder.path()))?;
    let python = folder.path().join("bin/python");
    let mut install = command(&python, &["pip", "install", "--quiet", "--requirement"]);
    run(install.arg(root().join(REQUIREMENTS)).arg(".[torch]"))?;
    run(Command::new(folder.path().join("bin/tadpool")).arg("--version"))?;
    run(tests(&python).arg("--torch"))
}

/// Puts the package and the extension that was built into a folder, and returns it.
fn assemble() -> Result<PathBuf> {
    let folder = target().join("python-path");
    let package = folder.join("tadpool");
    if package.exists() {
        fs::remove_dir_all(&package)?;
    }
    fs::create_dir_all(&package)?;
    for entry in fs::read_dir(root().join(FOLDER).join("package/tadpool"))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), package.join(entry.file_name()))?;
        }
    }
    let built = target()
        .join("debug")
        .join(format!("{DLL_PREFIX}tadpool_python{DLL_SUFFIX}"));
    let name = match cfg!(windows) {
        true => "_tadpool.pyd",
        false => "_tadpool.abi3.so",
    };
    fs::copy(&built, package.join(name)).with_context(|| built.display().to_string())?;
    Ok(folder)
}

fn tests(python: &Path) -> Command {
    let mut command = command(
        python,
        &["pytest", "--quiet", "-rs", "-p", "no:cacheprovider"],
    );
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A module of `python`, in the package's folder.
fn command(python: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(python);
    command.arg("-m").args(arguments);
    command.current_dir(root().join(FOLDER));
    command
}
