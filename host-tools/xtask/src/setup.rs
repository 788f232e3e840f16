//! Installs what is missing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{root, run, succeeds};
use crate::toolchain;

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

/// What `boards/*.toml` says that matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Board {
    /// The board's name.
    pub(crate) name: String,
    /// The file that describes it.
    pub(crate) file: PathBuf,
    /// The start-up code that it uses.
    pub(crate) startup: String,
    /// The features of the firmware that build an image for it.
    pub(crate) features: String,
    /// Its Rust target.
    pub(crate) target: String,
    /// Whether its start-up code sets up a serial port.
    pub(crate) has_uart: bool,
}

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
    let folder = root().join("firmware/boards");
    let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut boards = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            boards.push(board(&path).with_context(|| path.display().to_string())?);
        }
    }
    boards.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(boards)
}

fn board(path: &Path) -> Result<Board> {
    let table: toml::Table = std::fs::read_to_string(path)?.parse()?;
    let field = |name: &str| {
        let value = table.get(name).and_then(toml::Value::as_str);
        value
            .map(str::to_owned)
            .with_context(|| format!("has no text `{name}`"))
    };
    let name = field("name")?;
    let startup = field("startup").unwrap_or_else(|_| name.clone());
    let features = match field("kernels")?.as_str() {
        "portable" => startup.clone(),
        kernels => format!("{startup},{kernels}"),
    };
    Ok(Board {
        name,
        file: path.to_owned(),
        startup,
        features,
        target: field("target")?,
        has_uart: table.contains_key("uart"),
    })
}

fn install_target(target: &str) -> Result<()> {
    if toolchain::for_target(target).is_some() {
        println!("{target}: installed");
        return Ok(());
    }
    let by_rustup = run(Command::new("rustup").args(["target", "add", target]));
    if by_rustup.is_ok() && toolchain::for_target(target).is_some() {
        return Ok(());
    }
    println!("{target}: rustup could not install it; trying Debian's Rust, which builds `core`");
    if is_installed("apt-get") {
        run(privileged("apt-get")
            .args(["install", "--yes"])
            .args(DEBIAN_RUST))?;
    }
    if toolchain::for_target(target).is_none() {
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
