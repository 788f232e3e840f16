//! All checks and tests, in the order in which they are cheap.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use tadpool_boards::Board;
use tadpool_boards::startup::Startup;

use crate::python::RUFF;
use crate::run::{build_with_tests, cargo, figures, root, run, shown, succeeds, tadpool};
use crate::setup::{boards, setup};
use crate::{chips, dependencies, examples, generate, packages, wheel};

/// Boards that have no room for the model in `firmware/model`.
const SMALL_BOARDS: &str = "qemu-lm3s6965evb,qemu-microbit";
const FIRMWARE: &str = "firmware/Cargo.toml";
const FUZZ: &str = "memory-planner/fuzz/Cargo.toml";

/// Tests and checks that passed and failed.
#[derive(Debug, Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

/// Runs everything; the last line says how much passed and failed.
pub(crate) fn ci() -> ExitCode {
    let mut tally = Tally::default();
    let done = all(&mut tally);
    if let Err(error) = &done {
        println!("\nerror: {error:#}");
        tally.failed = tally.failed.max(1);
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if done.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn all(tally: &mut Tally) -> Result<()> {
    build_with_tests();
    step(tally, "setup", setup)?;
    let boards = boards()?;
    step(tally, "format", format)?;
    step(
        tally,
        "licences and sources of dependencies",
        dependencies::check,
    )?;
    step(tally, "clippy", clippy)?;
    // What it fuzzes runs as a test of the planner; only `cargo fuzz` can link it.
    step(tally, "the planner's fuzz target", || {
        let target = ["--target-dir", "target/fuzz", "--locked"];
        let mut clippy = cargo(["clippy", "--bins", "--manifest-path", FUZZ]);
        run(clippy.args(target).args(["--", "--deny", "warnings"]))
    })?;
    let mut seen = BTreeSet::new();
    // Boards that share their start-up code differ in constants only.
    let is_first = |board: &&Board| seen.insert(Startup::find(board.startup()).map(|it| it.file));
    let generic = tadpool_boards::load(&chips::generic())?;
    for board in boards.iter().filter(is_first).chain([&generic]) {
        step(
            tally,
            &format!("clippy of the firmware for {}", board.name),
            || {
                let mlperf = match board.uart {
                    Some(_) => "mlperf-uart",
                    None => "mlperf",
                };
                for interface in ["self-test", mlperf] {
                    let mut clippy = firmware("clippy", board)?;
                    clippy.args(["--features", interface, "--", "--deny", "warnings"]);
                    run(&mut clippy)?;
                }
                Ok(())
            },
        )?;
    }
    step(tally, "documentation", || {
        let mut doc = cargo([
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--locked",
        ]);
        run(doc.env("RUSTDOCFLAGS", "--deny warnings"))?;
        let board = boards.first().context("there is no board")?;
        let mut doc = firmware("doc", board)?;
        run(doc
            .args(["--no-deps", "--lib"])
            .env("RUSTDOCFLAGS", "--deny warnings"))
    })?;
    step(tally, "Python", ruff)?;
    step(tally, "RESULTS.md", || figures(["results", "--check"]))?;
    step(tally, "style of the kernels' benchmark", || {
        figures(["bench", "--lint"])
    })?;
    step(tally, "an image for every board", || {
        // The small ones run small models in the tests.
        run(&mut tadpool([
            "boards",
            "--build",
            "--except",
            SMALL_BOARDS,
        ])?)
    })?;
    step(tally, "the start of every chip", || {
        chips::rehearse(&[], false)
    })?;
    step(tally, "the camera example", examples::camera)?;
    step(tally, "inferences in pieces", examples::pieces)?;
    step(tally, "a head that learns", examples::learn)?;
    step(tally, "generated crate", generate::check)?;
    step(
        tally,
        "packages, and the program installed from them",
        packages::check,
    )?;
    step(tally, "the package for Python", wheel::check)?;
    step(tally, "kernels on every core, and their counts", || {
        figures(["bench", "--check"])
    })?;
    // The workspace's tests run them with what the host's processor has.
    tests(
        tally,
        &mut cargo(["test", "--package", "tadpool-kernels", "--locked"]),
    )?;
    let mut firmware_tests = cargo([
        "test",
        "--lib",
        "--package=tadpool-firmware",
        "--package=camera",
        "--package=learn",
        "--manifest-path",
        FIRMWARE,
    ]);
    // The firmware's folder has a microcontroller as its default.
    tests(tally, firmware_tests.args(["--target", &host()?]))?;
    let has_nextest = succeeds(&mut cargo(["nextest", "--version"]));
    if has_nextest {
        tests(
            tally,
            &mut cargo(["nextest", "run", "--workspace", "--locked"]),
        )?;
        tests(
            tally,
            &mut cargo(["test", "--doc", "--workspace", "--locked"]),
        )
    } else {
        tests(tally, &mut cargo(["test", "--workspace", "--locked"]))
    }
}

/// Checks the format of all Rust but the benchmark's image.
pub(crate) fn format() -> Result<()> {
    run(&mut cargo(["fmt", "--all", "--check"]))?;
    for manifest in [FIRMWARE, FUZZ] {
        run(&mut cargo(["fmt", "--check", "--manifest-path", manifest]))?;
    }
    Ok(())
}

/// Checks the style of the host's workspace.
pub(crate) fn clippy() -> Result<()> {
    let mut clippy = cargo(["clippy", "--workspace", "--all-targets", "--locked"]);
    run(clippy.args(["--", "--deny", "warnings"]))
}

/// Runs one check, and says how long it took.
fn step(tally: &mut Tally, name: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n== {name}");
    let start = Instant::now();
    check().with_context(|| format!("{name} failed"))?;
    println!("== {name}: {:.1} s", start.elapsed().as_secs_f64());
    tally.passed += 1;
    Ok(())
}

/// Runs a test runner and adds what it counts.
fn tests(tally: &mut Tally, command: &mut Command) -> Result<()> {
    let text = shown(command);
    println!("\n== tests\n$ {text}");
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{text}`"))?;
    let (passed, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let watch = |pipe: Box<dyn Read + Send>| {
        let (passed, failed) = (Arc::clone(&passed), Arc::clone(&failed));
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                println!("{line}");
                if let Some(counts) = counts(&line) {
                    passed.fetch_add(counts.passed, Ordering::Relaxed);
                    failed.fetch_add(counts.failed, Ordering::Relaxed);
                }
            }
        })
    };
    let out = child.stdout.take().map(|pipe| watch(Box::new(pipe)));
    let err = child.stderr.take().map(|pipe| watch(Box::new(pipe)));
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for `{text}`"))?;
    for thread in [out, err].into_iter().flatten() {
        thread.join().ok(); // it cannot panic
    }
    tally.passed += passed.load(Ordering::Relaxed);
    tally.failed += failed.load(Ordering::Relaxed);
    ensure!(status.success(), "`{text}` failed");
    println!("== tests: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The counts of a line of a test runner's output, if it is the summary.
fn counts(line: &str) -> Option<Tally> {
    // test result: ok. 5 passed; 0 failed; ...
    // Summary [   1.0s] 7 tests run: 6 passed, 1 failed, 0 skipped
    let is_summary =
        line.starts_with("test result: ") || line.trim_start().starts_with("Summary [");
    if !is_summary {
        return None;
    }
    let words: Vec<&str> = line
        .split([' ', ',', ';', '(', ')'])
        .filter(|w| !w.is_empty())
        .collect();
    let count = |what: &str| {
        let place = words.iter().position(|&word| word == what)?;
        words.get(place.checked_sub(1)?)?.parse().ok()
    };
    Some(Tally {
        passed: count("passed").unwrap_or(0),
        failed: count("failed").unwrap_or(0),
    })
}

/// Cargo for the firmware of `board`.
fn firmware(subcommand: &str, board: &Board) -> Result<Command> {
    let Some(toolchain) = tadpool_toolchain::for_target(&board.target) else {
        bail!(
            "no toolchain builds for {}; run `cargo xtask setup`",
            board.target
        );
    };
    let mut command = toolchain.command(subcommand, &board.target);
    command
        .args([
            "--manifest-path",
            FIRMWARE,
            "--target-dir",
            "firmware/target",
            "--locked",
        ])
        .args(["--no-default-features", "--features", &board.features()])
        .env(
            "TADPOOL_BOARD",
            board.file.as_deref().unwrap_or(Path::new(&board.name)),
        )
        .current_dir(root());
    Ok(command)
}

/// The target that `cargo` builds for by itself.
pub(crate) fn host() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot run `rustc -vV`")?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// Checks all Python.
fn ruff() -> Result<()> {
    const FOLDERS: [&str; 3] = ["models", "firmware/rehearsal", "host-tools/python"];
    run(RUFF.command()?.arg("check").args(FOLDERS))?;
    run(RUFF.command()?.args(["format", "--check"]).args(FOLDERS))
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn summaries_are_counted() {
        let counted = |line| counts(line).map(|tally| (tally.passed, tally.failed));
        let libtest = "test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured";
        assert_eq!(counted(libtest), Some((5, 2)));
        let nextest = "     Summary [  20.1s] 7 tests run: 6 passed (1 slow), 1 failed, 0 skipped";
        assert_eq!(counted(nextest), Some((6, 1)));
        assert_eq!(counted("test a_test ... ok"), None);
    }
}
