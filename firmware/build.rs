//! Turns the board's file into the linker's memory map, and into the constants
//! that the start-up code needs.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use tadpool_boards::{Board, Budget, BusyRegister, KernelVariant, Uart};

/// Bytes below the stack that are closed to every access, at most: more than any function's
/// frame.
const MOST_GUARD_BYTES: u32 = 8 << 10;
/// The least that a memory protection unit of Armv6-M closes.
const LEAST_GUARD_BYTES: u32 = 256;

/// More than any image takes, less than there is between memories of most boards.
const UNLIMITED_BYTES: u32 = 0x0400_0000;

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
    if has_slots() {
        // The host moves the constants from the slot that they are linked for to the other.
        println!("cargo::rustc-link-arg-bins=--emit-relocs");
    }
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

/// Whether the model's constants are in slots.
fn has_slots() -> bool {
    env::var_os("CARGO_FEATURE_SLOTS").is_some()
}

/// The variable that cargo sets if the feature named `name` is on.
fn feature_variable(name: &str) -> String {
    format!("CARGO_FEATURE_{}", name.to_uppercase().replace('-', "_"))
}

/// The values of the board's file that the start-up code needs, as source.
fn constants(board: &Board) -> Result<String, Box<dyn Error>> {
    let Board { name, counter, .. } = board;
    let weights = board.region("weights", &board.layout.weights)?.origin;
    let mut source = format!(
        "/// The board's name.
pub(crate) const NAME: &str = {name:?};
/// Ticks of the counter in a second; 0 if nobody knows.
pub(crate) const COUNTER_HZ: u32 = {};
/// Where the memory begins that holds the weights.
#[allow(dead_code)]
pub(crate) const WEIGHTS_ORIGIN: u32 = {weights:#x};
",
        counter.frequency_hz.unwrap_or(0)
    );
    write!(
        source,
        "/// Bytes below the stack that are closed to every access; none where the core has a limit
/// of the stack's pointer, or where the image has something.
pub(crate) const GUARD_BYTES: u32 = {};
",
        guard_bytes(board)?
    )?;
    if let Some(parts) = board.layout.check_weights.parts() {
        write!(
            source,
            "/// Inferences in which all weights are checked once.
#[allow(dead_code)]
pub(crate) const CHECK_PARTS: usize = {parts};
"
        )?;
    }
    if let Some(watchdog) = &board.watchdog {
        write!(
            source,
            "/// How long nothing may go on until the watchdog resets the board.
#[allow(dead_code)]
pub(crate) const WATCHDOG_LIMIT_MS: u32 = {};
",
            watchdog.limit_ms
        )?;
    }
    if has_slots() {
        let [first, second] = board.slots().ok_or("the board has no slots for weights")?;
        write!(
            source,
            "/// Where the slots of the weights begin, and the bytes of each.
pub(crate) const SLOTS: [usize; 2] = [{:#x}, {:#x}];
pub(crate) const SLOT_BYTES: usize = {:#x};
",
            first.origin, second.origin, first.length
        )?;
    }
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

/// Bytes below the stack that can be closed: a power of two that the stack's lower end is a
/// multiple of.
fn guard_bytes(board: &Board) -> Result<u32, Box<dyn Error>> {
    let layout = &board.layout;
    let end = board.region("ram", &layout.ram)?.origin;
    let bytes = MOST_GUARD_BYTES.min(1 << end.trailing_zeros().min(31));
    let start = end.saturating_sub(bytes);
    let mut is_free = end >= bytes && bytes >= LEAST_GUARD_BYTES;
    let rings = layout.rings.as_ref().unwrap_or(&layout.ram);
    for name in [&layout.code, &layout.weights, rings] {
        let region = board.region("code", name)?;
        let is_below = u64::from(region.origin) + u64::from(region.length) <= start.into();
        is_free &= is_below || region.origin >= end;
    }
    let has_limit = env::var("TARGET")?.starts_with("thumbv8m");
    Ok(if is_free && !has_limit { bytes } else { 0 })
}

/// `memory.x` for cortex-m-rt's linker script. The model's statics get sections of their own,
/// so that its weights can be weighed, or lie in another memory. RTT's rings come first in
/// RAM, where some chips have tightly coupled memory, or lie in a memory of their own.
///
/// The weights of the steps that `TADPOOL_COPIED_WEIGHTS` names lie in RAM. `INSERT AFTER
/// .data` makes cortex-m-rt copy them there at start, with the initial values of variables.
fn memory_map(board: &Board) -> Result<String, Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=TADPOOL_COPIED_WEIGHTS");
    let weights_at = match board.layout.weights == board.layout.code {
        true => "FLASH",
        false if has_slots() => "SLOT",
        false => "WEIGHTS",
    };
    let headers = match has_slots() {
        true => {
            "SECTIONS
{
  .slot_header : { KEEP(*(.tadpool.slot_header)) } > SLOT_HEADER
  .other_slot : { KEEP(*(.tadpool.other_slot)) } > OTHER_HEADER
}
INSERT BEFORE .weights;
"
        }
        false => "",
    };
    let map = board.memory_map()?;
    let names = env::var("TADPOOL_COPIED_WEIGHTS").unwrap_or_default();
    let mut copied = String::new();
    for name in names.split(',').filter(|name| !name.is_empty()) {
        // Mangled names have the length in front, so none is found within another.
        let length = name.len();
        writeln!(copied, "    *(.rodata.*tadpool_model*{length}{name}*);")?;
    }
    let (rings_at, control_block) = match &board.layout.rings {
        Some(_) => ("RINGS", "*(.data.tadpool_rings);"),
        None => ("RAM", ""),
    };
    Ok(format!(
        "{map}SECTIONS
{{
  .copied_weights : ALIGN(8)
  {{
    _tadpool_copied_weights_start = .;
{copied}    . = ALIGN(8);
    _tadpool_copied_weights_end = .;
  }} > RAM AT>FLASH
}}
INSERT AFTER .data;
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
SECTIONS
{{
  .tadpool_rings_control : ALIGN(4)
  {{
    _tadpool_rings_start = .;
    {control_block}
    . = ALIGN(4);
    _tadpool_rings_end = .;
  }} > {rings_at} AT > FLASH
  _tadpool_rings_load = LOADADDR(.tadpool_rings_control);
  .tadpool_rings (NOLOAD) : ALIGN(4) {{ *(.bss.tadpool_rings) }} > {rings_at}
}}
INSERT BEFORE .data;
{headers}"
    ))
}
