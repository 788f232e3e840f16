//! Turns the board's file into the linker's memory map, and into the constants
//! that the start-up code needs.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use tadpool_boards::{Board, Boot, Budget, BusyRegister, KernelVariant, Layout, Region, Uart};

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
    println!("cargo::rerun-if-env-changed=TADPOOL_BOARD");
    let mut board = match env::var("TADPOOL_BOARD") {
        Ok(board) => tadpool_boards::find(&board)?,
        Err(_) => the_only_match()?,
    };
    if let Some(file) = &board.file {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let (name, target) = (&board.name, env::var("TARGET")?);
    if !matches(&board) {
        return Err(format!(
            "board `{name}` needs --no-default-features --features {},{}",
            board.startup(),
            board.kernels.name()
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
    if env::var_os("TADPOOL_UNLIMITED").is_some() {
        println!("cargo::rustc-link-arg-bins=--no-check-sections");
        board.budget = Budget::default();
        for region in board.memory.values_mut() {
            region.length = UNLIMITED_BYTES;
        }
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("memory.x"), memory_map(&board)?)?;
    fs::write(out.join("board.rs"), constants(&board)?)?;
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bin=tadpool-firmware=-Tdefmt.x");
    Ok(())
}

/// The board whose start-up code and kernels are on, if none was named.
fn the_only_match() -> Result<Board, Box<dyn Error>> {
    let target = env::var("TARGET")?;
    let mut found = Vec::new();
    for name in tadpool_boards::names() {
        let board = tadpool_boards::find(name)?;
        if matches(&board) && board.target == target {
            found.push(board);
        }
    }
    match found.len() {
        0 => Err(format!("no board of {target} has these features").into()),
        1 => Ok(found.remove(0)),
        _ => {
            let names: Vec<&str> = found.iter().map(|board| board.name.as_str()).collect();
            Err(format!("set TADPOOL_BOARD to one of {names:?}").into())
        }
    }
}

/// Whether the features that are on are those of the board.
fn matches(board: &Board) -> bool {
    let is_on = |feature: &str| env::var_os(feature_variable(feature)).is_some();
    is_on(board.startup())
        && KernelVariant::ALL
            .iter()
            .filter(|&&kernels| kernels != KernelVariant::Portable)
            .all(|&kernels| is_on(kernels.name()) == (kernels == board.kernels))
}

/// The variable that cargo sets if the feature named `name` is on.
fn feature_variable(name: &str) -> String {
    format!("CARGO_FEATURE_{}", name.to_uppercase().replace('-', "_"))
}

/// The values of the board's file that the start-up code needs, as source.
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
    if let Some(BusyRegister { address, mask }) = &board.busy_register {
        write!(
            source,
            "/// Output register of the busy pin, and its bit.
#[allow(dead_code)]
pub(crate) const BUSY_REGISTER: (usize, u32) = ({address:#x}, {mask:#x});
"
        )?;
    }
    if let Some(Uart { baud, address, .. }) = &board.uart {
        let address = address.unwrap_or(0);
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
    _tadpool_weights_start = .;
    *(.rodata.*tadpool_model*);
    . = ALIGN(8);
    _tadpool_weights_end = .;
  }} > {weights_at}
  .tadpool.model_hash (INFO) : {{ KEEP(*(.tadpool.model_hash)) }}
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
