//! Checks each public package with the least version of Rust that it declares, and those that
//! firmware links for a microcontroller too. `rustup` fetches the toolchains.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::run::{cargo, root, run};

/// What firmware links.
const IN_FIRMWARE: [&str; 3] = ["tadpool-kernels", "tadpool-protocol", "tadpool-link"];
const MICROCONTROLLER: &str = "thumbv7em-none-eabihf";

/// The output of `cargo metadata`, as far as it matters.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    rust_version: Option<String>,
    /// The registries that it may be published to; absent for any, empty for none.
    publish: Option<Vec<String>>,
}

/// Checks all public packages.
pub(crate) fn check() -> Result<()> {
    let metadata = cargo(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .output()
        .context("cannot run cargo")?;
    let metadata: Metadata = serde_json::from_slice(&metadata.stdout)?;
    for (version, packages) in by_version(metadata)? {
        let toolchain = toolchain(&version);
        run(Command::new("rustup")
            .args(["toolchain", "install", &toolchain])
            .args(["--profile", "minimal", "--target", MICROCONTROLLER]))?;
        check_with(&toolchain, packages.iter(), None)?;
        let linked = packages.iter();
        let linked = linked.filter(|name| IN_FIRMWARE.contains(&name.as_str()));
        check_with(&toolchain, linked, Some(MICROCONTROLLER))?;
    }
    Ok(())
}

/// The public packages by the version of Rust that they declare.
fn by_version(metadata: Metadata) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut sorted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata.packages {
        if package
            .publish
            .is_some_and(|registries| registries.is_empty())
        {
            continue;
        }
        let version = package.rust_version;
        let version = version.with_context(|| format!("`{}` has no rust-version", package.name))?;
        sorted.entry(version).or_default().insert(package.name);
    }
    ensure!(!sorted.is_empty(), "no package of the workspace is public");
    Ok(sorted)
}

/// The name of the toolchain of a version, which may leave its last part out.
fn toolchain(version: &str) -> String {
    match version.split('.').count() {
        2 => format!("{version}.0"),
        _ => version.to_owned(),
    }
}

/// Checks `packages` for `target` or the host, in a folder of its own.
fn check_with<'a>(
    toolchain: &str,
    packages: impl Iterator<Item = &'a String>,
    target: Option<&str>,
) -> Result<()> {
    let packages: Vec<&String> = packages.collect();
    if packages.is_empty() {
        return Ok(());
    }
    let mut check = Command::new("rustup");
    check.args(["run", toolchain, "cargo", "check", "--locked"]);
    check.args(packages.iter().flat_map(|name| ["--package", name]));
    check.args(target.iter().flat_map(|target| ["--target", target]));
    check.arg("--target-dir").arg(root().join("target/msrv"));
    // Cargo runs this program with the variables of its own toolchain.
    for variable in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        check.env_remove(variable);
    }
    run(check.current_dir(root()))
}

#[cfg(test)]
mod tests {
    use super::{Metadata, by_version, toolchain};

    #[test]
    fn packages_are_sorted_by_what_they_declare() {
        let text = r#"{"packages": [
            {"name": "a", "rust_version": "1.88", "publish": null},
            {"name": "b", "rust_version": "1.91.1", "publish": ["somewhere"]},
            {"name": "c", "rust_version": "1.88", "publish": null},
            {"name": "private", "rust_version": null, "publish": []}
        ]}"#;
        let sorted = by_version(serde_json::from_str::<Metadata>(text).unwrap()).unwrap();
        let of = |version: &str| {
            sorted[version]
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("1.88"), ["a", "c"]);
        assert_eq!(of("1.91.1"), ["b"]);
        assert_eq!(sorted.len(), 2);
        assert_eq!(toolchain("1.88"), "1.88.0");
        assert_eq!(toolchain("1.91.1"), "1.91.1");
    }

    #[test]
    fn a_public_package_declares_a_version() {
        let text = r#"{"packages": [{"name": "a", "rust_version": null, "publish": null}]}"#;
        let error = by_version(serde_json::from_str(text).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "`a` has no rust-version");
    }
}
