//! Installs what is missing.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use tadpool_boards::Board;

use tadpool_toolchain::emulator::{self, QEMU};

use crate::run::{run, succeeds};
use unpack::unpack;

mod unpack;

/// Debian's packages that can build for any target.
const DEBIAN_RUST: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// A system's package manager.
struct PackageManager {
    program: &'static str,
    /// Installs packages that are named after these, and removes none.
    install: &'static [&'static str],
    /// Shows what would be done, and does nothing.
    simulate: &'static str,
    /// Variables that it is called with.
    variables: &'static [(&'static str, &'static str)],
    /// Its package of the emulator.
    emulator: &'static str,
}

const PACKAGE_MANAGERS: [PackageManager; 6] = [
    PackageManager {
        program: "apt-get",
        install: &["install", "--yes", "--no-remove", "--no-install-recommends"],
        simulate: "apt-get install --simulate",
        variables: &[],
        emulator: "qemu-system-arm",
    },
    PackageManager {
        program: "dnf",
        // Removes nothing without `--allowerasing`.
        install: &["install", "--assumeyes"],
        simulate: "dnf install --assumeno",
        variables: &[],
        emulator: "qemu-system-arm",
    },
    PackageManager {
        program: "pacman",
        // Answers no where a conflicting package would have to go.
        install: &["-S", "--needed", "--noconfirm"],
        simulate: "pacman -S --print",
        variables: &[],
        emulator: "qemu-system-arm",
    },
    PackageManager {
        program: "zypper",
        install: &["--non-interactive", "install", "--no-force-resolution"],
        simulate: "zypper install --dry-run",
        variables: &[],
        emulator: "qemu-arm",
    },
    PackageManager {
        program: "apk",
        // Fails where packages conflict.
        install: &["add"],
        simulate: "apk add --simulate",
        variables: &[],
        emulator: "qemu-system-arm",
    },
    PackageManager {
        program: "brew",
        install: &["install"],
        simulate: "brew install --dry-run",
        variables: &[
            ("HOMEBREW_NO_AUTOREMOVE", "1"),
            ("HOMEBREW_NO_INSTALL_CLEANUP", "1"),
        ],
        emulator: "qemu",
    },
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
    let [apt, ..] = PACKAGE_MANAGERS;
    if is_installed(apt.program) {
        apt.ask(&DEBIAN_RUST)?;
        apt.install(&DEBIAN_RUST)?;
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
    if emulator::has_qemu() {
        println!("{QEMU}: installed");
        return Ok(());
    }
    let mut managers = PACKAGE_MANAGERS.into_iter();
    let Some(manager) = managers.find(|manager| is_installed(manager.program)) else {
        bail!("{QEMU} is missing and no package manager is known here; install QEMU for Arm");
    };
    let package = manager.emulator;
    manager.ask(&[package])?;
    if let Err(error) = manager.install(&[package]) {
        let folder = emulator::unpacked().filter(|_| manager.program == "apt-get");
        let Some(folder) = folder else {
            return Err(error);
        };
        println!(
            "{error:#}\nunpacking `{package}` to {} instead",
            folder.display()
        );
        unpack(package, &folder).context(error)?;
    }
    if !emulator::has_qemu() {
        bail!("`{package}` was installed, but no {QEMU} can be run");
    }
    Ok(())
}

impl PackageManager {
    /// An error unless the person at the terminal agrees that `packages` are installed.
    fn ask(&self, packages: &[&str]) -> Result<()> {
        let (program, packages_text) = (self.program, packages.join(" "));
        if !agreed(&format!(
            "install `{packages_text}` with {program}, removing nothing?"
        ))? {
            bail!("`{packages_text}` is needed; install it, then run this again");
        }
        Ok(())
    }

    /// Installs `packages`, and removes none.
    fn install(&self, packages: &[&str]) -> Result<()> {
        let (program, packages_text) = (self.program, packages.join(" "));
        if program == "apt-get" {
            // Lists that are old, or that cannot be fetched, may still do.
            let _ = run(privileged(program).arg("update"));
        }
        let mut command = privileged(program);
        command.args(self.install).args(packages);
        command.envs(self.variables.iter().copied());
        run(&mut command).with_context(|| {
            let simulate = self.simulate;
            format!(
                "`{packages_text}` could not be installed, and no package was removed; see with \
                 `{simulate} {packages_text}` what stands in its way, install it by hand, then \
                 run this again"
            )
        })
    }
}

/// The answer of the person at the terminal to `question`; yes where nobody is asked, in
/// continuous integration or without a terminal.
fn agreed(question: &str) -> Result<bool> {
    let stdin = io::stdin();
    if !stdin.is_terminal() || std::env::var_os("CI").is_some() {
        return Ok(true);
    }
    answer(question, &mut stdin.lock(), &mut io::stdout())
}

/// Asks `question` until the answer is yes or no; no answer is no.
fn answer(question: &str, input: &mut impl BufRead, output: &mut impl Write) -> Result<bool> {
    loop {
        write!(output, "{question} [y/n] ")?;
        output.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => {}
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        let cases = [
            ("y\n", true),
            ("YES\n", true),
            ("n\n", false),
            ("", false),
            ("\nperhaps\nyes\n", true),
            ("perhaps\n", false),
        ];
        for (input, expected) in cases {
            let mut asked = Vec::new();
            let agreed = answer("install it?", &mut input.as_bytes(), &mut asked).unwrap();
            assert_eq!(agreed, expected, "{input:?}");
            let asked = String::from_utf8(asked).unwrap();
            assert!(asked.starts_with("install it? [y/n] "), "{asked}");
        }
    }
}
