//! Latency that is predicted: no board is at hand.

use std::path::PathBuf;

use super::{Project, tadpool};

/// The image that was built last for a board of this name, of whatever model.
fn newest_image(board: &str) -> PathBuf {
    let cache = std::env::var_os("TADPOOL_CACHE").map(PathBuf::from);
    let images = cache
        .expect("cargo's configuration names it")
        .join("images");
    let images = std::fs::read_dir(images).unwrap().flatten();
    let images = images.map(|entry| entry.path().join(format!("{board}.elf")));
    let time = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
    let built = images.filter(|path| path.is_file());
    built.max_by_key(time).expect("an image")
}

#[test]
fn a_chip_that_is_not_there_is_predicted() {
    let project = Project::new();
    let page = project.path("latency.html");
    let bench = project.says("bench", "nucleo-l4r5zi", &["--predict", "--html", &page]);
    let predicted = &bench["prediction"];
    let cycles = |value: &serde_json::Value| value["cycles"].as_u64().unwrap();
    let total = cycles(&predicted["total"]);
    let ms = predicted["ms"].as_f64().unwrap();
    assert!((ms - total as f64 / 120e3).abs() < 1e-6, "{predicted}");
    let steps = predicted["steps"].as_array().unwrap();
    assert_eq!(steps.len(), super::STEPS);
    let sum: u64 = steps.iter().map(cycles).sum();
    assert!(sum <= total && sum > total / 10 * 9, "{sum} of {total}");
    // Flash with wait states, and memories that answer at once.
    assert!(predicted["total"]["data"].as_u64() > Some(0), "{predicted}");
    let at_once = project.says("bench", "qemu-mps2-an386", &["--predict"]);
    let at_once = &at_once["prediction"];
    assert_eq!(at_once["total"]["data"].as_u64(), Some(0));
    assert!(cycles(&at_once["total"]) < total, "{at_once}");
    assert_eq!(at_once["ms"], serde_json::Value::Null);
    let html = std::fs::read_to_string(page).unwrap();
    assert!(html.contains("milliseconds") && html.contains("nucleo-l4r5zi"));
    assert!(html.contains("What lies in the arena") && html.contains(".scratch"));

    // By the shapes alone, at once.
    let model = project.path("model.toml");
    let boards = "nucleo-l4r5zi,qemu-mps2-an386";
    let line = [
        "bench",
        &model,
        "--predict",
        "--by-shapes",
        "--boards",
        boards,
        "--json",
    ];
    let told = tadpool(&line);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let row = &told["boards"][0];
    assert_eq!(row["shapes"].as_array().unwrap().len(), super::STEPS);
    assert_eq!(row["shapes"][1]["kernel"], "pooling::run/dsp");
    // Costs are told only of what is known; much of so small a network is not.
    assert!(
        row["estimate"]["deviation"]["networks"].as_u64() > Some(0),
        "{row}"
    );
    assert_eq!(
        told["boards"][1]["estimate"]["cycles"],
        serde_json::Value::Null
    );

    // A network without a description, and pictures that are named.
    let (onnx, pictures) = (project.path("model.onnx"), project.path("calibration/cat"));
    let line = ["bench", &onnx, "--board", "nucleo-l4r5zi", "--predict"];
    let told = tadpool(&[&line[..], &["--calibration", &pictures, "--json"]].concat());
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(
        told["prediction"]["steps"].as_array().unwrap().len(),
        super::STEPS
    );

    let model = project.path("model.toml");
    let line = ["bench", &model, "--board", "nucleo-l4r5zi", "--predict"];
    let refused = tadpool(&[&line[..], &["--budget", "ram=1K"]].concat());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("only ms= is compared here"), "{said}");
    let refused = tadpool(&[&line[..], &["--budget", "ms=0.1"]].concat());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && said.contains("budget of 0.1"),
        "{said}"
    );
}

#[test]
fn any_programs_cycles_are_told() {
    let project = Project::new();
    let model = project.path("model.toml");
    let run = |line: &[&str]| {
        let output = tadpool(line);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let board = "qemu-mps2-an386";
    let (is_built, _, said) = run(&["compile", &model, "--board", board]);
    assert!(is_built, "{said}");
    let image = newest_image(board);
    let image = image.to_str().unwrap();
    // What start-up code calls first, and nothing else: it only returns.
    let line = [
        "cycles",
        image,
        "--core",
        "cortex-m4",
        "--from",
        "DefaultPreInit",
    ];
    let (is_told, told, said) = run(&[&line[..], &["--calls", "1", "--json"]].concat());
    assert!(is_told, "{said}");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["calls"]["count"], 1);
    assert!(
        (1..10).contains(&told["instructions"].as_u64().unwrap()),
        "{told}"
    );
    assert_eq!(told["machine"]["name"], "mps2-an386");

    for (more, problem) in [
        (
            &["--core", "cortex-m4", "--from", "no_such"][..],
            "has no function `no_such`",
        ),
        (
            &["--board", "rpi-pico", "--core", "cortex-m4"],
            "has a cortex-m0plus, not a",
        ),
        (&[], "name a core or a board"),
        (&["--core", "cortex-m55"], "no machine that QEMU emulates"),
        (
            &["--core", "cortex-m0"],
            "compiled for Armv7E-M, and a cortex-m0 executes Armv6-M",
        ),
        (&["--core", "cortex-m3"], "a cortex-m3 executes Armv7-M"),
        (
            &["--core", "cortex-m4", "--from", "main", "--limit", "1"],
            "does not end within 1 s",
        ),
    ] {
        let (is_told, _, said) = run(&[&["cycles", image], more].concat());
        assert!(!is_told && said.contains(problem), "{more:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let (is_told, _, said) = run(&["cycles", image, "--core", "cortex-m85"]);
    assert!(
        !is_told && said.contains("there is no model of it"),
        "{said}"
    );
}
