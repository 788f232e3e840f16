//! `cargo xtask bench`: checks the kernels on every kind of core and counts
//! their instructions, in the emulator.
//!
//! QEMU with `-icount shift=0` lets one nanosecond pass an instruction, so the
//! core's SysTick counts instructions; the image finds out with a loop of known
//! length how many make a tick. A count is exact to within one tick, and is not
//! latency: no wait states, no caches, no dual issue, no MVE beats.
//!
//! `firmware/kernel-bench/counts.tsv` holds the counts of the last run that was
//! saved. A run prints it beside its own and fails if a core writes other bytes
//! than the host.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tadpool_kernels::cases::{self, COUNTED, Case, EDGES, POOLFORMER, Seed};
use tadpool_kernels::layout::Rows;

use crate::run::{root, shown};
use crate::toolchain;

/// A core, the machine that has it, and how the kernels are built for it.
struct Core {
    name: &'static str,
    machine: &'static str,
    target: &'static str,
    kernels: &'static str,
    /// What rustc calls the core where the target alone does not tell.
    cpu: Option<&'static str>,
}

const CORES: &[Core] = &[
    core("Cortex-M0", "microbit", "thumbv6m-none-eabi", "portable"),
    core("Cortex-M3", "lm3s6965evb", "thumbv7m-none-eabi", "portable"),
    core("Cortex-M4", "mps2-an386", "thumbv7em-none-eabihf", "dsp"),
    core("Cortex-M7", "mps2-an500", "thumbv7em-none-eabihf", "dsp"),
    core(
        "Cortex-M33",
        "mps2-an505",
        "thumbv8m.main-none-eabihf",
        "dsp",
    ),
    Core {
        cpu: Some("cortex-m55"),
        ..core(
            "Cortex-M55",
            "mps3-an547",
            "thumbv8m.main-none-eabihf",
            "helium",
        )
    },
];

const fn core(
    name: &'static str,
    machine: &'static str,
    target: &'static str,
    kernels: &'static str,
) -> Core {
    Core {
        name,
        machine,
        target,
        kernels,
        cpu: None,
    }
}

/// Counts by core and what was counted.
type Counts = BTreeMap<(String, String), u64>;

/// Runs the benchmark on all cores or on the one of a name, and saves its
/// counts if asked to.
pub(crate) fn bench(only: Option<&str>, save: bool) -> Result<()> {
    let file = root().join("firmware/kernel-bench/counts.tsv");
    let previous = parse(&fs::read_to_string(&file).unwrap_or_default());
    let mut counts = if only.is_some() {
        previous.clone()
    } else {
        Counts::new()
    };
    let chosen: Vec<_> = CORES
        .iter()
        .filter(|core| only.is_none_or(|only| core.name.eq_ignore_ascii_case(only)))
        .collect();
    ensure!(!chosen.is_empty(), "there is no core of that name");
    for core in chosen {
        let lines = core.run()?;
        let checked = core.check(&lines)?;
        let mut counted = core.counted(&lines)?;
        counted.push((
            "code size of a PoolFormer's kernels".into(),
            core.code_size()?,
            0,
        ));
        println!(
            "\n{} ({}), {checked} checks passed",
            core.name, core.kernels
        );
        print!("{}", table(core.name, &counted, &previous));
        for (what, count, _) in counted {
            counts.insert((core.name.into(), what), count);
        }
    }
    if save {
        fs::write(&file, render(&counts))?;
        println!("\nsaved {}", file.display());
    }
    Ok(())
}

impl Core {
    /// Builds one of the two programs.
    fn build(&self, program: &str, features: &[&str]) -> Result<PathBuf> {
        let folder = root().join("firmware/kernel-bench");
        let target_folder = root().join("target/kernel-bench").join(self.machine);
        let toolchain = toolchain::for_target(self.target)
            .with_context(|| format!("no compiler for {}: run `cargo xtask setup`", self.target))?;
        let mut features = features.to_vec();
        if self.kernels != "portable" {
            features.push(self.kernels);
        }
        let mut build = toolchain.command("build", self.target);
        build
            .args(["--release", "--quiet", "--bin", program])
            .args(["--features", &features.join(",")])
            .current_dir(folder)
            .env("CARGO_TARGET_DIR", &target_folder)
            .env("TADPOOL_MACHINE", self.machine);
        if let Some(cpu) = self.cpu {
            build.env("RUSTFLAGS", format!("-Ctarget-cpu={cpu}"));
        }
        ensure!(build.status()?.success(), "`{}` failed", shown(&build));
        Ok(target_folder
            .join(self.target)
            .join("release")
            .join(program))
    }

    /// The lines that the image prints.
    fn run(&self) -> Result<Vec<String>> {
        let image = self.build("tadpool-kernel-bench", &[])?;
        let mut emulator = Command::new("qemu-system-arm");
        emulator
            .args(["-machine", self.machine, "-nographic", "-icount", "shift=0"])
            .args(["-semihosting-config", "enable=on,target=native", "-kernel"])
            .arg(image)
            .stdin(Stdio::null());
        let output = emulator.output().context("cannot run qemu-system-arm")?;
        ensure!(output.status.success(), "`{}` failed", shown(&emulator));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Compares the self-test's checksums with the host's.
    fn check(&self, lines: &[String]) -> Result<usize> {
        let mut memory = Memory::new();
        let mut checked = 0;
        for fields in fields(lines, "check") {
            let [index, seed, checksum] = fields[..] else {
                bail!("{}: a check has {} fields", self.name, fields.len());
            };
            let case = EDGES.get(index.parse::<usize>()?).context("no such case")?;
            let expected = memory.checksum(case, Seed(seed.parse()?))?;
            ensure!(
                checksum == expected,
                "{}: {case:?} with seed {seed} differs",
                self.name
            );
            checked += 1;
        }
        ensure!(
            checked == 6 * EDGES.len(),
            "{}: {checked} checks were run",
            self.name
        );
        Ok(checked)
    }

    /// What was counted, each with the operations that it has.
    fn counted(&self, lines: &[String]) -> Result<Vec<(String, u64, u64)>> {
        let mut memory = Memory::new();
        let mut counted: Vec<(String, u64, u64)> = Vec::new();
        let (mut network, mut steps, mut macs) = (0, 0, 0);
        for fields in fields(lines, "count") {
            let [index, layout, checksum, count] = fields[..] else {
                bail!("{}: a case could not be counted", self.name);
            };
            let (index, count) = (index.parse::<usize>()?, count.parse::<u64>()?);
            let case = COUNTED.get(index).context("no such case")?;
            let expected = memory.checksum(case, Seed(2))?;
            ensure!(
                checksum == expected,
                "{}: {case:?} differs in {layout}",
                self.name
            );
            if index >= POOLFORMER {
                (network, steps) = (network + count, steps + 1);
                macs += case.macs() as u64;
            }
            let name = name(case);
            if !counted.iter().any(|(known, ..)| *known == name) {
                counted.push((name, count, operations(case)));
            }
        }
        if steps == COUNTED.len() - POOLFORMER {
            counted.push(("CIFAR-10 PoolFormer, all steps".into(), network, macs));
        }
        Ok(counted)
    }

    /// Bytes of code that a PoolFormer's kernels add to an image.
    fn code_size(&self) -> Result<u64> {
        let size = |features| code(&fs::read(self.build("size", features)?)?);
        Ok(size(&[])?.saturating_sub(size(&["empty"])?))
    }
}

/// Memory in which the host makes cases.
struct Memory(Vec<u8>);

impl Memory {
    fn new() -> Self {
        Self(vec![0; (4 << 20) + 3])
    }

    /// The checksum that a core is to have.
    fn checksum(&mut self, case: &Case, seed: Seed) -> Result<String> {
        let start = self.0.as_ptr().align_offset(4);
        let memory = &mut self.0[start..];
        match cases::run::<Rows>(case, seed, memory) {
            Ok(checksum) => Ok(format!("{checksum:08x}")),
            Err(fault) => bail!("{case:?}: {fault}"),
        }
    }
}

fn fields<'a>(lines: &'a [String], kind: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    lines.iter().filter_map(move |line| {
        let mut fields = line.split_whitespace();
        (fields.next()? == kind).then(|| fields.collect())
    })
}

fn name(case: &Case) -> String {
    match case {
        Case::Pointwise([tokens, inputs, outputs]) => {
            format!("matrix product {tokens}x({inputs}->{outputs})")
        }
        Case::ChannelMlp([tokens, channels, hidden, _]) => {
            format!("channel MLP {tokens}x({channels}->{hidden}->{channels})")
        }
        Case::PatchEmbedding([size, channels, outputs, kernel, stride, padding]) => format!(
            "patch embedding {size}x{size}x{channels} k{kernel} s{stride} p{padding} -> {outputs}"
        ),
        Case::Pooling([rows, columns, channels]) => {
            format!("pooling mixer {rows}x{columns}x{channels}")
        }
        Case::Identity([tokens, channels]) => format!("identity mixer {tokens}x{channels}"),
        Case::Head([tokens, channels, classes]) => {
            format!("head {tokens}x{channels} -> {classes}")
        }
    }
}

/// Multiply-accumulates, or elements where there are none.
fn operations(case: &Case) -> u64 {
    match case {
        Case::Head([tokens, channels, _]) => (tokens * channels) as u64,
        _ if case.has_matrix() => case.macs() as u64,
        _ => case.elements() as u64,
    }
}

fn table(core: &str, counted: &[(String, u64, u64)], previous: &Counts) -> String {
    let mut text = format!(
        "{:<48} {:>11} {:>9} {:>11} {:>8}\n",
        "", "count", "per op", "previous", "change"
    );
    for (what, count, operations) in counted {
        let ratio = match operations {
            0 => String::new(),
            _ => format!("{:.4}", *count as f64 / *operations as f64),
        };
        let (before, change) = match previous.get(&(core.to_owned(), what.clone())) {
            Some(&before) if before > 0 => {
                let change = 100.0 * (*count as f64 / before as f64 - 1.0);
                (before.to_string(), format!("{change:+.2} %"))
            }
            _ => (String::new(), String::new()),
        };
        let _ = writeln!(
            text,
            "{what:<48} {count:>11} {ratio:>9} {before:>11} {change:>8}"
        );
    }
    text
}

fn parse(text: &str) -> Counts {
    let line = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        Some((
            (fields.next()?, fields.next()?),
            fields.next()?.parse().ok()?,
        ))
    };
    text.lines().filter_map(line).collect()
}

fn render(counts: &Counts) -> String {
    let mut text =
        String::from("# Written by `cargo xtask bench --save`: instructions, and bytes of code.\n");
    for ((core, what), count) in counts {
        let _ = writeln!(text, "{core}\t{what}\t{count}");
    }
    text
}

/// Bytes of the executable sections of a 32-bit little-endian ELF file.
fn code(elf: &[u8]) -> Result<u64> {
    let word = |at: usize| -> Option<usize> {
        let bytes = elf.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes) as usize)
    };
    let half = |at: usize| -> Option<usize> {
        let bytes = elf.get(at..at + 2)?.try_into().ok()?;
        Some(u16::from_le_bytes(bytes) as usize)
    };
    let sum = || {
        let (headers, size, count) = (word(0x20)?, half(0x2e)?, half(0x30)?);
        let mut sum = 0;
        for section in 0..count {
            let header = headers + section * size;
            const EXECUTABLE: usize = 4;
            if word(header + 8)? & EXECUTABLE != 0 {
                sum += word(header + 20)? as u64;
            }
        }
        Some(sum)
    };
    sum().context("not an ELF file")
}
