//! `tadpool new`: an application that is built, run and tested as its README says.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::{Project, tadpool};

/// Cargo in an application, with the program of these tests in `PATH`.
fn cargo(folder: &Path, line: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_tadpool"));
    let mut path = vec![program.parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    Command::new("cargo")
        .args(line)
        .current_dir(folder)
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("TADPOOL", program)
        // So that what does not change is built once.
        .env("CARGO_TARGET_DIR", target())
        .output()
        .unwrap()
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("applications")
}

fn text(output: &Output) -> String {
    let (said, errors) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(said),
        String::from_utf8_lossy(errors)
    )
}

/// Of all files of an application but those of tadpool's crates.
fn written(folder: &Path) -> String {
    let files = [
        "Cargo.toml",
        "README.md",
        ".cargo/config.toml",
        "build.rs",
        "src/lib.rs",
        "src/main.rs",
        "tests/golden.rs",
        "memory.x",
    ];
    files
        .map(|file| std::fs::read_to_string(folder.join(file)).unwrap())
        .concat()
}

#[test]
fn an_application_runs_at_once_with_the_hosts_logits() {
    let project = Project::new();
    let empty = tempfile::tempdir().unwrap();
    let folder = empty.path().join("small-eyes");
    let model = project.path("model.toml");
    let line = ["new", folder.to_str().unwrap(), "--model", &model];
    let made = tadpool(&[&line[..], &["--board", "qemu-mps2-an386", "--json"]].concat());
    assert!(made.status.success(), "{}", text(&made));
    let report: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(report["name"], "small-eyes");
    let files = written(&folder);
    assert!(
        !files.replace("@generated", "").contains('@'),
        "a word of a template is left: {files}"
    );

    let run = cargo(&folder, &["run", "--quiet"]);
    assert!(run.status.success(), "{}", text(&run));
    let said = String::from_utf8(run.stdout).unwrap();
    assert_eq!(said.lines().count(), 4, "{said}");
    for line in said.lines() {
        // info  small of 0331.jpg: airplane, logits [4.243, -0.293, ...]
        let (_, line) = line.split_once("small of ").unwrap();
        let (picture, line) = line.split_once(": ").unwrap();
        let (label, logits) = line.split_once(", logits [").unwrap();
        let logits = logits.trim_end_matches(']').split(", ");
        let logits: Vec<f64> = logits.map(|logit| logit.parse().unwrap()).collect();
        let host = simulated(&project, picture);
        assert_eq!(host["label"], label, "{host}");
        let host = host["logits"].as_array().unwrap();
        assert_eq!(host.len(), logits.len());
        for (host, logit) in host.iter().zip(logits) {
            assert!((host.as_f64().unwrap() - logit).abs() < 0.001, "{line}");
        }
    }

    let test = cargo(&folder, &["test"]);
    assert!(test.status.success(), "{}", text(&test));
    assert_eq!(text(&test).matches("as on the host").count(), 4);
    // A test that can fail: one byte of the weights that is not the host's.
    let weights = newest_weights("small-eyes");
    let mut bytes = std::fs::read(&weights).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&weights, bytes).unwrap();
    let test = cargo(&folder, &["test"]);
    assert!(!test.status.success(), "{}", text(&test));
    assert!(text(&test).contains("error"), "{}", text(&test));

    // What is there is left alone.
    let again = tadpool(&line);
    assert!(text(&again).contains("is not empty"), "{}", text(&again));
}

/// The weights that the build script of the application `name` wrote last.
fn newest_weights(name: &str) -> PathBuf {
    let builds = target().join("thumbv7em-none-eabihf/debug/build");
    let written = std::fs::read_dir(builds).unwrap().filter_map(|entry| {
        let entry = entry.unwrap();
        let is_named = entry.file_name().to_string_lossy().starts_with(name);
        let weights = entry.path().join("out/model/weights.bin");
        let time = std::fs::metadata(&weights).ok()?.modified().ok()?;
        is_named.then_some((time, weights))
    });
    written.max().expect("no weights were written").1
}

/// The host's prediction for a calibration picture of this name.
fn simulated(project: &Project, picture: &str) -> Value {
    let classes = std::fs::read_dir(project.path("calibration")).unwrap();
    let path = classes
        .map(|class| class.unwrap().path().join(picture))
        .find(|path| path.is_file());
    let path = path.unwrap().display().to_string();
    let line = ["simulate", &project.path("model.toml"), &path, "--json"];
    let output = tadpool(&line);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["images"][0].clone()
}

/// With a HAL-less core each, and the blocks that boot ROMs read.
#[test]
fn applications_for_chips_are_built() {
    let project = Project::new();
    let empty = tempfile::tempdir().unwrap();
    let model = project.path("model.toml");
    for (board, runner) in [
        ("nrf52840-dk", "nRF52840_xxAA"),
        ("rpi-pico", "RP2040"),
        ("stm32n6570-dk", "STM32N657"),
    ] {
        let name = format!("on-{board}");
        let folder = empty.path().join(&name);
        let line = ["new", folder.to_str().unwrap(), "--model", &model];
        let made = tadpool(&[&line[..], &["--board", board]].concat());
        assert!(made.status.success(), "{}", text(&made));
        let config = std::fs::read_to_string(folder.join(".cargo/config.toml")).unwrap();
        let config: toml::Table = config.parse().unwrap();
        let target = config["build"]["target"].as_str().unwrap();
        let words = config["target"][target]["runner"].as_array().unwrap();
        let words: Vec<&str> = words.iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(words, ["probe-rs", "run", "--chip", runner]);
        let built = cargo(&folder, &["build", "--quiet"]);
        assert!(built.status.success(), "{}", text(&built));
        let elf = target_file(target, &name);
        assert!(elf.is_file(), "{}", elf.display());
    }
}

fn target_file(triple: &str, name: &str) -> PathBuf {
    target().join(triple).join("debug").join(name)
}

#[test]
fn what_cannot_become_an_application_is_refused() {
    let project = Project::new();
    let empty = tempfile::tempdir().unwrap();
    let model = project.path("model.toml");
    let refused = |name: &str, board: &str| {
        let folder = empty.path().join(name);
        let line = [
            "new",
            folder.to_str().unwrap(),
            "--model",
            &model,
            "--board",
            board,
        ];
        let output = tadpool(&line);
        assert!(!output.status.success(), "{name} {board}");
        assert!(!folder.exists(), "{name} {board}");
        text(&output)
    };
    for name in ["Eyes", "fn", "tadpool", "1eye", "a b"] {
        let said = refused(name, "qemu-mps2-an386");
        assert!(said.contains("cannot be the name of a package"), "{said}");
    }
    let board = project.path("tiny.toml");
    let tiny = include_str!("../../host-tools/boards/boards/qemu-microbit.toml")
        .replace("length = 0x0000_4000", "length = 0x0000_1000");
    std::fs::write(&board, tiny).unwrap();
    let said = refused("eyes", &board);
    assert!(said.contains("does not fit board"), "{said}");
}
