//! Many images on two emulated boards, which are interrupted.

use anyhow::{Context as _, Result};

use crate::run::{cargo, run};

const TEST: &str = "emulator::load::every_image_is_answered_once_whatever_is_interrupted";

/// Runs so many images with so many interruptions, which `seed` chooses, in a process and with
/// a temporary folder of their own.
pub(crate) fn load(images: u32, interruptions: u32, seed: u32) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let mut test = cargo(["test", "--locked", "--workspace", "--test", "tests", "--"]);
    run(test
        .args(["--ignored", "--exact", TEST, "--nocapture"])
        .env("TMPDIR", folder.path())
        .env("TADPOOL_LOAD", format!("{images},{interruptions},{seed}")))
}
