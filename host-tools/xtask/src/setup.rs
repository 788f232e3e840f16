//! Installs what is missing.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use tadpool_boards::Board;

use crate::run::{run, succeeds};

const EMULATOR: &str = "qemu-system-arm";
/// Debian's packages that can build for any target.
const DEBIAN_RUST: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// A system's package manager and its name of the emulator's package.
const PACKAGE_MANAGERS: [(&str, &[&str], &str); 6] = [
    (
        "apt-get",
        &["install", "--yes", "--no-install-recommends"],
        "qemu-system-arm",
    ),
    ("dnf", &["install", "--assumeyes"], "qemu-system-arm"),
    ("pacman", &["-S", "--noconfirm"], "qemu-system-arm"),
    ("zypper", &["--non-interactive", "install"], "qemu-arm"),
    ("apk", &["add"], "qemu-system-arm"),
    ("brew", &["install"], "qemu"),
];

/// Installs the boards' Rust targets and the emulator.
pub(crate) fn setup() -> Result<()> {
    let targets: BTreeSet<String> = boards()?.into_iter().map(|board| board.target).collect();
    for target in &targets {
        install_target(target)?;
    }
    install_emulator()
}

/// The boards that the firmware knows.
pub(crate) fn boards() -> Result<Vec<Board>> {
    let boards = tadpool_boards::names().map(tadpool_boards::find);
    Ok(boards.collect::<Result<_, _>>()?)
}

fn install_target(target: &str) -> Result<()> {
    if tadpool_toolchain::for_target(target).is_some() {
        println!("{target}: installed");
        return Ok(());
    }
    let by_rustup = run(Command::new("rustup").args(["target", "add", target]));
    if by_rustup.is_ok() && tadpool_toolchain::for_target(target).is_some() {
        return Ok(());
    }
    println!("{target}: rustup could not install it; trying Debian's Rust, which builds `core`");
    if is_installed("apt-get") {
        run(privileged("apt-get")
            .args(["install", "--yes"])
            .args(DEBIAN_RUST))?;
    }
    if tadpool_toolchain::for_target(target).is_none() {
        let packages = DEBIAN_RUST.join(" ");
        bail!(
            "no toolchain builds for {target}; install it with `rustup target add {target}`, or \
             on Debian install {packages}"
        );
    }
    Ok(())
}

fn install_emulator() -> Result<()> {
    if is_installed(EMULATOR) {
        println!("{EMULATOR}: installed");
        return Ok(());
    }
    let manager = PACKAGE_MANAGERS
        .into_iter()
        .find(|(program, ..)| is_installed(program));
    let Some((program, install, package)) = manager else {
        bail!("{EMULATOR} is missing and no package manager is known here; install QEMU for Arm");
    };
    if program == "apt-get" {
        run(privileged(program).arg("update"))?;
    }
    run(privileged(program).args(install).arg(package))
        .with_context(|| format!("{EMULATOR} could not be installed; install `{package}`"))?;
    if !is_installed(EMULATOR) {
        bail!("`{package}` was installed, but there is no {EMULATOR} on the PATH");
    }
    Ok(())
}

/// `program`, through sudo where that is needed.
fn privileged(program: &str) -> Command {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout == b"0\n");
    // Homebrew refuses to be root.
    if is_root || program == "brew" {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

fn is_installed(program: &str) -> bool {
    succeeds(Command::new(program).arg("--version"))
}
