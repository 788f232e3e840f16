//! Turns the board's file into the linker's memory map.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde::Deserialize;

/// The part of a board's file that the image depends on.
#[derive(Deserialize)]
struct Board {
    target: String,
    memory: BTreeMap<String, Region>,
    layout: Layout,
    #[serde(default)]
    budget: Budget,
    counter: Counter,
}

#[derive(Deserialize)]
struct Region {
    origin: u32,
    length: u32,
}

#[derive(Deserialize)]
struct Layout {
    code: String,
    weights: String,
    ram: String,
    stack_bytes: u32,
}

#[derive(Deserialize, Default)]
struct Budget {
    flash_bytes: Option<u32>,
    ram_bytes: Option<u32>,
}

#[derive(Deserialize)]
struct Counter {
    frequency_hz: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let firmware = match env::var_os("TADPOOL_FIRMWARE") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env::var("CARGO_MANIFEST_DIR")?),
    };
    let boards = firmware.join("boards");
    let name = chosen(&boards)?;
    // A description of one's own, for the start-up code of the same name.
    println!("cargo::rerun-if-env-changed=TADPOOL_BOARD_FILE");
    let file = match env::var_os("TADPOOL_BOARD_FILE") {
        Some(file) => PathBuf::from(file),
        None => boards.join(format!("{name}.toml")),
    };
    println!("cargo::rerun-if-changed={}", file.display());
    println!("cargo::rerun-if-env-changed=TADPOOL_FIRMWARE");
    println!("cargo::rerun-if-changed={}", boards.display());

    let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let board: Board = toml::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    println!("cargo::rustc-env=TADPOOL_BOARD_NAME={name}");
    println!(
        "cargo::rustc-env=TADPOOL_COUNTER_HZ={}",
        board.counter.frequency_hz
    );
    // Messages below this level are not compiled in.
    println!("cargo::rerun-if-env-changed=DEFMT_LOG");
    let level = env::var("DEFMT_LOG").unwrap_or_else(|_| "info".into());
    println!("cargo::rustc-env=DEFMT_LOG={level}");
    if env::var("CARGO_CFG_TARGET_OS")? != "none" {
        return Ok(()); // the host's tests of the library
    }
    let target = env::var("TARGET")?;
    if target != board.target {
        let needed = &board.target;
        return Err(format!("board `{name}` needs --target {needed}, not {target}").into());
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("memory.x"), memory_map(&name, &board)?)?;
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bin=tadpool-firmware=-Tdefmt.x");
    Ok(())
}

/// The board whose feature is on.
fn chosen(boards: &Path) -> Result<String, Box<dyn Error>> {
    let mut chosen = Vec::new();
    for entry in fs::read_dir(boards).map_err(|e| format!("{}: {e}", boards.display()))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
            && let Some(name) = path.file_stem().and_then(|name| name.to_str())
            && env::var_os(feature_variable(name)).is_some()
        {
            chosen.push(name.to_owned());
        }
    }
    match <[String; 1]>::try_from(chosen) {
        Ok([name]) => Ok(name),
        Err(chosen) => Err(format!(
            "choose one board, by --no-default-features --features BOARD; chosen are {chosen:?}"
        )
        .into()),
    }
}

/// What cargo sets if the feature named `name` is on.
fn feature_variable(name: &str) -> String {
    format!("CARGO_FEATURE_{}", name.to_uppercase().replace('-', "_"))
}

/// `memory.x` for cortex-m-rt's linker script.
///
/// The stack lies below everything else in RAM, so that one that grows too
/// large runs into nothing and faults. The model's statics get a section of
/// their own, so that its weights can be weighed, or lie in another memory.
fn memory_map(name: &str, board: &Board) -> Result<String, Box<dyn Error>> {
    let region = |field: &str, region: &str| {
        board.memory.get(region).ok_or_else(|| {
            format!(
                "boards/{name}.toml: layout.{field} names `{region}`, which is not under [memory]"
            )
        })
    };
    let Layout {
        code,
        weights,
        ram,
        stack_bytes,
    } = &board.layout;
    let flash = region("code", code)?;
    let weights_region = region("weights", weights)?;
    let ram = region("ram", ram)?;
    let flash_bytes = board
        .budget
        .flash_bytes
        .unwrap_or(flash.length)
        .min(flash.length);
    let ram_bytes = board.budget.ram_bytes.unwrap_or(ram.length).min(ram.length);
    if stack_bytes % 8 != 0 || *stack_bytes >= ram_bytes {
        let problem = "is not a multiple of 8 below the RAM's length";
        return Err(
            format!("boards/{name}.toml: layout.stack_bytes = {stack_bytes} {problem}").into(),
        );
    }
    let mut map = format!("/* Generated from boards/{name}.toml. */\nMEMORY\n{{\n");
    let mut add = |name: &str, origin: u32, length: u32| {
        writeln!(
            map,
            "  {name} : ORIGIN = {origin:#010x}, LENGTH = {length:#x}"
        )
    };
    add("FLASH", flash.origin, flash_bytes)?;
    add("STACK", ram.origin, *stack_bytes)?;
    add("RAM", ram.origin + stack_bytes, ram_bytes - stack_bytes)?;
    let weights_at = if weights == code {
        "FLASH"
    } else {
        add("WEIGHTS", weights_region.origin, weights_region.length)?;
        "WEIGHTS"
    };
    write!(
        map,
        "}}
_stack_start = ORIGIN(STACK) + LENGTH(STACK);
_stack_end = ORIGIN(STACK);
SECTIONS
{{
  .weights : ALIGN(8)
  {{
    *(.rodata.*tadpool_model*);
    . = ALIGN(8);
  }} > {weights_at}
}}
INSERT AFTER .rodata;
"
    )?;
    Ok(map)
}
