//! The generated crate in `firmware/model`: written anew, or checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{root, run, tadpool};

/// The smallest model, so that a clone builds without compiling one.
pub(crate) const MODEL: &str = "models/poolformer-cifar10/model.toml";
const CRATE: &str = "firmware/model";
const KERNELS: &[u8] = b"tadpool-kernels = ";
/// Checksums of the other files, as seen from where they are.
const INVENTORY: &str = "tadpool-generated.txt";

/// Writes the crate anew.
pub(crate) fn generate() -> Result<()> {
    compile_to(&root().join(CRATE))
}

/// Fails if the crate is not what [`generate`] would write.
pub(crate) fn check() -> Result<()> {
    let fresh = root().join("firmware/target/fresh-model");
    if fresh.exists() {
        std::fs::remove_dir_all(&fresh).with_context(|| fresh.display().to_string())?;
    }
    compile_to(&fresh)?;
    let (committed, fresh) = (files(&root().join(CRATE))?, files(&fresh)?);
    let mut names = committed.keys().chain(fresh.keys());
    match names.find(|&name| committed.get(name) != fresh.get(name)) {
        Some(name) => bail!(
            "{CRATE}/{} is not fresh; run `cargo xtask generate`",
            name.display()
        ),
        None => Ok(()),
    }
}

fn compile_to(folder: &Path) -> Result<()> {
    // Kernels that every board has, for one crate serves them all. What git keeps may be
    // written over.
    let line = [
        "compile",
        MODEL,
        "--kernels",
        "portable",
        "--force",
        "--output",
    ];
    run(tadpool(line)?.arg(folder))
}

/// Contents of the files under `folder`, by their path in it; without those that depend on where
/// it is: the record, and the line that says where the kernels are.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with(INVENTORY) {
                let mut bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
                if path.ends_with("Cargo.toml") {
                    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
                    bytes = lines
                        .filter(|line| !line.starts_with(KERNELS))
                        .flatten()
                        .copied()
                        .collect();
                }
                files.insert(path.strip_prefix(folder)?.to_owned(), bytes);
            }
        }
    }
    Ok(files)
}
