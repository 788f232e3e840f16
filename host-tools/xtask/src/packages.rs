//! The packages as they would be published: whether each says what a registry shows, and
//! whether the program that is installed from them does its work in an empty folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::demo::first_picture;
use crate::generate::MODEL;
use crate::run::{cargo, root, run};

const PICTURES: &str = "models/cifar10/evaluation";
/// Fields that a registry shows of each package.
const FIELDS: [&str; 6] = [
    "description",
    "license",
    "readme",
    "rust_version",
    "keywords",
    "categories",
];
/// Files that each package has beside its sources.
const FILES: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "README.md"];
/// Packages without large dependencies.
const SMALL: [&str; 12] = [
    "memory-planner",
    "tadpool-boards",
    "tadpool-build",
    "tadpool-cycles",
    "tadpool-float",
    "tadpool-input",
    "tadpool-kernels",
    "tadpool-latency",
    "tadpool-learn",
    "tadpool-link",
    "tadpool-protocol",
    "tadpool-toolchain",
];
/// Files above the folder in which the installed program works: none of them may reach the
/// build of an image.
const CONFIGURATION: &str = r#"
[build]
target = "no-such-target"
rustflags = ["--no-such-flag"]

[target.'cfg(all())']
rustflags = ["--no-such-flag"]
linker = "no-such-linker"

[profile.release]
opt-level = 0
overflow-checks = true

[profile.release.package."*"]
opt-level = 0
"#;

/// Packs the public packages, installs `tadpool` from them into a new folder, and compiles
/// and runs a model with it where there is nothing else.
pub(crate) fn check() -> Result<()> {
    let packages = public()?;
    for package in &packages {
        check_metadata(package)?;
        check_features(package)?;
    }
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let folder = &folder.path().canonicalize()?;
    let packed = folder.join("packed");
    let names = packages.iter().map(|package| text(&package["name"]));
    let names: Vec<&str> = names.collect();
    run(
        cargo(["package", "--no-verify", "--allow-dirty", "--quiet"])
            .args(names.iter().flat_map(|name| ["--package", name]))
            .arg("--target-dir")
            .arg(&packed),
    )?;
    let workspace = folder.join("workspace");
    fs::create_dir(&workspace)?;
    let mut members = Vec::new();
    for package in &packages {
        let (name, version) = (text(&package["name"]), text(&package["version"]));
        let member = format!("{name}-{version}");
        let archive = packed.join("package").join(format!("{member}.crate"));
        let mut tar = Command::new("tar");
        // As new as they are here: cargo would take a build script of another time for this one.
        run(tar.arg("-xzmf").arg(archive).arg("-C").arg(&workspace))?;
        for file in FILES {
            let is_there = workspace.join(&member).join(file).is_file();
            ensure!(is_there, "the package {name} has no {file}");
        }
        members.push((name, member));
    }
    write_workspace(&workspace, &members)?;
    verify(&workspace, &names)?;
    let installed = install(&workspace, &members, &folder.join("installed"))?;
    work(&installed, folder)
}

/// The packages of the workspace that are published, as cargo describes them.
fn public() -> Result<Vec<Value>> {
    let mut command = cargo(["metadata", "--format-version", "1", "--no-deps"]);
    let output = command.output().context("cannot run cargo")?;
    let mut metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array_mut().map(std::mem::take);
    let mut packages = packages.context("cargo describes no packages")?;
    packages.retain(|package| package["publish"].is_null());
    ensure!(
        packages.len() > 5,
        "only {} packages are public",
        packages.len()
    );
    Ok(packages)
}

fn check_metadata(package: &Value) -> Result<()> {
    let name = text(&package["name"]);
    for field in FIELDS {
        let is_empty = match &package[field] {
            Value::Array(list) => list.is_empty(),
            value => text(value).is_empty(),
        };
        ensure!(!is_empty, "the manifest of {name} has no {field}");
    }
    Ok(())
}

/// Every feature is described where a registry's reader looks: in the package's README or in
/// its documentation.
fn check_features(package: &Value) -> Result<()> {
    let (name, manifest) = (text(&package["name"]), text(&package["manifest_path"]));
    let folder = Path::new(manifest)
        .parent()
        .context("a manifest has no folder")?;
    let mut documents = fs::read_to_string(folder.join("README.md"))?;
    documents += &fs::read_to_string(folder.join("src/lib.rs")).unwrap_or_default();
    let features = package["features"].as_object().into_iter().flatten();
    for (feature, _) in features.filter(|(feature, _)| *feature != "default") {
        ensure!(
            documents.contains(&format!("`{feature}`")),
            "neither README nor documentation of {name} says what its feature `{feature}` is for"
        );
    }
    Ok(())
}

/// Packages that compile quickly, each by itself and with its features, as a registry's users
/// have them; and for a microcontroller. The others are compiled by the installation.
fn verify(workspace: &Path, names: &[&str]) -> Result<()> {
    const FEATURES: [&str; 4] = ["defmt", "visit,cases", "std,dsp", "helium"];
    let check = |package: &str| {
        let mut command = cargo(["check", "--package", package, "--target-dir"]);
        command
            .arg(root().join("target/verified"))
            .current_dir(workspace);
        command
    };
    for name in names.iter().filter(|name| SMALL.contains(name)) {
        run(&mut check(name))?;
    }
    for features in FEATURES {
        run(check("tadpool-kernels").args(["--features", features]))?;
    }
    run(check("memory-planner").arg("--no-default-features"))?;
    run(check("memory-planner").arg("--all-features"))?;
    for (package, target, features) in [
        ("tadpool-kernels", "thumbv7em-none-eabihf", "dsp,defmt"),
        ("tadpool-kernels", "thumbv8m.main-none-eabihf", "helium"),
        ("tadpool-link", "thumbv6m-none-eabi", "rtt"),
    ] {
        run(check(package).args(["--target", target, "--features", features]))?;
    }
    Ok(())
}

/// Makes the unpacked packages a workspace in which each finds the others, with this
/// repository's profiles and versions, so that what was compiled here serves there.
fn write_workspace(folder: &Path, members: &[(&str, String)]) -> Result<()> {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
    let mut text = String::from("[workspace]\nresolver = \"3\"\nmembers = [");
    for (_, member) in members {
        text += &format!("{member:?}, ");
    }
    text += "]\n\n[patch.crates-io]\n";
    for (name, member) in members {
        text += &format!("{name} = {{ path = {member:?} }}\n");
    }
    let mut profiles = toml::Table::new();
    if let Some(profile) = manifest.get("profile") {
        profiles.insert("profile".to_owned(), profile.clone());
    }
    fs::write(folder.join("Cargo.toml"), format!("{text}\n{profiles}"))?;
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    Ok(())
}

/// Installs the program under `target`, and returns where it is.
fn install(workspace: &Path, members: &[(&str, String)], target: &Path) -> Result<PathBuf> {
    let (_, member) = members
        .iter()
        .find(|(name, _)| *name == "tadpool")
        .context("the package tadpool is not public")?;
    // Takes the packages out of the lock that are not published. Without `--locked` cargo
    // would install with the latest versions of everything, which were not compiled here.
    run(cargo(["update", "--quiet", "--workspace"]).current_dir(workspace))?;
    let mut command = cargo(["install", "--locked", "--debug", "--no-track", "--path"]);
    command
        .arg(workspace.join(member))
        .arg("--root")
        .arg(target);
    command.arg("--target-dir").arg(root().join("target"));
    run(command.current_dir(workspace))?;
    let program = target.join("bin/tadpool");
    Ok(program.with_extension(std::env::consts::EXE_EXTENSION))
}

/// Compiles and runs a model in an empty folder, below somebody's configuration of cargo and
/// somebody's workspace, with somebody's flags.
fn work(program: &Path, folder: &Path) -> Result<()> {
    let above = folder.join("above");
    let empty = above.join("empty");
    fs::create_dir_all(&empty)?;
    fs::create_dir(above.join(".cargo"))?;
    fs::write(above.join(".cargo/config.toml"), CONFIGURATION)?;
    fs::write(
        above.join("Cargo.toml"),
        "[workspace]\nmembers = [\"none\"]\n",
    )?;
    let picture = first_picture(&root().join(PICTURES))?;
    let model = root().join(MODEL);
    let tadpool = |arguments: &[&Path]| {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&empty)
            .env("TADPOOL_CACHE", above.join("cache"))
            .env("RUSTFLAGS", "--no-such-flag")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env_remove("CARGO_TARGET_DIR");
        run(&mut command)
    };
    let command = Path::new;
    tadpool(&[command("compile"), &model])?;
    tadpool(&[command("run"), &model, &picture])?;
    let left = fs::read_dir(&empty)?.count();
    ensure!(
        left == 0,
        "{left} files were left in the folder it worked in"
    );
    make_application(program, folder)
}

/// Makes an application, runs it in the emulator, and runs its test, which compares its
/// logits with the host's.
fn make_application(program: &Path, folder: &Path) -> Result<()> {
    let folder = folder.join("elsewhere");
    fs::create_dir(&folder)?;
    let mut new = Command::new(program);
    new.args([
        "new",
        "application",
        "--board",
        "qemu-mps2-an386",
        "--model",
    ])
    .arg(root().join(MODEL))
    .current_dir(&folder);
    run(&mut new)?;
    let mut path = vec![
        program
            .parent()
            .context("the program has no folder")?
            .to_owned(),
    ];
    path.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    for subcommand in ["run", "test"] {
        let mut command = cargo([subcommand, "--quiet"]);
        command
            .current_dir(folder.join("application"))
            .env("PATH", std::env::join_paths(&path)?)
            .env_remove("TADPOOL")
            .env_remove("CARGO_TARGET_DIR");
        run(&mut command)?;
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
