//! Running other programs, with their command line shown.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.ancestors().nth(2).unwrap_or(xtask).to_owned()
}

/// Cargo, called in the workspace's folder.
pub(crate) fn cargo<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(cargo_program());
    command.args(arguments).current_dir(root());
    command
}

/// Whether a program is built together with all others and their tests.
static ALL_TARGETS: AtomicBool = AtomicBool::new(false);

/// From now on builds programs together with all tests, so that what they share is compiled
/// once.
pub(crate) fn build_with_tests() {
    ALL_TARGETS.store(true, Ordering::Relaxed);
}

/// The command `tadpool`, built first, with `arguments`.
pub(crate) fn tadpool<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Result<Command> {
    built("tadpool", arguments)
}

/// Runs the program that measures, and writes `RESULTS.md`, with `arguments`.
pub(crate) fn figures<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Result<()> {
    run(&mut built("tadpool-figures", arguments)?)
}

/// The program of a package of that name, built first.
pub(crate) fn built<I: AsRef<OsStr>>(
    package: &str,
    arguments: impl IntoIterator<Item = I>,
) -> Result<Command> {
    build(&["--bin", package])?;
    let program = target().join("debug").join(package);
    let mut command = Command::new(program.with_extension(std::env::consts::EXE_EXTENSION));
    command.args(arguments).current_dir(root());
    Ok(command)
}

/// Builds `what` of the workspace, or all of it together with the tests.
///
/// Of the workspace, though one package would do: what it depends on is then compiled with the
/// features that all others want of it, once.
pub(crate) fn build(what: &[&str]) -> Result<()> {
    let what = match ALL_TARGETS.load(Ordering::Relaxed) {
        true => &["--all-targets"],
        false => what,
    };
    run(cargo(["build", "--locked", "--workspace"]).args(what))
}

/// The folder that cargo builds in.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// Shows and runs `command`; an error if it cannot be run or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = shown(command);
    println!("$ {text}");
    let status = command
        .status()
        .with_context(|| format!("cannot run `{text}`"))?;
    ensure!(status.success(), "`{text}` failed");
    Ok(())
}

/// Whether `command` can be run and succeeds; it prints nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// `command` as it would be typed in the workspace's folder.
pub(crate) fn shown(command: &Command) -> String {
    let set = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?))));
    let program = command.get_program();
    let program = if program == cargo_program() {
        OsStr::new("cargo")
    } else {
        let path = Path::new(program);
        path.strip_prefix(root()).unwrap_or(path).as_os_str()
    };
    let words = std::iter::once(program)
        .chain(command.get_args())
        .map(quoted);
    set.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    match word.is_empty() || word.contains([' ', '"', '$', '*']) {
        true => format!("'{word}'"),
        false => word.into_owned(),
    }
}

fn cargo_program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
