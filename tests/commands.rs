//! The commands that reach a board, as a user types them, on emulated boards.

#[path = "commands/anywhere.rs"]
mod anywhere;
#[path = "commands/chips.rs"]
mod chips;
#[path = "commands/emulators.rs"]
mod emulators;
#[path = "commands/generate.rs"]
mod generate;
#[path = "commands/latency.rs"]
mod latency;
#[path = "commands/learning.rs"]
mod learning;
#[path = "commands/linked.rs"]
mod linked;
#[path = "commands/named.rs"]
mod named;
#[path = "commands/new.rs"]
mod new;
#[path = "commands/own_firmware.rs"]
mod own_firmware;
#[path = "commands/records.rs"]
mod records;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const CLASSES: [&str; 5] = ["airplane", "automobile", "bird", "cat", "deer"];
const BOARDS: [&str; 5] = [
    "qemu-mps2-an386",
    "qemu-mps2-an500",
    "qemu-mps3-an547",
    "qemu-lm3s6965evb",
    "qemu-microbit",
];
/// Of the network: stem, two blocks of two halves, downsampling, head.
const STEPS: usize = 7;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A small network, with pictures of five classes.
struct Project {
    folder: TempDir,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixture = repository().join("tests/fixtures/onnx/pool_stem7_conv_head.onnx");
        std::fs::copy(fixture, folder.path().join("model.onnx")).unwrap();
        for (set, count) in [("calibration", 6), ("evaluation", 2)] {
            for class in CLASSES {
                let target = folder.path().join(set).join(class);
                std::fs::create_dir_all(&target).unwrap();
                let source = repository().join("models/cifar10").join(set).join(class);
                let mut pictures: Vec<PathBuf> = std::fs::read_dir(source)
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .collect();
                pictures.sort();
                for picture in &pictures[..count] {
                    std::fs::copy(picture, target.join(picture.file_name().unwrap())).unwrap();
                }
            }
        }
        let description = format!(
            "name = \"small\"
onnx = \"model.onnx\"

[input]
height = 32
width = 32
channels = \"rgb\"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]

[data]
labels = {CLASSES:?}
calibration = \"calibration\"
evaluation = \"evaluation\"
"
        );
        std::fs::write(folder.path().join("model.toml"), description).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The JSON that `tadpool COMMAND MODEL --board BOARD ...` prints.
    fn says(&self, command: &str, board: &str, rest: &[&str]) -> Value {
        let model = self.path("model.toml");
        let mut line = vec![command, &model, "--board", board, "--json"];
        line.extend(rest);
        let output = tadpool(&line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn tadpool(line: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tadpool"))
        .args(line)
        .current_dir(repository())
        .output()
        .unwrap()
}

/// A tick is not an instruction, so that where it begins changes the count, and an
/// interrupt of the timer may fall into it.
const JITTER: u64 = 30;

/// A step's or a whole inference's cost, the same in every run of an emulator.
fn constant(cost: &Value) -> u64 {
    let figures = ["min", "median", "p95", "max"].map(|figure| cost[figure].as_u64().unwrap());
    assert!(figures[3] - figures[0] <= JITTER, "{cost}");
    figures[1]
}

#[test]
fn boards_are_flashed_run_evaluated_measured_and_listened_to() {
    let project = Project::new();
    let picture = project.path("evaluation/bird");
    let picture = std::fs::read_dir(picture).unwrap().next().unwrap();
    let picture = picture.unwrap().path().display().to_string();
    let mut logits = Vec::new();
    for board in BOARDS {
        let flashed = project.says("flash", board, &[]);
        assert!(flashed["bytes"].as_u64().unwrap() > 10_000, "{flashed}");

        let run = project.says("run", board, &[&picture]);
        assert_eq!(run["steps"], STEPS);
        let [image] = &run["images"].as_array().unwrap()[..] else {
            panic!("{run}");
        };
        logits.push(image["logits"].clone());

        // Each step of each image is compared on the way.
        let evaluated = project.says("eval", board, &["--on", "int8,board"]);
        let [host, on_board] = &evaluated["runs"].as_array().unwrap()[..] else {
            panic!("{evaluated}");
        };
        assert_eq!(on_board["agreement"], 1.0);
        assert_eq!(on_board["top1"], host["top1"]);

        let options = ["--runs", "3", "--warm-up", "1", "--image", &picture];
        let bench = project.says("bench", board, &options);
        assert_eq!(bench["unit"], "instructions");
        assert_eq!(bench["latency_us"], Value::Null);
        let whole = constant(&bench["cost"]);
        let cost = image["cost"].as_u64().unwrap();
        assert!(cost.abs_diff(whole) <= JITTER, "{board}: {cost}, {whole}");
        let steps = bench["steps"].as_array().unwrap();
        assert_eq!(steps.len(), STEPS);
        let parts: u64 = steps.iter().map(|step| constant(&step["cost"])).sum();
        assert!(parts <= whole && parts > whole / 2, "{parts} of {whole}");
        // A Cortex-M7 executes up to two instructions a cycle.
        let predicted = bench["prediction"]["total"]["cycles"].as_u64().unwrap();
        assert!(predicted > whole / 2 && predicted < 4 * whole, "{bench}");

        let logs = project.says("logs", board, &["--seconds", "1"]);
        let first = logs["lines"][0]["message"].as_str().unwrap();
        assert!(first.starts_with(&format!("small on {board}")), "{logs}");
    }
    assert!(
        logits.iter().all(|of_board| *of_board == logits[0]),
        "{logits:?}"
    );
}

#[test]
fn boards_that_are_too_small_are_told_what_would_help() {
    let project = Project::new();
    let board = repository().join("host-tools/boards/boards/qemu-microbit.toml");
    let text = std::fs::read_to_string(board).unwrap();
    let small = text.replace("length = 0x0000_4000", "length = 0x0000_3400");
    std::fs::write(project.folder.path().join("small.toml"), small).unwrap();
    let (model, small) = (project.path("model.toml"), project.path("small.toml"));
    let boards = format!("qemu-microbit,{small}");
    let output = tadpool(&["fit", &model, "--boards", &boards, "--json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let fit: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [board, small] = &fit["boards"].as_array().unwrap()[..] else {
        panic!("{fit}");
    };
    assert_eq!(
        (&board["fits"], &small["fits"]),
        (&true.into(), &false.into())
    );
    assert_eq!(board["ram"]["needed_bytes"], small["ram"]["needed_bytes"]);
    assert_eq!(small["ram"]["available_bytes"], 0x3400);
    let remedies = small["remedies"].as_array().unwrap();
    assert!(
        remedies
            .iter()
            .any(|remedy| remedy.get("small_input").is_some()),
        "{fit}"
    );

    // What is said to fit is built, and what is not is refused.
    let built = project.says("compile", "qemu-microbit", &[]);
    assert_eq!(
        built["budget"]["ram"]["used_bytes"],
        board["ram"]["needed_bytes"]
    );
    let refused = tadpool(&["compile", &model, "--board", &project.path("small.toml")]);
    assert!(!refused.status.success());
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(errors.contains("does not fit board"), "{errors}");
}

#[test]
fn a_reader_may_leave_before_the_end() {
    for line in [&["boards"][..], &["boards", "--json"], &["--help"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tadpool"))
            .args(line)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Closed before anything is written.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && errors.is_empty(),
            "{line:?}: {errors}"
        );
    }
}

#[test]
fn errors_are_json_where_results_are() {
    for (line, words) in [
        (&["inspect", "no/such.onnx", "--json"][..], "no/such.onnx"),
        (
            &["--json", "inspect", "a\u{1b}[31m.onnx"],
            "a\\u{1b}[31m.onnx",
        ),
        (&["inspect", "--json"], "MODEL"),
        (&["--json", "inspekt"], "inspekt"),
    ] {
        let output = tadpool(line);
        assert!(!output.status.success(), "{line:?}");
        assert!(output.stderr.is_empty(), "{line:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            !text.contains('\u{1b}') && text.lines().count() == 1,
            "{text}"
        );
        let said: Value = serde_json::from_str(&text).unwrap();
        assert!(said["error"].as_str().unwrap().contains(words), "{text}");
    }
    let plain = tadpool(&["inspect", "no/such.onnx"]);
    assert!(plain.stdout.is_empty());
    assert!(plain.stderr.starts_with(b"error: "));
}

#[test]
fn tables_fit_a_terminal() {
    for line in [&["boards"][..], &["inspect", "models/poolformer-cifar10"]] {
        let output = tadpool(line);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{line:?}");
        let rules = text.lines().filter(|line| line.starts_with('─')).count();
        assert_eq!(rules, 1, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
    }
}

#[test]
fn probes_are_listed() {
    let output = tadpool(&["probes", "--json"]);
    assert!(output.status.success());
    let probes: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(probes["probes"].is_array(), "{probes}");
}
