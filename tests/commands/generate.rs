//! `tadpool generate` and `tadpool image`, and a build script that asks for a module.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{repository, tadpool};

const WEIGHTS: &str = "identityformer_papers_script17_external.weights";

/// A network with one score, whose weights are in a file of their own, and gray images.
struct Score {
    folder: TempDir,
}

impl Score {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = repository().join("tests/fixtures/family");
        let onnx = "identityformer_papers_script17_external.onnx";
        std::fs::copy(fixtures.join(onnx), folder.path().join("it's a score.onnx")).unwrap();
        std::fs::copy(fixtures.join(WEIGHTS), folder.path().join(WEIGHTS)).unwrap();
        std::fs::create_dir(folder.path().join("images")).unwrap();
        for number in 0..4 {
            let pixels = (0..24 * 20).map(|at| (at * (number + 3) * 7 % 251) as u8);
            let image = [b"P5\n20 24\n255\n".to_vec(), pixels.collect()].concat();
            let path = format!("images/{number}.pgm");
            std::fs::write(folder.path().join(path), image).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Whether `tadpool generate ... --output OUTPUT` succeeds, or what it says.
    fn generate(&self, output: &str, rest: &[&str]) -> Result<(), String> {
        let (model, images) = (self.text("it's a score.onnx"), self.text("images"));
        let output = self.text(output);
        let line = [
            "generate",
            &model,
            "--calibration",
            &images,
            "--output",
            &output,
        ];
        let said = tadpool(&[&line, rest].concat());
        match said.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&said.stderr).into_owned()),
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_crate_is_named_after_its_model() {
    let project = Score::new();
    let kernels = repository().join("firmware/kernels").display().to_string();
    let options = [
        "--kernels",
        "dsp",
        "--kernels-path",
        &kernels,
        "--golden",
        "2",
    ];
    project.generate("own", &options).unwrap();
    let manifest: toml::Table = read(&project.path("own/Cargo.toml")).parse().unwrap();
    assert_eq!(manifest["package"]["name"].as_str(), Some("it-s-a-score"));
    let dependency = &manifest["dependencies"]["tadpool-kernels"];
    assert_eq!(dependency["features"][0].as_str(), Some("dsp"));
    assert!(!manifest.contains_key("workspace"));
    assert!(read(&project.path("own/README.md")).contains("one score"));
    assert!(read(&project.path("own/src/golden.rs")).contains("golden1.bin"));
    assert_eq!(
        project
            .path("own/src/golden0.bin")
            .metadata()
            .unwrap()
            .len(),
        480
    );

    // Over itself, with another name and none of the old golden vectors' module.
    let named = ["--crate-name", "score", "--weights-section", ".qspi"];
    project.generate("own", &named).unwrap();
    assert!(read(&project.path("own/Cargo.toml")).contains("name = \"score\""));
    assert!(read(&project.path("own/src/model.rs")).contains("link_section = \".qspi\""));

    // Where a workspace would take it.
    std::fs::write(
        project.path("Cargo.toml"),
        "[workspace]\nmembers = [\"app\"]",
    )
    .unwrap();
    project.generate("adopted", &[]).unwrap();
    let manifest: toml::Table = read(&project.path("adopted/Cargo.toml")).parse().unwrap();
    assert!(manifest.contains_key("workspace"));

    for wrong in [
        &["--crate-name", "Score"][..],
        &["--crate-name", "fn"],
        &["--crate-name", "tadpool-kernels"],
        &["--weights-section", "a b"],
        &["--kernels-path", "/nowhere"],
    ] {
        assert!(project.generate("wrong", wrong).is_err(), "{wrong:?}");
        assert!(!project.path("wrong").exists(), "{wrong:?}");
    }
}

/// A crate that somebody edited is kept; one that is as it would be is not made again.
#[test]
fn an_edited_crate_is_kept() {
    let project = Score::new();
    project.generate("own", &[]).unwrap();
    let (model, lib) = (
        project.path("own/src/model.rs"),
        project.path("own/src/lib.rs"),
    );
    let time = || model.metadata().unwrap().modified().unwrap();
    let (first, written) = (read(&model), time());
    let start = std::time::Instant::now();
    project.generate("own", &[]).unwrap();
    assert!(start.elapsed().as_millis() < 1000, "{:?}", start.elapsed());
    assert_eq!(time(), written);

    std::fs::write(&model, format!("{first}// mine\n")).unwrap();
    std::fs::remove_file(&lib).unwrap();
    let error = project.generate("own", &[]).unwrap_err();
    assert!(error.contains("model.rs` was edited"), "{error}");
    assert!(error.contains("--force"), "{error}");
    assert!(read(&model).ends_with("// mine\n") && !lib.exists());
    project.generate("own", &["--force"]).unwrap();
    assert_eq!(read(&model), first);
    assert!(lib.is_file());
    // The kernels' files are its own too.
    let kernels = project.path("own/tadpool-kernels/src/lib.rs");
    std::fs::write(&kernels, "// mine").unwrap();
    let error = project.generate("own", &[]).unwrap_err();
    assert!(
        error.contains("tadpool-kernels/src/lib.rs` was edited"),
        "{error}"
    );
}

/// Two crates and an application, moved to where there is neither this tool nor its cache.
#[test]
fn crates_are_built_elsewhere() {
    let project = Score::new();
    project.generate("nets/a", &["--crate-name", "a"]).unwrap();
    project.generate("nets/b", &["--crate-name", "b"]).unwrap();
    for name in ["a", "b"] {
        let manifest = read(&project.path(&format!("nets/{name}/Cargo.toml")));
        let manifest: toml::Table = manifest.parse().unwrap();
        let kernels = manifest["dependencies"]["tadpool-kernels"]["path"].as_str();
        assert!(!Path::new(kernels.unwrap()).is_absolute(), "{manifest}");
    }
    assert!(!project.path("nets/b/tadpool-kernels").exists());
    std::fs::create_dir_all(project.path("nets/app/src")).unwrap();
    let manifest = "[package]\nname = \"app\"\nedition = \"2024\"\n[workspace]\n\
                    [dependencies]\na = { path = \"../a\" }\nb = { path = \"../b\" }\n";
    let main = "fn main() { assert_eq!(a::Arena::BYTES, b::Arena::BYTES); }";
    std::fs::write(project.path("nets/app/Cargo.toml"), manifest).unwrap();
    std::fs::write(project.path("nets/app/src/main.rs"), main).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("repository");
    std::fs::rename(project.path("nets"), &moved).unwrap();
    let checked = std::process::Command::new("cargo")
        .args(["check", "--quiet", "--offline"])
        .current_dir(moved.join("app"))
        .env(
            "CARGO_TARGET_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("elsewhere"),
        )
        .env_remove("TADPOOL_CACHE")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
}

#[test]
fn nothing_of_the_users_is_written_over() {
    let project = Score::new();
    std::fs::create_dir_all(project.path("mine/src")).unwrap();
    let files = [
        ("mine/Cargo.toml", "[package]"),
        ("mine/src/model.rs", "// mine"),
    ];
    for (file, text) in files {
        std::fs::write(project.path(file), text).unwrap();
    }
    let error = project.generate("mine", &[]).unwrap_err();
    assert!(
        error.contains("mine/Cargo.toml` is not tadpool's"),
        "{error}"
    );
    for (file, text) in files {
        assert_eq!(read(&project.path(file)), text);
    }
    assert!(!project.path("mine/src/lib.rs").exists());
}

#[test]
fn pictures_become_the_bytes_that_a_firmware_takes() {
    let project = Score::new();
    let model = project.text("it's a score.onnx");
    let pictures = ["images/0.pgm", "images/3.pgm"].map(|name| project.text(name));
    let file = project.text("two.gray");
    let line = [
        "image",
        &model,
        &pictures[0],
        &pictures[1],
        "--output",
        &file,
    ];
    assert!(tadpool(&line).status.success());
    let expected: Vec<u8> = pictures
        .iter()
        .flat_map(|path| std::fs::read(path).unwrap().split_off(13))
        .collect();
    assert_eq!(std::fs::read(&file).unwrap(), expected);
    // Nor is a file of the user's written over.
    assert!(!tadpool(&line).status.success());
    assert!(
        tadpool(&[&line[..], &["--force"]].concat())
            .status
            .success()
    );
}

/// A changed byte of the external data is seen, and an unchanged model costs nothing.
#[test]
fn a_build_script_keeps_no_stale_weights() {
    let project = Score::new();
    let script = |module: &str| {
        tadpool_build::Model::new(project.path("it's a score.onnx"))
            .module(module)
            .kernels("dsp")
            .arg("--calibration")
            .arg(project.path("images"))
            .program(env!("CARGO_BIN_EXE_tadpool"))
            .output(project.path("out"))
    };
    let weights =
        |module: &str| std::fs::read(project.path("out").join(module).join("weights.bin")).unwrap();
    script("first").try_generate().unwrap();
    script("second")
        .arg("--weights")
        .arg("int4")
        .try_generate()
        .unwrap();
    let first = weights("first");
    assert_ne!(first, weights("second"));
    let read_files = read(&project.path("out/first/inputs.txt"));
    for name in ["it's a score.onnx", WEIGHTS, "images"] {
        assert!(
            read_files.lines().any(|line| line.ends_with(name)),
            "{read_files}"
        );
    }

    let time = || {
        project
            .path("out/first/model.rs")
            .metadata()
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = time();
    let start = std::time::Instant::now();
    script("first").try_generate().unwrap();
    assert!(start.elapsed().as_millis() < 200, "{:?}", start.elapsed());
    assert_eq!(time(), before);

    let mut bytes = std::fs::read(project.path(WEIGHTS)).unwrap();
    for byte in bytes.iter_mut().skip(2).step_by(4).take(200) {
        *byte ^= 0x40;
    }
    std::fs::write(project.path(WEIGHTS), bytes).unwrap();
    script("first").try_generate().unwrap();
    assert_ne!(weights("first"), first);

    std::fs::write(project.path(WEIGHTS), [0; 3]).unwrap();
    let error = script("first").try_generate().unwrap_err().to_string();
    assert!(error.contains("it's a score.onnx"), "{error}");
    let error = script("a b").try_generate().unwrap_err().to_string();
    assert!(error.contains("the module `a b`"), "{error}");
}
