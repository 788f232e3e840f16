//! Rehearses the start of every board's image on a model of its chip, and compares what it
//! writes to registers with the saved trace; how it is flashed, by probe-rs' algorithm on a model
//! of the flash controller; MLPerf's commands through the serial ports; and the watchdogs, which no
//! board has on by itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use tadpool_boards::startup::Startup;
use tadpool_boards::{Board, Runner};

use crate::python;
use crate::run::{cargo, root, run, shown, tadpool};
use crate::setup::boards;

const FOLDER: &str = "firmware/rehearsal";
/// The name of the board in [`generic`].
const GENERIC: &str = "generic-f411";
/// What boards are given to have their watchdogs rehearsed.
const WATCHDOG: &str = "\n[watchdog]\nlimit_ms = 2000\n";
/// The network in `firmware/model`, and a picture for it.
const MODEL: &str = "models/poolformer-cifar10/model.toml";
const PICTURE: &str = "models/cifar10/evaluation/cat/0001.jpg";

/// The output of `tadpool boards --build --json`, as far as it matters.
#[derive(Deserialize)]
struct Built {
    boards: Vec<BuiltBoard>,
}

#[derive(Deserialize)]
struct BuiltBoard {
    name: String,
    image: BuiltImage,
}

#[derive(Deserialize)]
struct BuiltImage {
    file: PathBuf,
}

/// Rehearses all boards with a debug probe, or those named `only`; with `save` the traces
/// become the saved ones.
pub(crate) fn rehearse(only: &[String], save: bool) -> Result<()> {
    let all = boards()?;
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    let chips: Vec<&Board> = all
        .iter()
        .filter(|board| matches!(board.runner, Runner::Probe(_)) && is_wanted(&board.name))
        .collect();
    let mut names: Vec<String> = chips.iter().map(|board| board.name.clone()).collect();
    if is_wanted(GENERIC) {
        names.push(generic().display().to_string());
    }
    ensure!(!names.is_empty(), "none of {only:?} is a board with a chip");
    let built = build(&names, &[])?;
    let ports = one_of_each(chips.iter().filter(|board| board.uart.is_some()));
    let work = tempfile::tempdir()?;
    let [pixels, logits] = ["pixels.rgb", "logits.json"].map(|name| work.path().join(name));
    let mut image = tadpool(["image", MODEL, PICTURE, "-o"])?;
    output(image.arg(&pixels))?;
    fs::write(
        &logits,
        output(&mut tadpool(["simulate", MODEL, PICTURE, "--json"])?)?,
    )?;

    let folder = root().join(FOLDER);
    let python = python::environment("rehearsal", &folder.join("requirements.txt"))?;
    let mut tests = Command::new(&python);
    run(tests
        .args(["-m", "unittest", "--quiet"])
        .current_dir(&folder))?;
    let targets = targets()?;
    let mut changed = Vec::new();
    let rehearsal = |board: &BuiltBoard, file: PathBuf, options: &[&str]| {
        let mut rehearsal = Command::new(&python);
        rehearsal.arg(folder.join("rehearse.py")).args(options);
        rehearsal.arg(file).arg(&board.image.file);
        rehearsal.arg(&pixels).arg(&logits);
        rehearsal
    };
    let flashed = built.par_iter().filter(|board| board.name != GENERIC);
    for (board, said) in each(flashed, |board| {
        let mut flashing = Command::new(&python);
        flashing.arg(folder.join("flash_image.py"));
        flashing
            .arg(board_file(&board.name))
            .arg(&board.image.file)
            .arg(&targets);
        flashing
    })? {
        println!("{}: {}", board.name, said.trim());
    }
    for (board, trace) in each(built.par_iter(), |board| {
        rehearsal(board, board_file(&board.name), &[])
    })? {
        let name = board.name.clone();
        let path = folder.join("traces").join(format!("{name}.txt"));
        if save {
            fs::write(&path, &trace).with_context(|| path.display().to_string())?;
        }
        let saved = fs::read_to_string(&path).unwrap_or_default();
        let end = trace.lines().last().unwrap_or_default();
        if saved == trace {
            println!("{name}: {end}");
        } else {
            let difference = first_difference(&saved, &trace);
            println!("{name}: {end}, but not by the saved trace: {difference}");
            changed.push(name);
        }
    }
    ensure!(
        changed.is_empty(),
        "the start-up of {} has changed; read what `cargo xtask chips --save` changes in \
         {FOLDER}/traces before you commit it",
        changed.join(", ")
    );
    let with_ports = build(&ports, &["--mlperf", "uart"])?;
    for (board, said) in each(with_ports.par_iter(), |board| {
        rehearsal(board, board_file(&board.name), &["--mlperf"])
    })? {
        println!("{}: {}", board.name, said.trim());
    }
    let start = Instant::now();
    let watched_file = |name: &str| work.path().join(name).with_extension("toml");
    let mut watched = Vec::new();
    for name in one_of_each(chips.iter()) {
        let file = watched_file(&name);
        let text = fs::read_to_string(board_file(&name))? + WATCHDOG;
        fs::write(&file, text).with_context(|| file.display().to_string())?;
        watched.push(file.display().to_string());
    }
    let watched = build(&watched, &[])?;
    for (board, said) in each(watched.par_iter(), |board| {
        rehearsal(board, watched_file(&board.name), &["--watchdog"])
    })? {
        println!("{}: {}", board.name, said.trim());
    }
    println!("watchdogs: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The names of one board of each start-up code and core: those that share both differ in
/// constants only.
fn one_of_each<'a>(boards: impl Iterator<Item = &'a &'a Board>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let file = |board: &Board| Startup::find(board.startup()).map(|it| it.file);
    boards
        .filter(|board| seen.insert((file(board), board.core.as_str())))
        .map(|board| board.name.clone())
        .collect()
}

/// Builds the images of boards, by name or file.
fn build(boards: &[String], options: &[&str]) -> Result<Vec<BuiltBoard>> {
    if boards.is_empty() {
        return Ok(Vec::new());
    }
    let mut build = tadpool(["boards", "--build", "--json"])?;
    let built = output(build.args(boards).args(options))?;
    Ok(serde_json::from_slice::<Built>(&built)?.boards)
}

/// Runs a command for each board, several at a time, and returns what each said.
fn each<'a>(
    boards: impl ParallelIterator<Item = &'a BuiltBoard>,
    command: impl Fn(&BuiltBoard) -> Command + Sync,
) -> Result<Vec<(&'a BuiltBoard, String)>> {
    let said = boards.map(|board| {
        let said = output(&mut command(board)).context(board.name.clone())?;
        Ok((board, String::from_utf8(said)?))
    });
    said.collect()
}

/// The folder of probe-rs' descriptions of chips, among cargo's sources.
fn targets() -> Result<PathBuf> {
    let metadata = cargo(["metadata", "--format-version", "1", "--locked"])
        .output()
        .context("cannot run cargo")?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout)?;
    let packages = metadata["packages"].as_array();
    let probe_rs = packages
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "probe-rs");
    let manifest = probe_rs.and_then(|package| package["manifest_path"].as_str());
    let manifest = Path::new(manifest.context("cargo knows no probe-rs")?);
    let folder = manifest.with_file_name("targets");
    ensure!(folder.is_dir(), "there is no `{}`", folder.display());
    Ok(folder)
}

/// A board file of a user, with the start-up code that fits every chip.
pub(crate) fn generic() -> PathBuf {
    root().join(FOLDER).join(format!("{GENERIC}.toml"))
}

fn board_file(name: &str) -> PathBuf {
    if name == GENERIC {
        return generic();
    }
    let folder = root().join("host-tools/boards/boards");
    folder.join(Path::new(name).with_extension("toml"))
}

/// The first line in which two texts differ.
fn first_difference(saved: &str, found: &str) -> String {
    let (mut saved, mut found) = (saved.lines(), found.lines());
    for number in 1.. {
        match (saved.next(), found.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => {
                let text = |line: Option<&str>| line.unwrap_or("the end").trim().to_owned();
                return format!("line {number} is `{}`, was `{}`", text(b), text(a));
            }
        }
    }
    "only in how its lines end".to_owned()
}

/// The standard output of `command`; an error with its standard error if it fails.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let text = shown(command);
    println!("$ {text}");
    let output = command
        .output()
        .with_context(|| format!("cannot run `{text}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{text}` failed: {said}");
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn the_first_line_that_differs_is_told() {
        assert_eq!(
            first_difference("a\nb\n", "a\nc\n"),
            "line 2 is `c`, was `b`"
        );
        assert_eq!(
            first_difference("a\n", "a\nb\n"),
            "line 2 is `b`, was `the end`"
        );
        assert_eq!(first_difference("a\n", "a"), "only in how its lines end");
    }
}
