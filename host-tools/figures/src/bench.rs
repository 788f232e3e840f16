//! `cargo xtask bench`: checks the kernels on every kind of core and counts
//! their instructions, in the emulator.
//!
//! QEMU with `-icount shift=0` lets one nanosecond pass an instruction, so the
//! core's SysTick counts instructions; the image finds out with a loop of known
//! length how many make a tick. A count is exact to within one tick, and is not
//! latency: no wait states, no caches, no dual issue, no MVE beats.
//!
//! Of the Cortex-M4, the Cortex-M7 and the Cortex-M55 enough is published to estimate
//! cycles too, at zero wait states ([`tadpool_cycles`]), from what was executed
//! ([`estimate`]). These are estimates: no board has confirmed them. A check makes none.
//!
//! `firmware/kernel-bench/counts.tsv` holds the counts of the last run that was
//! saved, and the compiler that made them. A run prints it beside its own and
//! fails if a core writes other bytes than the host; as a check it fails too if a
//! count rose or if the saved table lacks one.

mod core;
mod elf;
mod estimate;
mod table;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

pub(crate) use self::core::operations;
pub(crate) use self::table::Saved;

use self::core::CORES;
use self::table::{change, table};
use crate::repository::{cargo, root, run};

/// Percent by which a count may rise: what another release of the compiler, or
/// the length of a tick, makes of the same source.
const TOLERANCE: f64 = 2.0;

const MANIFEST: &str = "firmware/kernel-bench/Cargo.toml";

/// Runs the benchmark on all cores or on the one of a name, and saves its
/// counts if asked to.
pub(crate) fn bench(only: Option<&str>, save: bool) -> Result<()> {
    let saved = saved();
    let mut counts = Saved::parse(&saved.render());
    counts.compiler = compiler()?;
    let chosen: Vec<_> = CORES
        .iter()
        .filter(|core| only.is_none_or(|only| core.name.eq_ignore_ascii_case(only)))
        .collect();
    ensure!(!chosen.is_empty(), "there is no core of that name");
    for core in chosen {
        let (checked, rows) = core.measure(true)?;
        println!(
            "\n{} ({} kernels), {checked} checks passed",
            core.name, core.kernels
        );
        print!("{}", table(core.name, &rows, &saved));
        for gone in counts.replace(core.name, &rows) {
            println!("{gone}: saved, and not counted any more");
        }
    }
    println!("\n{}", provenance(&saved, &counts.compiler));
    if save {
        let file = file();
        fs::write(&file, counts.render()).with_context(|| file.display().to_string())?;
        println!("saved {}", file.display());
    }
    Ok(())
}

/// Fails if a core writes other bytes than the host, or if the saved table does
/// not show what the kernels cost.
pub(crate) fn check() -> Result<()> {
    let saved = saved();
    let mut complaints = Vec::new();
    for core in CORES {
        let (checked, rows) = core.measure(false)?;
        println!(
            "{}: {checked} checks passed, {} counts",
            core.name,
            rows.len()
        );
        for row in &rows {
            match saved.get(core.name, &row.what) {
                Some(before) if before > 0 => {
                    let change = change(row.count, before);
                    if change.abs() > TOLERANCE {
                        println!("{}, {}: {change:+.1} %", core.name, row.what);
                    }
                    if change > TOLERANCE {
                        complaints.push(format!("{}, {}: {change:+.1} %", core.name, row.what));
                    }
                }
                _ => complaints.push(format!("{}, {}: not saved", core.name, row.what)),
            }
        }
        let mut counts = Saved::parse(&saved.render());
        for gone in counts.replace(core.name, &rows) {
            complaints.push(format!("{}, {gone}: saved, and not counted", core.name));
        }
    }
    println!("{}", provenance(&saved, &compiler()?));
    ensure!(
        complaints.is_empty(),
        "the counts of the kernels are not those of {}; if that is right, run \
         `cargo xtask bench --save`:\n{}",
        file().display(),
        complaints.join("\n")
    );
    Ok(())
}

/// Checks format and style of the benchmark's image.
pub(crate) fn lint() -> Result<()> {
    run(&mut cargo(["fmt", "--check", "--manifest-path", MANIFEST]))?;
    let mut linted = Vec::new();
    for core in CORES {
        if !linted.contains(&(core.kernels, core.target)) {
            linted.push((core.kernels, core.target));
            core.clippy()?;
        }
    }
    Ok(())
}

fn file() -> PathBuf {
    root().join("firmware/kernel-bench/counts.tsv")
}

fn saved() -> Saved {
    Saved::parse(&fs::read_to_string(file()).unwrap_or_default())
}

fn provenance(saved: &Saved, compiler: &str) -> String {
    if saved.compiler == compiler {
        format!("counted with {compiler}, as the saved counts")
    } else {
        format!(
            "counted with {compiler}, the saved counts with {}",
            if saved.compiler.is_empty() {
                "an unknown compiler"
            } else {
                &saved.compiler
            }
        )
    }
}

/// The compiler's name and version.
fn compiler() -> Result<String> {
    let output = Command::new("rustc").arg("-V").output();
    let output = output.context("cannot run `rustc -V`")?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .split(" (")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned())
}
