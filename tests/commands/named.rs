//! The arguments of a command beside its model are looked at before the network is compiled.

use super::{Project, tadpool};

/// A project whose network cannot be compiled: a picture of its calibration is none. Whatever is
/// said before that was not found out by compiling.
fn broken() -> Project {
    let project = Project::new();
    std::fs::write(project.path("calibration/bird/broken.jpg"), "no picture").unwrap();
    project
}

/// The error of `tadpool COMMAND MODEL ...`.
fn refusal(project: &Project, command: &str, rest: &[&str]) -> String {
    let model = project.path("model.toml");
    let output = tadpool(&[&[command, model.as_str()], rest].concat());
    assert!(!output.status.success(), "{command} {rest:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_wrong_is_said_before_anything_is_computed() {
    let project = broken();
    let path = |name: &str| project.path(name);
    let pictures = std::fs::read_dir(path("evaluation/bird")).unwrap();
    let picture = pictures.map(|entry| entry.unwrap().path()).next().unwrap();
    let picture = picture.to_str().unwrap();
    let said = refusal(&project, "simulate", &[picture]);
    assert!(said.contains("broken.jpg"), "compiled otherwise: {said}");

    let (missing, text) = (path("missing.png"), path("model.toml"));
    let (nowhere, folder) = (path("no/report"), path("evaluation"));
    let chip = ["--board", "nrf52840-dk", "--probe", "0000:0000"];
    let on_chip = [&["--on", "board"][..], &chip].concat();
    let cases: [(&str, &[&str], &str); 25] = [
        ("simulate", &[&missing], "missing.png"),
        ("simulate", &[picture, &text], "model.toml"),
        ("run", &[&missing], "missing.png"),
        (
            "run",
            &["--board", "nrf52840dk", picture],
            "perhaps `nrf52840-dk`",
        ),
        ("run", &["--board", &missing, picture], "no board is named"),
        (
            "run",
            &["--chip", "STM32F9", picture],
            "knows no chip `STM32F9`",
        ),
        (
            "run",
            &["--probe", "mine", picture],
            "selects no debug probe",
        ),
        ("run", &["--elf", &text, picture], "it is no ELF file"),
        (
            "run",
            &[&chip[..], &[picture]].concat(),
            "there is no debug probe",
        ),
        ("flash", &chip, "there is no debug probe"),
        (
            "flash",
            &["--board", "rpi-pico", "--mlperf", "uart"],
            "has no [uart]",
        ),
        ("logs", &chip, "there is no debug probe"),
        ("bench", &["--image", &missing], "missing.png"),
        (
            "flash",
            &["--board", "nrf52840-dk", "--weights-only"],
            "no slots for weights, which `--weights-only` needs",
        ),
        (
            "flash",
            &["--board", "qemu-mps2-an386", "--roll-back"],
            "no slots for weights, which `--roll-back` needs",
        ),
        ("bench", &["--record", &nowhere], "there is no folder"),
        ("bench", &["--html", &folder], "it is a folder"),
        ("check", &["--html", &nowhere], "there is no folder"),
        ("check", &["--data", &missing], "missing.png"),
        ("eval", &["--data", &missing], "missing.png"),
        ("eval", &on_chip, "there is no debug probe"),
        (
            "compile",
            &["--board", "nucleo"],
            "no board is named `nucleo`",
        ),
        ("compile", &["--output", &folder], "is not tadpool's"),
        ("generate", &["--output", &text], "cannot be a folder"),
        ("bringup", &[&missing], "missing.png"),
    ];
    for (command, rest, expected) in cases {
        let said = refusal(&project, command, rest);
        assert!(said.contains(expected), "{command} {rest:?}: {said}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 5);
}

#[test]
fn a_folder_without_a_description_is_helped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let said = |line: &[&str]| {
        let output = tadpool(line);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = said(&["inspect", path]);
    assert!(text.contains("has no `model.toml`"), "{text}");
    std::fs::write(folder.path().join("net.onnx"), "").unwrap();
    let text = said(&["inspect", path]);
    assert!(text.contains("`tadpool init "), "{text}");
    assert!(text.contains("net.onnx` writes one"), "{text}");
}
