//! The cores, and what the benchmark's image does on each.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tadpool_cycles::pipeline::Core as Timing;
use tadpool_kernels::cases::{self, COUNTED, Case, EDGES, POOLFORMER, SEEDS, Seed};
use tadpool_kernels::layout::Rows;
use tadpool_toolchain::emulator::qemu;

use super::elf;
use super::estimate::{self, Executed};
use super::table::Row;
use crate::repository::{root, run};

/// How long the image may run; it takes a few seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// A core, the machine that has it, and how the kernels are built for it.
pub(super) struct Core {
    pub(super) name: &'static str,
    machine: &'static str,
    pub(super) target: &'static str,
    pub(super) kernels: &'static str,
    /// rustc's name of the core, where the target alone does not tell.
    cpu: Option<&'static str>,
    /// The model of its pipeline, if enough of it is published.
    timing: Option<Timing>,
}

pub(super) const CORES: &[Core] = &[
    core("Cortex-M0", "microbit", "thumbv6m-none-eabi", "portable"),
    core("Cortex-M3", "mps2-an385", "thumbv7m-none-eabi", "portable"),
    Core {
        timing: Some(Timing::CortexM4),
        ..core("Cortex-M4", "mps2-an386", "thumbv7em-none-eabihf", "dsp")
    },
    Core {
        timing: Some(Timing::CortexM7),
        ..core("Cortex-M7", "mps2-an500", "thumbv7em-none-eabihf", "dsp-m7")
    },
    core(
        "Cortex-M33",
        "mps2-an505",
        "thumbv8m.main-none-eabihf",
        "dsp",
    ),
    Core {
        cpu: Some("cortex-m55"),
        timing: Some(Timing::CortexM55),
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
        timing: None,
    }
}

impl Core {
    /// Runs the image and checks what it writes against the host; the number of
    /// checks, and what was counted, with `estimates` of the cycles if they are wanted
    /// and can be made.
    pub(super) fn measure(&self, estimates: bool) -> Result<(usize, Vec<Row>)> {
        let lines = self.run()?;
        let mut memory = Memory::new();
        let checked = self.check(&lines, &mut memory)?;
        let executed = match self.timing.filter(|_| estimates) {
            Some(timing) => self.executed(timing)?,
            None => Vec::new(),
        };
        let mut rows = self.counted(&lines, &executed, &mut memory)?;
        rows.append(&mut self.code_size()?);
        Ok((checked, rows))
    }

    /// Checks the style of the image's source, as it is built for this core.
    pub(super) fn clippy(&self) -> Result<()> {
        let mut clippy = self.cargo("clippy", &[])?;
        run(clippy.args(["--bins", "--", "--deny", "warnings"]))
    }

    /// Cargo for the benchmark, as this core wants it.
    fn cargo(&self, subcommand: &str, features: &[&str]) -> Result<Command> {
        let toolchain = tadpool_toolchain::for_target(self.target)
            .with_context(|| format!("no compiler for {}: run `cargo xtask setup`", self.target))?;
        let mut features = features.to_vec();
        if self.kernels != "portable" {
            features.push(self.kernels);
        }
        let mut cargo = toolchain.command(subcommand, self.target);
        cargo
            .args(["--release", "--quiet", "--locked"])
            .args(["--features", &features.join(",")])
            .current_dir(root().join("firmware/kernel-bench"))
            .env("CARGO_TARGET_DIR", self.target_folder())
            .env("TADPOOL_MACHINE", self.machine);
        if let Some(cpu) = self.cpu {
            cargo.env("RUSTFLAGS", format!("-Ctarget-cpu={cpu}"));
        }
        Ok(cargo)
    }

    fn target_folder(&self) -> PathBuf {
        root().join("target/kernel-bench").join(self.machine)
    }

    /// Builds one of the two programs.
    fn build(&self, program: &str, features: &[&str]) -> Result<PathBuf> {
        let mut build = self.cargo("build", features)?;
        build.args(["--bin", program]);
        run(&mut build)?;
        let folder = self.target_folder().join(self.target);
        Ok(folder.join("release").join(program))
    }

    /// The emulator with the image.
    fn emulator(&self) -> Result<Command> {
        let image = self.build("tadpool-kernel-bench", &[])?;
        let mut emulator = qemu();
        emulator
            .args(["-machine", self.machine, "-nographic"])
            .args(["-semihosting-config", "enable=on,target=native", "-kernel"])
            .arg(image)
            .stdin(Stdio::null());
        Ok(emulator)
    }

    /// The lines that the image prints.
    fn run(&self) -> Result<Vec<String>> {
        let mut emulator = self.emulator()?;
        emulator.args(["-icount", "shift=0"]).stdout(Stdio::piped());
        let mut running = emulator.spawn().context("cannot run qemu-system-arm")?;
        let mut output = running
            .stdout
            .take()
            .context("the emulator has no output")?;
        let (written, text) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            let read = output.read_to_string(&mut text);
            // Nobody waits any more if it took too long.
            let _ = written.send(read.map(|_| text));
        });
        let Ok(text) = text.recv_timeout(LIMIT) else {
            running.kill()?;
            running.wait()?;
            bail!("{}: the kernels do not end within {LIMIT:?}", self.name);
        };
        ensure!(running.wait()?.success(), "{emulator:?} failed");
        Ok(text?.lines().map(str::to_owned).collect())
    }

    /// The instructions that the image executes for each of its rows.
    fn executed(&self, timing: Timing) -> Result<Vec<Executed>> {
        let image = self.build("tadpool-kernel-bench", &[])?;
        let parts = estimate::executed(&image, self.machine, timing, LIMIT)?;
        // First comes the loop of known length; between two rows is what makes their data.
        Ok(parts.into_iter().step_by(2).skip(1).collect())
    }

    /// Compares the self-test's checksums with the host's.
    fn check(&self, lines: &[String], memory: &mut Memory) -> Result<usize> {
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
            checked == SEEDS as usize * EDGES.len(),
            "{}: {checked} checks were run",
            self.name
        );
        Ok(checked)
    }

    /// The counted rows, each with its number of operations and, if `executed` is not
    /// empty, with an estimate of its cycles.
    fn counted(
        &self,
        lines: &[String],
        executed: &[Executed],
        memory: &mut Memory,
    ) -> Result<Vec<Row>> {
        let mut rows: Vec<Row> = Vec::new();
        let (mut network, mut steps, mut macs) = (0, 0, 0);
        let mut network_cycles = Some(0);
        let counts = fields(lines, "count").map(|fields| (false, fields));
        let plain = fields(lines, "plain").map(|fields| (true, fields));
        for (line, (is_plain, fields)) in counts.chain(plain).enumerate() {
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
            let cycles = match executed.get(line) {
                Some(executed) => Some(self.estimated(case, count, executed)?),
                None => None,
            };
            if !is_plain && index >= POOLFORMER {
                (network, steps) = (network + count, steps + 1);
                network_cycles = network_cycles.zip(cycles).map(|(sum, cycles)| sum + cycles);
                macs += case.macs() as u64;
            }
            let mut what = name(case);
            if is_plain {
                what.push_str(", plain loop");
            }
            if !rows.iter().any(|row| row.what == what) {
                rows.push(Row {
                    what,
                    count,
                    operations: operations_of(case),
                    cycles,
                });
            }
        }
        if steps == COUNTED.len() - POOLFORMER {
            rows.push(Row {
                what: "CIFAR-10 PoolFormer, all steps".into(),
                count: network,
                operations: macs,
                cycles: network_cycles,
            });
        }
        Ok(rows)
    }

    /// The estimate of a case's cycles, if the trace has as many instructions as were
    /// counted.
    fn estimated(&self, case: &Case, count: u64, executed: &Executed) -> Result<u64> {
        ensure!(
            executed.instructions.abs_diff(count) <= 100 + count / 1000,
            "{}: {case:?} has {count} instructions, and {} in the trace",
            self.name,
            executed.instructions
        );
        Ok(executed.cycles)
    }

    /// Bytes of code that a PoolFormer's kernels add to an image, in all and by
    /// the step that they are for.
    fn code_size(&self) -> Result<Vec<Row>> {
        let image = |features| anyhow::Ok(fs::read(self.build("size", features)?)?);
        // The same file: the first is read before the second is built.
        let empty = image(&["empty"])?;
        let full = image(&[])?;
        let all = elf::code_size(&full)?.saturating_sub(elf::code_size(&empty)?);
        let functions = elf::functions(&full)?;
        let size = |is_part: &dyn Fn(&str) -> bool| -> u64 {
            let parts = functions.iter().filter(|part| is_part(&part.name));
            parts.map(|part| part.size_bytes).sum()
        };
        let mut rows = Vec::new();
        let mut row = |what: &str, count| {
            rows.push(Row {
                what: format!("code, {what}"),
                count,
                operations: 0,
                cycles: None,
            });
        };
        let mut rest = all;
        for (what, function) in [
            ("patch embedding", "15patch_embedding"),
            ("pooling mixer", "7pooling"),
            ("channel MLP", "11channel_mlp"),
            ("head", "4head"),
        ] {
            let own = size(&|name| name.contains(&format!("10poolformer{function}")));
            ensure!(
                own > 0,
                "{}: the image has no function of the {what}",
                self.name
            );
            rest = rest.saturating_sub(own);
            row(what, own);
        }
        let assembly = size(&|name| name.starts_with("tadpool_"));
        if assembly > 0 {
            row("assembly", assembly);
        }
        row("what they share", rest.saturating_sub(assembly));
        row("all of a PoolFormer", all);
        Ok(rows)
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
        Case::ChannelMlpInt4([tokens, channels, hidden, at_once]) => format!(
            "channel MLP {tokens}x({channels}->{hidden}->{channels}) int4, {at_once} at once"
        ),
        Case::NormedMlp([tokens, channels, hidden, _]) => {
            format!("normed channel MLP {tokens}x({channels}->{hidden}->{channels})")
        }
        Case::PatchEmbedding([size, channels, outputs, window, stride, padding]) => format!(
            "patch embedding {size}x{size}x{channels} k{window} s{stride} p{padding} -> {outputs}"
        ),
        Case::Pooling([rows, columns, channels]) => {
            format!("pooling mixer {rows}x{columns}x{channels}")
        }
        Case::ScaledPooling([rows, columns, channels]) => {
            format!("scaled pooling mixer {rows}x{columns}x{channels}")
        }
        Case::PoolAlone([rows, columns, channels]) => {
            format!("pooling mixer {rows}x{columns}x{channels}, nothing subtracted")
        }
        Case::WidePooling(shape) => wide_pooling(shape),
        Case::WidePoolingInt16(shape) => format!("{} int16", wide_pooling(shape)),
        Case::NormedWidePooling(shape) => format!("{} of normed tokens", wide_pooling(shape)),
        Case::DepthwiseEmbedding(shape) => windows("depthwise embedding", shape),
        Case::DepthwiseEmbeddingInt16(shape) => {
            format!("{} int16", windows("depthwise embedding", shape))
        }
        Case::AveragePool(shape) => windows("average pool", shape),
        Case::MaxPool(shape) => windows("max pool", shape),
        Case::Activation([tokens, channels]) => format!("activation {tokens}x{channels}"),
        Case::ActivationInt16([tokens, channels]) => {
            format!("activation {tokens}x{channels} int16")
        }
        Case::PositionEmbedding([tokens, channels]) => {
            format!("position embedding {tokens}x{channels}")
        }
        Case::PositionEmbeddingInt16([tokens, channels]) => {
            format!("position embedding {tokens}x{channels} int16")
        }
        Case::Identity([tokens, channels]) => format!("identity mixer {tokens}x{channels}"),
        Case::NormedIdentity([tokens, channels]) => {
            format!("identity mixer {tokens}x{channels} of normed tokens")
        }
        Case::RandomMixing([tokens, channels]) => format!("random mixing {tokens}x{channels}"),
        Case::RandomMixingInt16([tokens, channels]) => {
            format!("random mixing {tokens}x{channels} int16")
        }
        Case::SepConv([rows, columns, channels, hidden, side]) => {
            format!("separable convolution {rows}x{columns}x{channels} k{side} ({hidden} hidden)")
        }
        Case::SepConvInt16([rows, columns, channels, hidden, side]) => format!(
            "separable convolution {rows}x{columns}x{channels} k{side} ({hidden} hidden) int16"
        ),
        Case::DepthwiseMixer(shape) => depthwise_mixer(shape),
        Case::DepthwiseMixerInt16(shape) => format!("{} int16", depthwise_mixer(shape)),
        Case::NormedDepthwiseMixer(shape) => {
            format!("{} of normed tokens", depthwise_mixer(shape))
        }
        Case::PlainDepthwiseMixer(shape) => format!("{} without a norm", depthwise_mixer(shape)),
        Case::Attention([tokens, channels, heads, head_size]) => {
            format!("self-attention {tokens}x{channels}, {heads} heads of {head_size}")
        }
        Case::Head([tokens, channels, classes]) => {
            format!("head {tokens}x{channels} -> {classes}")
        }
        Case::WideHead([tokens, channels, hidden, classes]) => {
            format!("wide head {tokens}x{channels} -> {hidden} -> {classes}")
        }
    }
}

fn wide_pooling([rows, columns, channels, window]: &[usize; 4]) -> String {
    format!("pooling mixer {rows}x{columns}x{channels} k{window}")
}

fn windows(kind: &str, [size, channels, window, stride, padding]: &[usize; 5]) -> String {
    format!("{kind} {size}x{size}x{channels} k{window} s{stride} p{padding}")
}

fn depthwise_mixer([rows, columns, channels, window_rows, window_columns]: &[usize; 5]) -> String {
    format!("depthwise mixer {rows}x{columns}x{channels} k{window_rows}x{window_columns}")
}

/// Multiply-accumulates of the counted case of this name, or elements where there are
/// none; nothing if no case has the name.
pub(crate) fn operations(what: &str) -> Option<u64> {
    let case = COUNTED.iter().find(|case| name(case) == what);
    case.map(operations_of)
}

/// Multiply-accumulates, or elements where there are none.
fn operations_of(case: &Case) -> u64 {
    let operations = match case {
        Case::Head([tokens, channels, _]) | Case::WideHead([tokens, channels, ..]) => {
            tokens * channels
        }
        Case::Pointwise(_)
        | Case::ChannelMlp(_)
        | Case::ChannelMlpInt4(_)
        | Case::NormedMlp(_)
        | Case::PatchEmbedding(_)
        | Case::DepthwiseEmbedding(_)
        | Case::DepthwiseEmbeddingInt16(_)
        | Case::RandomMixing(_)
        | Case::RandomMixingInt16(_)
        | Case::SepConv(_)
        | Case::SepConvInt16(_)
        | Case::DepthwiseMixer(_)
        | Case::DepthwiseMixerInt16(_)
        | Case::NormedDepthwiseMixer(_)
        | Case::PlainDepthwiseMixer(_)
        | Case::Attention(_) => case.macs(),
        Case::Pooling(_)
        | Case::ScaledPooling(_)
        | Case::PoolAlone(_)
        | Case::WidePooling(_)
        | Case::WidePoolingInt16(_)
        | Case::NormedWidePooling(_)
        | Case::AveragePool(_)
        | Case::MaxPool(_)
        | Case::Activation(_)
        | Case::ActivationInt16(_)
        | Case::PositionEmbedding(_)
        | Case::PositionEmbeddingInt16(_)
        | Case::Identity(_)
        | Case::NormedIdentity(_) => case.elements(),
    };
    operations as u64
}
