//! The firmware's sources, which this crate carries: laid out as in the repository, so that
//! the paths in their manifests hold.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// Files by their path in a folder.
pub type Files = BTreeMap<PathBuf, Cow<'static, [u8]>>;

const CARRIED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// The folder of the firmware's package.
pub(crate) const FIRMWARE: &str = "firmware";
/// The folder of the generated crate.
pub(crate) const MODEL: &str = "firmware/model";
/// The folder of the crate that build scripts use, which no image needs.
const BUILD: &str = "host-tools/build";
/// The folder of the kernels, as the generated crate's manifest names it.
pub(crate) const KERNELS_FROM_MODEL: &str = "../kernels";

/// Parts of a manifest for those who change the package, which need files that are not
/// carried.
const OF_DEVELOPMENT: [&str; 5] = ["dev-dependencies", "test", "bench", "example", "profile"];

/// The sources, with the generated crate of the CIFAR-10 PoolFormer.
pub(crate) fn files() -> Files {
    let of_images = CARRIED.iter().filter(|(name, _)| !is_below(name, BUILD));
    let carried = of_images.map(|&(name, bytes)| {
        let bytes = match name.ends_with("Cargo.toml") {
            true => manifest(name, bytes),
            false => Cow::Borrowed(bytes),
        };
        (PathBuf::from(name), bytes)
    });
    carried.collect()
}

/// A carried crate that applications depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// `tadpool-kernels`.
    Kernels,
    /// `tadpool-build`.
    Build,
}

impl Carried {
    /// Its files, by their path in its folder: a package that needs no workspace around it.
    pub fn files(self) -> Files {
        let folder = match self {
            Self::Kernels => "firmware/kernels",
            Self::Build => BUILD,
        };
        let files = CARRIED.iter().filter(|(name, _)| is_below(name, folder));
        let files = files.map(|&(name, bytes)| {
            let bytes = match name.ends_with("Cargo.toml") {
                true => alone(&manifest(name, bytes)),
                false => Cow::Borrowed(bytes),
            };
            (PathBuf::from(&name[folder.len() + 1..]), bytes)
        });
        files.collect()
    }
}

/// The versions of all crates that the firmware and its examples are built with.
pub fn lock() -> &'static [u8] {
    let lock = CARRIED
        .iter()
        .find(|(name, _)| *name == "firmware/Cargo.lock");
    lock.map_or(&[], |(_, bytes)| bytes)
}

fn is_below(name: &str, folder: &str) -> bool {
    let rest = name.strip_prefix(folder);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

/// A manifest with the values that it has from its workspace.
fn alone(manifest: &[u8]) -> Cow<'static, [u8]> {
    let parsed = |bytes: &[u8]| -> Option<Table> { std::str::from_utf8(bytes).ok()?.parse().ok() };
    let root = CARRIED.iter().find(|(name, _)| *name == "Cargo.toml");
    let workspace = root.and_then(|(_, bytes)| parsed(bytes));
    let shared = workspace
        .as_ref()
        .and_then(|it| it["workspace"].get("package"));
    let Some(mut table) = parsed(manifest) else {
        return Cow::Owned(manifest.to_vec()); // cargo says what is wrong with it
    };
    table.remove("lints");
    if let Some(Value::Table(package)) = table.get_mut("package") {
        for (key, value) in package {
            let is_shared = value.get("workspace").is_some();
            if let Some(shared) = shared.and_then(|it| it.get(key)).filter(|_| is_shared) {
                *value = shared.clone();
            }
        }
    }
    Cow::Owned(table.to_string().into_bytes())
}

/// `MODEL_HASH` of the generated crate that is carried, if it says one.
pub(crate) fn model_hash() -> Option<u32> {
    let (_, bytes) = CARRIED
        .iter()
        .find(|(name, _)| *name == "firmware/model/src/model.rs")?;
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, rest) = text.split_once("pub const MODEL_HASH: u32 = 0x")?;
    u32::from_str_radix(rest.split(';').next()?, 16).ok()
}

/// A manifest without what needs files that are not carried.
fn manifest(name: &str, bytes: &'static [u8]) -> Cow<'static, [u8]> {
    let table = std::str::from_utf8(bytes).ok().map(str::parse::<Table>);
    let Some(Ok(mut table)) = table else {
        return Cow::Borrowed(bytes); // cargo says what is wrong with it
    };
    let is_firmware = name == "firmware/Cargo.toml";
    for key in OF_DEVELOPMENT {
        if key != "profile" || !is_firmware {
            table.remove(key);
        }
    }
    if let Some(Value::Table(workspace)) = table.get_mut("workspace") {
        let (members, excluded) = match is_firmware {
            true => (vec!["model"], vec!["kernels", "link", "protocol"]),
            false => (members(), vec![FIRMWARE]),
        };
        workspace.insert("members".into(), members.into());
        workspace.insert("exclude".into(), excluded.into());
        workspace.remove("default-members");
    }
    Cow::Owned(table.to_string().into_bytes())
}

/// The packages of the outer workspace that are carried.
fn members() -> Vec<&'static str> {
    let folders = CARRIED
        .iter()
        .filter_map(|(name, _)| name.strip_suffix("/Cargo.toml"));
    folders
        .filter(|folder| ![FIRMWARE, MODEL, BUILD].contains(folder))
        .collect()
}

/// Makes `folder` hold `files` and nothing else. Files that are as they should be are left
/// alone, so that cargo sees by their times what changed.
pub(crate) fn sync(folder: &Path, files: &Files) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    remove_others(folder, Path::new(""), files)?;
    for (name, bytes) in files {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|there| there == **bytes) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, bytes)?;
    }
    Ok(())
}

/// Removes what is in `folder`, `name` of the whole, and is none of `files` nor above one.
fn remove_others(folder: &Path, name: &Path, files: &Files) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), name.join(entry.file_name()));
        let is_above = || files.keys().any(|file| file.starts_with(&name));
        match entry.file_type()?.is_dir() {
            true if is_above() => remove_others(&path, &name, files)?,
            true => fs::remove_dir_all(&path)?,
            false if files.contains_key(&name) => {}
            false => fs::remove_file(&path)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_firmware_needs_is_carried() {
        let files = files();
        let text = |name: &str| {
            let bytes = files
                .get(Path::new(name))
                .unwrap_or_else(|| panic!("{name}"));
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        for name in [
            "firmware/src/main.rs",
            "firmware/build.rs",
            "firmware/Cargo.lock",
            "firmware/kernels/src/arch/dsp/product.s",
            "firmware/protocol/src/frame.rs",
            "firmware/model/src/model.rs",
            "host-tools/boards/boards/qemu-mps2-an386.toml",
        ] {
            assert!(!text(name).is_empty(), "{name}");
        }
        for name in ["Cargo.toml", "firmware/Cargo.toml"] {
            let manifest: Table = text(name).parse().unwrap();
            for member in manifest["workspace"]["members"].as_array().unwrap() {
                let folder = Path::new(name)
                    .parent()
                    .unwrap()
                    .join(member.as_str().unwrap());
                assert!(files.contains_key(&folder.join("Cargo.toml")), "{member}");
            }
        }
        let workspace: Table = text("Cargo.toml").parse().unwrap();
        let ours = workspace["workspace"]["dependencies"].as_table().unwrap();
        for name in files.keys().filter(|name| name.ends_with("Cargo.toml")) {
            let manifest: Table = text(name.to_str().unwrap()).parse().unwrap();
            let tables = ["dependencies", "build-dependencies"].map(|key| manifest.get(key));
            let names = tables
                .into_iter()
                .flatten()
                .flat_map(|table| table.as_table().unwrap());
            for path in names.filter_map(|(used, _)| ours.get(used)?.get("path")) {
                let manifest = Path::new(path.as_str().unwrap()).join("Cargo.toml");
                let problem = "needs a link in `sources`, for it is used by";
                assert!(
                    files.contains_key(&manifest),
                    "{path} {problem} {}",
                    name.display()
                );
            }
        }
        assert!(!text("firmware/kernels/Cargo.toml").contains("[[test]]"));
        assert!(text("firmware/Cargo.toml").contains("[profile.release]"));
        assert!(model_hash().is_some());
    }

    #[test]
    fn carried_crates_stand_alone() {
        for (carried, name) in [
            (Carried::Kernels, "tadpool-kernels"),
            (Carried::Build, "tadpool-build"),
        ] {
            let files = carried.files();
            for file in ["src/lib.rs", "README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
                assert!(files.contains_key(Path::new(file)), "{name}: {file}");
            }
            let manifest = std::str::from_utf8(&files[Path::new("Cargo.toml")]).unwrap();
            assert!(!manifest.contains("workspace"), "{manifest}");
            let manifest: Table = manifest.parse().unwrap();
            assert_eq!(manifest["package"]["name"].as_str(), Some(name));
            assert!(manifest["package"]["version"].is_str());
        }
        assert!(!lock().is_empty());
    }

    #[test]
    fn a_folder_is_made_to_hold_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let files = |names: &[(&'static str, &'static str)]| -> Files {
            let file = |&(name, text): &(&'static str, &'static str)| {
                (PathBuf::from(name), Cow::Borrowed(text.as_bytes()))
            };
            names.iter().map(file).collect()
        };
        let time = |name: &str| {
            fs::metadata(folder.path().join(name))
                .unwrap()
                .modified()
                .unwrap()
        };
        sync(
            folder.path(),
            &files(&[("a/b", "1"), ("a/c", "2"), ("d", "3")]),
        )
        .unwrap();
        let before = time("a/b");
        fs::write(folder.path().join("a/stray"), "4").unwrap();
        sync(folder.path(), &files(&[("a/b", "1"), ("a/c", "5")])).unwrap();
        assert_eq!(time("a/b"), before);
        assert_eq!(fs::read_to_string(folder.path().join("a/c")).unwrap(), "5");
        let there = |name: &str| folder.path().join(name).exists();
        assert!(!there("a/stray") && !there("d"));
    }
}
