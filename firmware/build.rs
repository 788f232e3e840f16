//! Turns the board's file into the linker's memory map, and into the constants
//! that the start-up code needs.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde::Deserialize;

/// The part of a board's file that the image depends on.
#[derive(Deserialize)]
struct Board {
    name: String,
    startup: Option<String>,
    target: String,
    kernels: String,
    memory: BTreeMap<String, Region>,
    layout: Layout,
    #[serde(default)]
    budget: Budget,
    counter: Counter,
    busy_register: Option<BusyRegister>,
    uart: Option<Uart>,
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
    boot: Option<Boot>,
}

/// What the boot ROM reads beside the vector table.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Boot {
    /// A second boot loader, in the 256 bytes before it.
    SecondStage,
    /// What kind of image this is, within the first 4 KB.
    ImageDefinition,
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

#[derive(Deserialize)]
struct BusyRegister {
    address: u32,
    mask: u32,
}

#[derive(Deserialize)]
struct Uart {
    baud: u32,
    #[serde(default)]
    address: u32,
}

/// More than any image takes, less than there is between memories of most boards.
const UNLIMITED_BYTES: u32 = 0x0400_0000;
const SECOND_STAGE_BYTES: u32 = 0x100;

fn main() -> Result<(), Box<dyn Error>> {
    // Messages below this level are not compiled in.
    println!("cargo::rerun-if-env-changed=DEFMT_LOG");
    let level = env::var("DEFMT_LOG").unwrap_or_else(|_| "info".into());
    println!("cargo::rustc-env=DEFMT_LOG={level}");
    println!("cargo::rustc-check-cfg=cfg(tadpool_armv6m)");
    if env::var("CARGO_CFG_TARGET_OS")? != "none" {
        return Ok(()); // the host's tests of the library
    }
    let firmware = match env::var_os("TADPOOL_FIRMWARE") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env::var("CARGO_MANIFEST_DIR")?),
    };
    println!("cargo::rerun-if-env-changed=TADPOOL_FIRMWARE");
    println!("cargo::rerun-if-env-changed=TADPOOL_BOARD_FILE");
    let (file, board) = match env::var_os("TADPOOL_BOARD_FILE") {
        Some(file) => {
            let file = PathBuf::from(file);
            let board = read(&file)?;
            (file, board)
        }
        None => the_only_match(&firmware.join("boards"))?,
    };
    println!("cargo::rerun-if-changed={}", file.display());
    let (name, target) = (&board.name, env::var("TARGET")?);
    if !matches(&board) {
        return Err(format!(
            "board `{name}` needs --no-default-features --features {},{}",
            startup(&board),
            board.kernels
        )
        .into());
    }
    if target != board.target {
        let needed = &board.target;
        return Err(format!("board `{name}` needs --target {needed}, not {target}").into());
    }
    if env::var_os("CARGO_FEATURE_MLPERF_UART").is_some() && board.uart.is_none() {
        return Err(format!("board `{name}` has no [uart]").into());
    }
    if target.starts_with("thumbv6m") {
        println!("cargo::rustc-cfg=tadpool_armv6m");
    }
    // Set to weigh an image that does not fit.
    println!("cargo::rerun-if-env-changed=TADPOOL_UNLIMITED");
    let mut board = board;
    if env::var_os("TADPOOL_UNLIMITED").is_some() {
        println!("cargo::rustc-link-arg-bins=--no-check-sections");
        board.budget = Budget::default();
        for region in board.memory.values_mut() {
            region.length = UNLIMITED_BYTES;
        }
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let map = memory_map(&board).map_err(|e| format!("{}: {e}", file.display()))?;
    fs::write(out.join("memory.x"), map)?;
    fs::write(out.join("board.rs"), constants(&board)?)?;
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bin=tadpool-firmware=-Tdefmt.x");
    Ok(())
}

fn read(file: &Path) -> Result<Board, Box<dyn Error>> {
    let wrong = |e: &dyn Error| format!("{}: {e}", file.display());
    let text = fs::read_to_string(file).map_err(|e| wrong(&e))?;
    Ok(toml::from_str(&text).map_err(|e| wrong(&e))?)
}

/// The board whose start-up code and kernels are on, if no file was named.
fn the_only_match(boards: &Path) -> Result<(PathBuf, Board), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", boards.display());
    let target = env::var("TARGET")?;
    let mut found = Vec::new();
    for entry in fs::read_dir(boards).map_err(|e| format!("{}: {e}", boards.display()))? {
        let file = entry?.path();
        let board = read(&file)?;
        if matches(&board) && board.target == target {
            found.push((file, board));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let names: Vec<&str> = found.iter().map(|(_, board)| board.name.as_str()).collect();
    match names[..] {
        [] => Err(format!(
            "no board of {target} has these features; see {}",
            boards.display()
        )
        .into()),
        [_] => Ok(found.remove(0)),
        _ => Err(format!("name one of {names:?}: TADPOOL_BOARD_FILE=its file").into()),
    }
}

/// Whether the features that are on are those of the board.
fn matches(board: &Board) -> bool {
    let is_on = |feature: &str| env::var_os(feature_variable(feature)).is_some();
    let kernels = ["dsp", "dsp-m7", "helium"];
    is_on(startup(board))
        && kernels
            .iter()
            .all(|&variant| is_on(variant) == (variant == board.kernels))
}

/// The feature of the board's start-up code.
fn startup(board: &Board) -> &str {
    board.startup.as_deref().unwrap_or(&board.name)
}

/// What cargo sets if the feature named `name` is on.
fn feature_variable(name: &str) -> String {
    format!("CARGO_FEATURE_{}", name.to_uppercase().replace('-', "_"))
}

/// What the start-up code needs of the board's file, as source.
fn constants(board: &Board) -> Result<String, Box<dyn Error>> {
    let Board { name, counter, .. } = board;
    let weights = region(board, "weights", &board.layout.weights)?.origin;
    let mut source = format!(
        "/// The board's name.
pub(crate) const NAME: &str = {name:?};
/// Ticks of the counter in a second.
pub(crate) const COUNTER_HZ: u32 = {};
/// Where the memory begins that holds the weights.
#[allow(dead_code)]
pub(crate) const WEIGHTS_ORIGIN: u32 = {weights:#x};
",
        counter.frequency_hz
    );
    if let Some(BusyRegister { address, mask }) = board.busy_register {
        write!(
            source,
            "/// Output register of the busy pin, and its bit.
#[allow(dead_code)]
pub(crate) const BUSY_REGISTER: (usize, u32) = ({address:#x}, {mask:#x});
"
        )?;
    }
    if let Some(Uart { baud, address }) = board.uart {
        write!(
            source,
            "/// Where the UART's registers are, if a HAL does not know.
#[allow(dead_code)]
pub(crate) const UART_BASE: usize = {address:#x};
/// Bits in a second.
#[allow(dead_code)]
pub(crate) const UART_BAUD: u32 = {baud};
"
        )?;
    }
    Ok(source)
}

/// `memory.x` for cortex-m-rt's linker script.
///
/// The stack lies below everything else in RAM, so that one that grows too
/// large runs into nothing and faults. The model's statics get a section of
/// their own, so that its weights can be weighed, or lie in another memory.
fn memory_map(board: &Board) -> Result<String, Box<dyn Error>> {
    let Layout {
        code,
        weights,
        ram,
        stack_bytes,
        boot,
    } = &board.layout;
    let flash = region(board, "code", code)?;
    let weights_region = region(board, "weights", weights)?;
    let ram = region(board, "ram", ram)?;
    let flash_bytes = board
        .budget
        .flash_bytes
        .unwrap_or(flash.length)
        .min(flash.length);
    let ram_bytes = board.budget.ram_bytes.unwrap_or(ram.length).min(ram.length);
    if stack_bytes % 8 != 0 || *stack_bytes >= ram_bytes {
        let problem = "is not a multiple of 8 below the RAM's length";
        return Err(format!("layout.stack_bytes = {stack_bytes} {problem}").into());
    }
    let mut map = format!("/* Generated for {}. */\nMEMORY\n{{\n", board.name);
    let mut add = |name: &str, origin: u32, length: u32| {
        writeln!(
            map,
            "  {name} : ORIGIN = {origin:#010x}, LENGTH = {length:#x}"
        )
    };
    let before = match boot {
        Some(Boot::SecondStage) => SECOND_STAGE_BYTES,
        _ => 0,
    };
    if before > 0 {
        add("BOOT", flash.origin, before)?;
    }
    add("FLASH", flash.origin + before, flash_bytes - before)?;
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
    map += match boot {
        None => "",
        Some(Boot::SecondStage) => {
            "SECTIONS
{
  .boot2 ORIGIN(BOOT) : { KEEP(*(.boot2)); } > BOOT
}
INSERT BEFORE .vector_table;
"
        }
        Some(Boot::ImageDefinition) => {
            "SECTIONS
{
  .start_block : ALIGN(4) { KEEP(*(.start_block)); } > FLASH
}
INSERT AFTER .vector_table;
_stext = ADDR(.start_block) + SIZEOF(.start_block);
"
        }
    };
    Ok(map)
}

fn region<'a>(board: &'a Board, field: &str, name: &str) -> Result<&'a Region, Box<dyn Error>> {
    let missing = || format!("layout.{field} names `{name}`, which is not under [memory]");
    Ok(board.memory.get(name).ok_or_else(missing)?)
}
