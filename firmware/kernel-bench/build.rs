//! Writes the memory map of the emulated machine.

use std::{env, fs, path::Path};

/// Machine, flash and RAM as `[origin, size]`.
const MACHINES: &[(&str, [u32; 2], [u32; 2])] = &[
    ("microbit", [0, 256 << 10], [0x2000_0000, 16 << 10]),
    ("mps2-an385", [0, 4 << 20], [0x2100_0000, 16 << 20]),
    ("mps2-an386", [0, 4 << 20], [0x2100_0000, 16 << 20]),
    ("mps2-an500", [0, 4 << 20], [0x6000_0000, 16 << 20]),
    (
        "mps2-an505",
        [0x1000_0000, 4 << 20],
        [0x8000_0000, 16 << 20],
    ),
    ("mps3-an547", [0, 512 << 10], [0x6000_0000, 16 << 20]),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=TADPOOL_MACHINE");
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    let name = env::var("TADPOOL_MACHINE").unwrap_or_else(|_| "mps2-an386".into());
    let Some((_, flash, ram)) = MACHINES.iter().find(|(machine, ..)| *machine == name) else {
        println!("cargo::error=TADPOOL_MACHINE names no machine: {name}");
        return;
    };
    let region = |name, [origin, size]: [u32; 2]| {
        format!("{name} : ORIGIN = {origin:#x}, LENGTH = {size:#x}\n")
    };
    let map = format!(
        "MEMORY {{\n{}{}}}\n",
        region("FLASH", *flash),
        region("RAM", *ram)
    );
    let out = env::var("OUT_DIR").unwrap();
    fs::write(Path::new(&out).join("memory.x"), map).unwrap();
    println!("cargo::rustc-link-search={out}");

    println!("cargo::rustc-check-cfg=cfg(small)");
    if ram[1] < 1 << 20 {
        println!("cargo::rustc-cfg=small");
    }
}
