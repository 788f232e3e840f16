//! `tadpool doctor`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::process::Command;

use clap::Args;
use serde::Serialize;
use tadpool_boards::{Board, Runner};
use tadpool_image::cache::{Cache, VARIABLE};
use tadpool_toolchain::emulator::qemu;

use super::report::{Report, table};

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Look for what this board needs, instead of what any of them does.
    #[arg(long, value_name = "BOARD")]
    board: Option<String>,
}

/// Tools that are installed, and those that are missing.
#[derive(Debug)]
pub(crate) struct Diagnosis(Findings);

#[derive(Debug, Serialize)]
struct Findings {
    /// Whether everything is there that is needed.
    ready: bool,
    findings: Vec<Finding>,
}

/// One thing that was looked for.
#[derive(Debug, Serialize)]
struct Finding {
    name: String,
    state: State,
    /// The result of the search.
    #[serde(skip_serializing_if = "String::is_empty")]
    found: String,
    /// How to get it, if it is not there.
    #[serde(skip_serializing_if = "String::is_empty")]
    remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It is there.
    Ready,
    /// It is not, and some commands fail without it.
    Missing,
    /// It is not, and nothing that was asked for needs it.
    Unused,
}

const GET_QEMU: &str = "Debian, Ubuntu: apt-get install qemu-system-arm; Fedora: dnf install \
                        qemu-system-arm; Arch: pacman -S qemu-system-arm; macOS: brew install qemu";
const GET_RUST: &str = "https://rustup.rs";
const GET_RULES: &str = "install probe-rs' udev rules \
                         (https://probe.rs/docs/getting-started/probe-setup), then plug the probe \
                         in again";

impl Doctor {
    pub(crate) fn run(self) -> anyhow::Result<Diagnosis> {
        let boards: Vec<Board> = match &self.board {
            Some(board) => vec![tadpool_probe::find_board(board)?],
            None => tadpool_boards::names()
                .map(tadpool_boards::find)
                .collect::<Result<_, _>>()?,
        };
        let mut findings = vec![rust()];
        let targets: BTreeSet<&str> = boards.iter().map(|board| board.target.as_str()).collect();
        findings.extend(targets.into_iter().map(target));
        if boards
            .iter()
            .any(|board| matches!(board.runner, Runner::Qemu(_)))
        {
            findings.push(emulator());
        }
        if boards
            .iter()
            .any(|board| matches!(board.runner, Runner::Probe(_)))
        {
            findings.push(probes());
        }
        findings.push(cache());
        let ready = findings.iter().all(|one| one.state != State::Missing);
        Ok(Diagnosis(Findings { ready, findings }))
    }
}

impl Finding {
    fn ready(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: State::Ready,
            found: found.into(),
            remedy: String::new(),
        }
    }

    fn missing(name: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: State::Missing,
            found: String::new(),
            remedy: remedy.into(),
        }
    }
}

fn rust() -> Finding {
    match (prints("rustc", "--version"), prints("cargo", "--version")) {
        (Some(rustc), Some(_)) => Finding::ready("Rust", rustc),
        _ => Finding::missing("Rust", GET_RUST),
    }
}

/// A compiler for a board's processor.
fn target(target: &str) -> Finding {
    match tadpool_image::toolchain_for(target) {
        Some(toolchain) => {
            let version = toolchain.version.lines().next().unwrap_or_default();
            Finding::ready(target, format!("by {version}"))
        }
        None => Finding::missing(target, format!("rustup target add {target}")),
    }
}

fn emulator() -> Finding {
    match line_of(qemu().arg("--version")) {
        Some(version) => Finding::ready("emulator", version),
        None => Finding::missing("emulator", GET_QEMU),
    }
}

/// The debug probes that are connected, and whether they may be opened.
fn probes() -> Finding {
    let probes = tadpool_probe::list();
    let closed: Vec<&str> = probes
        .iter()
        .filter(|probe| !probe.accessible)
        .map(|probe| probe.selector.as_str())
        .collect();
    if !closed.is_empty() {
        let remedy = format!("{} may not be opened: {GET_RULES}", closed.join(", "));
        return Finding::missing("debug probe", remedy);
    }
    match &probes[..] {
        [] => Finding {
            name: "debug probe".to_owned(),
            state: State::Unused,
            found: "none is connected".to_owned(),
            remedy: match has_rules() {
                true => String::new(),
                false => format!("before you connect one: {GET_RULES}"),
            },
        },
        found => {
            let names: Vec<&str> = found.iter().map(|probe| probe.name.as_str()).collect();
            Finding::ready("debug probe", names.join(", "))
        }
    }
}

/// Whether users may open debug probes, as far as that needs rules.
fn has_rules() -> bool {
    const FOLDERS: [&str; 3] = [
        "/etc/udev/rules.d",
        "/lib/udev/rules.d",
        "/usr/lib/udev/rules.d",
    ];
    let is_of_probes = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.contains("probe-rs") || name.contains("cmsis-dap")
    };
    let mut folders = FOLDERS
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok());
    !cfg!(target_os = "linux") || folders.any(|folder| folder.flatten().any(is_of_probes))
}

/// The folder that images are built in.
fn cache() -> Finding {
    let name = "cache";
    let found = match Cache::find() {
        Ok(cache) => cache,
        Err(error) => return Finding::missing(name, error.to_string()),
    };
    match is_writable(found.folder()) {
        Ok(()) => Finding::ready(name, found.folder().display().to_string()),
        Err(error) => Finding::missing(
            name,
            format!(
                "`{}` cannot be written ({error}); set {VARIABLE} to a folder that can be",
                found.folder().display()
            ),
        ),
    }
}

fn is_writable(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join(format!("doctor-{}", std::process::id()));
    std::fs::write(&file, b"")?;
    std::fs::remove_file(&file)
}

/// The first line that a program prints, if it runs.
fn prints(program: &str, argument: &str) -> Option<String> {
    line_of(Command::new(program).arg(argument))
}

/// The first line that `command` prints, if it succeeds.
fn line_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?.to_owned();
    output.status.success().then_some(line)
}

impl Report for Diagnosis {
    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.0)
    }

    fn is_success(&self) -> bool {
        self.0.ready
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = table(["", "", "found"], 3);
        for finding in &self.0.findings {
            let state = match finding.state {
                State::Ready => "ok",
                State::Missing => "missing",
                State::Unused => "-",
            };
            rows.add_row([finding.name.as_str(), state, finding.found.as_str()]);
        }
        writeln!(f, "{rows}")?;
        for finding in self.0.findings.iter().filter(|one| !one.remedy.is_empty()) {
            writeln!(f, "{}: {}", finding.name, finding.remedy)?;
        }
        match self.0.ready {
            true => writeln!(f, "everything is there"),
            false => writeln!(f, "something is missing"),
        }
    }
}
