//! Debian's packages, unpacked to a folder of their own.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::run::run;

/// Unpacks `package`, and what it needs that is not installed, to `folder`. Nothing is
/// installed, removed or run, and no privileges are needed: this works where the package
/// conflicts with one that is installed.
pub(super) fn unpack(package: &str, folder: &Path) -> Result<()> {
    let parent = folder
        .parent()
        .context("the root is no place to unpack to")?;
    let name = folder.file_name().context("the folder has no name")?;
    let name = name.to_string_lossy();
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    // Beside the folder, so that it can be renamed when it is complete.
    let partial = tempfile::Builder::new()
        .prefix(&format!(".{name}-"))
        .tempdir_in(parent)
        .with_context(|| parent.display().to_string())?;
    let (downloads, root) = (partial.path().join("packages"), partial.path().join("root"));
    fs::create_dir(&downloads)?;
    let mut download = Command::new("apt-get");
    download.arg("download").args(needed(package)?);
    run(download.current_dir(&downloads))?;
    for file in fs::read_dir(&downloads)? {
        let mut extract = Command::new("dpkg-deb");
        run(extract.arg("--extract").arg(file?.path()).arg(&root))?;
    }
    if folder.exists() {
        // What was unpacked before, and does not run.
        fs::rename(folder, partial.path().join("old"))?;
    }
    fs::rename(&root, folder).with_context(|| folder.display().to_string())
}

/// The packages that would be installed with `package`, each with its version.
fn needed(package: &str) -> Result<Vec<String>> {
    let mut simulation = Command::new("apt-get");
    simulation
        .args(["install", "--simulate", "--no-install-recommends", package])
        .env("LC_ALL", "C");
    let output = simulation.output().context("cannot run apt-get")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{package}` cannot be had: {text}");
    let packages = installations(&String::from_utf8_lossy(&output.stdout));
    ensure!(
        !packages.is_empty(),
        "apt-get names no packages of `{package}`"
    );
    Ok(packages)
}

/// `NAME=VERSION` of each line `Inst NAME [OLD] (VERSION ...)`.
fn installations(simulation: &str) -> Vec<String> {
    let lines = simulation.lines();
    let packages = lines.filter_map(|line| {
        let rest = line.strip_prefix("Inst ")?;
        let name = rest.split(' ').next()?;
        let version = rest.split_once('(')?.1.split([' ', ')']).next()?;
        Some(format!("{name}={version}"))
    });
    packages.collect()
}

#[cfg(test)]
mod tests {
    use super::installations;

    #[test]
    fn a_simulation_names_packages_and_versions() {
        let simulation = "Reading package lists...\n\
            Remv qemu-utils [1:10.0.2+ds-2]\n\
            Inst libfdt1 (1.6.1-4+b1 Debian:12.11/oldstable [amd64])\n\
            Inst qemu-system-arm [1:7.1] (1:7.2+dfsg-7 Debian:12.11/oldstable [amd64]) []\n\
            Conf libfdt1 (1.6.1-4+b1 Debian:12.11/oldstable [amd64])\n";
        let expected = ["libfdt1=1.6.1-4+b1", "qemu-system-arm=1:7.2+dfsg-7"];
        assert_eq!(installations(simulation), expected);
    }
}
