//! The program by itself: in an empty folder, twice at once, and again with nothing changed.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Project;

fn tadpool(folder: &Path, line: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tadpool"))
        .args(line)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn says(folder: &Path, line: &[&str]) -> Value {
    let output = tadpool(folder, line);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn an_empty_folder_is_enough_and_stays_empty() {
    let project = Project::new();
    let empty = tempfile::tempdir().unwrap();
    let model = project.path("model.toml");
    let report = says(empty.path(), &["compile", &model, "--json"]);
    assert!(report["budget"]["flash"]["used_bytes"].as_u64() > Some(10_000));
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn two_compilations_at_once_keep_their_results_apart() {
    let project = Project::new();
    let model = project.path("model.toml");
    let folder = project.folder.path();
    // Choices that no other test makes, so that both are built here.
    let lines = [
        [
            "compile",
            &model,
            "--weights",
            "int8",
            "--pin",
            "head=int8",
            "--json",
        ],
        [
            "compile",
            &model,
            "--weights",
            "int4",
            "--pin",
            "head=int8",
            "--json",
        ],
    ];
    let [int8, int4] = std::thread::scope(|scope| {
        let both = lines
            .each_ref()
            .map(|line| scope.spawn(move || says(folder, line)));
        both.map(|one| one.join().unwrap())
    });
    let weights = |report: &Value| report["budget"]["weights_bytes"].as_u64().unwrap();
    assert!(weights(&int4) < weights(&int8), "{int4} {int8}");
    for (line, before) in lines.iter().zip([int8, int4]) {
        assert_eq!(says(folder, line), before);
    }
}

#[test]
fn an_unchanged_model_is_not_compiled_again() {
    let project = Project::new();
    // The folder with its description.
    let model = project.path("");
    let folder = project.folder.path();
    let line = ["compile", &model, "--ranges", "min-max", "--json"];
    let first = says(folder, &line);
    let start = Instant::now();
    let again = says(folder, &line);
    let time = start.elapsed();
    assert_eq!(first, again);
    assert!(time < Duration::from_secs(3), "{time:?}");

    // A picture more, and its ranges are others.
    let picture = |name: &str| project.path(&format!("calibration/{name}"));
    let source = std::fs::read_dir(picture("bird")).unwrap().next().unwrap();
    std::fs::copy(source.unwrap().path(), picture("cat/another.jpg")).unwrap();
    let changed = says(folder, &line);
    assert_ne!(
        first["comparison"]["images"],
        changed["comparison"]["images"]
    );
}

/// Copies of weights take what the board leaves, and are no need.
#[test]
fn a_budget_of_ram_copies_no_weights() {
    let project = Project::new();
    let folder = project.folder.path();
    let board = "nucleo-f411re";
    let line = ["compile", ".", "--board", board, "--json"];
    let copied = |report: &Value| report["budget"]["copied_weights_bytes"].as_u64().unwrap();
    let ram = |report: &Value| report["budget"]["ram"]["used_bytes"].as_u64().unwrap();
    let free = says(folder, &line);
    assert!(copied(&free) > 0, "{free}");
    let budget = [&line[..], &["--budget", "ram=32K"]].concat();
    let kept = says(folder, &budget);
    assert_eq!(copied(&kept), 0, "{kept}");
    assert!(ram(&kept) <= 32 << 10, "{kept}");
    assert_eq!(kept["traded"], free["traded"], "{kept}");
}

#[test]
fn a_network_in_the_current_folder_is_described() {
    let project = Project::new();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(project.path("model.onnx"), at("net.onnx")).unwrap();
    std::fs::create_dir(at("sub")).unwrap();
    for (described, onnx) in [
        ("model.toml", "net.onnx"),
        ("named.toml", "net.onnx"),
        ("sub/model.toml", "../net.onnx"),
    ] {
        let mut line = vec!["init", "net.onnx", "--json"];
        if described != "model.toml" {
            line.extend(["--output", described]);
        }
        says(folder.path(), &line);
        let text = std::fs::read_to_string(at(described)).unwrap();
        assert!(text.contains(&format!("onnx = \"{onnx}\"")), "{text}");
    }
}

#[test]
fn what_is_missing_is_told_with_a_status() {
    let folder = tempfile::tempdir().unwrap();
    let line = ["doctor", "--board", "qemu-mps2-an386", "--json"];
    let report = says(folder.path(), &line);
    assert_eq!(report["ready"], true);
    let output = Command::new(env!("CARGO_BIN_EXE_tadpool"))
        .args(line)
        .current_dir(folder.path())
        .env("PATH", folder.path())
        // Where an emulator may have been unpacked to.
        .env("XDG_DATA_HOME", folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ready"], false);
    let findings = report["findings"].as_array().unwrap();
    let missing = |name: &str| {
        let mut all = findings.iter().filter(|one| one["name"] == name);
        all.any(|one| one["state"] == "missing" && !one["remedy"].as_str().unwrap().is_empty())
    };
    assert!(missing("Rust") && missing("emulator"), "{report}");
}

#[test]
fn a_model_is_described() {
    let project = Project::new();
    let (onnx, described) = (project.path("model.onnx"), project.path("new.toml"));
    let folder = project.folder.path();
    let line = ["init", &onnx, "--output", &described, "--json"];
    let report = says(folder, &line);
    assert_eq!(
        (&report["classes"], &report["has_calibration"]),
        (&5.into(), &true.into())
    );
    let first = says(folder, &["inspect", &project.path("model.toml"), "--json"]);
    let second = says(folder, &["inspect", &described, "--json"]);
    assert_eq!(first["layers"], second["layers"]);
    // What is there stays as it is.
    let refused = tadpool(folder, &line);
    assert!(!refused.status.success());
    let text = std::fs::read_to_string(&described).unwrap();
    for key in [
        "ranges",
        "rounding",
        "equalisation",
        "weights",
        "stream",
        "labels",
        "feed",
    ] {
        assert!(text.contains(&format!("# {key} = ")), "{key}");
    }
}

#[test]
fn shells_and_man_learn_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for line in [
        vec!["completions", "bash"],
        vec!["completions", "zsh"],
        vec!["man"],
    ] {
        let output = tadpool(folder.path(), &line);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("compile"),
            "{line:?}"
        );
    }
}
