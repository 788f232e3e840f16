//! From a trained network to a prediction on an emulated board.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::generate::MODEL;
use crate::run::{root, run, tadpool};
use crate::setup::setup;

const PICTURES: &str = "models/cifar10/evaluation";
/// From a fresh clone: 4.6 were measured on two cores, for 524 seconds of processor time.
const MINUTES: &str = "five to ten";

/// Sets up, compiles the PoolFormer and runs it on a picture.
pub(crate) fn demo() -> Result<()> {
    println!(
        "demo: builds the compiler, compiles a PoolFormer, builds its firmware and classifies a \
         picture on an emulated Cortex-M4; about {MINUTES} minutes on two cores the first time, \
         well under one after that"
    );
    setup()?;
    let picture = first_picture(&root().join(PICTURES))?;
    let picture = picture.strip_prefix(root()).unwrap_or(&picture);
    run(&mut tadpool(["compile", MODEL])?)?;
    run(tadpool(["run", MODEL])?.arg(picture))
}

/// The first file under `folder`, by name.
pub(crate) fn first_picture(folder: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let first = entries.flatten().map(|entry| entry.path()).min();
    let first = first.with_context(|| format!("{} holds no picture", folder.display()))?;
    if first.is_dir() {
        first_picture(&first)
    } else {
        Ok(first)
    }
}
