//! Boards of one's own, of which little more than the chip is said.

use serde_json::Value;

use super::{Project, tadpool};

/// An STM32F405 as QEMU has it: memories from probe-rs' description of the chip, and start-up
/// code that is no chip's.
const F405: &str = "name = \"my-f405\"
chip = \"STM32F405RGTx\"
startup = \"cortex-m\"

[counter]
name = \"SysTick\"
frequency_hz = 168_000_000

[runner.qemu]
machine = \"netduinoplus2\"
icount_shift = 6
read_only_code = true
";

#[test]
fn a_board_of_ones_own_is_flashed_run_and_measured() {
    let project = Project::new();
    let board = project.path("f405.toml");
    std::fs::write(&board, F405).unwrap();
    let picture = std::fs::read_dir(project.path("evaluation/bird")).unwrap();
    let picture = picture.map(|entry| entry.unwrap().path()).next().unwrap();
    let run = project.says("run", &board, &[picture.to_str().unwrap()]);
    assert_eq!(run["board"], "my-f405");
    let emulated = project.says("run", "qemu-mps2-an386", &[picture.to_str().unwrap()]);
    assert_eq!(run["images"][0]["logits"], emulated["images"][0]["logits"]);
    let bench = project.says("bench", &board, &["--runs", "2"]);
    assert!(bench["cost"]["median"].as_u64() > Some(10_000), "{bench}");
    let flashed = project.says("flash", &board, &[]);
    assert_eq!(flashed["chip"], "STM32F405RGTx");
}

#[test]
fn any_chips_image_is_built_and_weighed() {
    let project = Project::new();
    let model = project.path("model.toml");
    let compiled = tadpool(&["compile", &model, "--chip", "STM32F411RETx", "--json"]);
    let errors = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{errors}");
    let report: Value = serde_json::from_slice(&compiled.stdout).unwrap();
    let flash = &report["budget"]["flash"];
    assert_eq!(
        flash["available_bytes"].as_u64(),
        Some(512 << 10),
        "{report}"
    );
    assert!(flash["used_bytes"].as_u64() > Some(10_000), "{report}");

    let refused = |line: &[&str]| {
        let output = tadpool(&[&["compile", &model], line].concat());
        assert!(!output.status.success(), "{line:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    };
    let said = refused(&["--chip", "STM32F411RETx", "--board", "nucleo-l4r5zi"]);
    assert!(said.contains("would hang on STM32F411RETx"), "{said}");
    let said = refused(&["--chip", "STM32F411"]);
    assert!(
        said.contains("probe-rs knows no chip `STM32F411`"),
        "{said}"
    );
    let said = refused(&["--chip", "RP2040"]);
    assert!(said.contains("--board rpi-pico"), "{said}");
}

/// Between sections, that begin at multiples of 4 and 8.
const GAPS: u64 = 16;

/// `fit` weighs one image for boards of a core, and derives the others' sizes.
#[test]
fn derived_sizes_are_those_of_images_that_are_built() {
    let project = Project::new();
    let model = project.path("model.toml");
    // A choice that no other test or run makes, so that none of its images is there.
    let ranges = format!("percentile:98.{:05}", std::process::id() % 100_000);
    let choice = ["--ranges", &ranges, "--json"];
    let boards = "qemu-lm3s6965evb,qemu-mps2-an385,qemu-mps2-an386,nrf52840-dk";
    let line = ["fit", &model, "--boards", boards];
    let output = tadpool(&[&line[..], &choice].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = report["boards"].as_array().unwrap();
    let derived: Vec<_> = rows.iter().filter(|row| row["derived"] == true).collect();
    assert_eq!(derived.len(), 2, "{report}");
    for row in derived {
        let board = row["board"].as_str().unwrap();
        let line = ["compile", &model, "--board", board];
        let built = tadpool(&[&line[..], &choice].concat());
        let built: Value = serde_json::from_slice(&built.stdout).unwrap();
        for memory in ["flash", "ram"] {
            let derived = row[memory]["needed_bytes"].as_u64().unwrap();
            let budget = &built["budget"];
            let built = budget[memory]["used_bytes"].as_u64().unwrap();
            // They take what is left, and are no need.
            let copied = budget["copied_weights_bytes"].as_u64().unwrap();
            let built = built - if memory == "ram" { copied } else { 0 };
            let difference = derived.abs_diff(built);
            assert!(
                difference <= GAPS,
                "{board}: {memory} {derived} for {built}"
            );
        }
    }
}

/// The stages that the guide names for a board's first run are those of the first run.
#[test]
fn the_guide_names_the_stages_of_a_first_run() {
    let project = Project::new();
    let board = "qemu-mps2-an386";
    let picture = std::fs::read_dir(project.path("evaluation/cat")).unwrap();
    let picture = picture.map(|entry| entry.unwrap().path()).next().unwrap();
    let first = project.says("bringup", board, &[picture.to_str().unwrap()]);
    assert_eq!(first["works"], true, "{first}");
    let stages = first["stages"].as_array().unwrap().iter();
    let stages: Vec<Value> = stages.map(|stage| stage["name"].clone()).collect();
    let guide = tadpool(&["boards", board, "--json"]);
    let guide: Value = serde_json::from_slice(&guide.stdout).unwrap();
    assert_eq!(guide["stages"], Value::from(stages));
    for board in tadpool_boards::names() {
        let guide = tadpool(&["boards", board]);
        let guide = String::from_utf8(guide.stdout).unwrap();
        assert!(guide.contains("## If it does not start"), "{guide}");
        for line in guide.lines() {
            assert!(line.chars().count() <= 100, "{board}: {line}");
        }
    }
}
