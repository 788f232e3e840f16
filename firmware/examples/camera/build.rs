//! Hands the linker the memory map of the board.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

const BOARDS: [&str; 3] = ["nrf52840-dk", "nucleo-l4r5zi", "qemu-mps2-an386"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=memory");
    if env::var("CARGO_CFG_TARGET_OS")? != "none" {
        return Ok(()); // the host's tests of the library
    }
    let is_on = |board: &&&str| {
        let feature = board.to_uppercase().replace('-', "_");
        env::var_os(format!("CARGO_FEATURE_{feature}")).is_some()
    };
    let board = BOARDS.iter().find(is_on);
    let board = board.ok_or_else(|| format!("choose a board by its feature: {BOARDS:?}"))?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::copy(
        Path::new("memory").join(format!("{board}.x")),
        out.join("memory.x"),
    )?;
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
    Ok(())
}
