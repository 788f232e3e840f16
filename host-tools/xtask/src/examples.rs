//! The examples of applications, which no command of `tadpool` runs: built for their
//! boards, and run on the emulated one.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use tadpool_toolchain::emulator::qemu;

use crate::run::{root, run, tadpool};

const TARGET: &str = "thumbv7em-none-eabihf";
const CAMERA: &str = "firmware/examples/camera/Cargo.toml";
const LEARN: &str = "firmware/examples/learn/Cargo.toml";
const PIECES: &str = "firmware/examples/pieces/Cargo.toml";
/// Both say themselves whether they keep their bounds.
const IN_PIECES: [&str; 2] = ["two-tasks", "low-priority"];
/// The results that their tests expect on the host.
const FRAMES: &str = "firmware/examples/camera/expected.txt";
const LEARNED: &str = "firmware/examples/learn/expected.txt";
const EMULATED: &str = "qemu-mps2-an386";
const PROGRAMS: [&str; 2] = ["camera", "async-camera"];
/// Boards, and the programs that each can run: the HAL of one blocks.
const BOARDS: [(&str, &[&str]); 3] = [
    (EMULATED, &PROGRAMS),
    ("nrf52840-dk", &PROGRAMS),
    ("nucleo-l4r5zi", &["camera"]),
];

/// Builds and runs the camera's programs; they must say on the emulated board what
/// they say on the host.
pub(crate) fn camera() -> Result<()> {
    for (board, programs) in BOARDS {
        let mut build = build_command(CAMERA)?;
        build.args(["--features", board]);
        run(build.args(programs.iter().flat_map(|program| ["--bin", program])))?;
        if board == EMULATED {
            for program in programs {
                let (said, _) = emulate(program)?;
                compare(&said, FRAMES, program)?;
            }
        }
    }
    Ok(())
}

/// Builds and runs the inferences that other work comes between, on the emulated board.
pub(crate) fn pieces() -> Result<()> {
    let mut build = build_command(PIECES)?;
    run(build.args(IN_PIECES.iter().flat_map(|program| ["--bin", program])))?;
    for program in IN_PIECES {
        let (said, holds) = emulate(program)?;
        println!("{program} on {EMULATED}:\n{said}");
        ensure!(holds, "`{program}` does not keep its bounds");
    }
    Ok(())
}

/// Builds the head that learns, which must have no panic path, and runs it on the emulated
/// board: it must say what it says on the host, and a step must not cost more than it may.
pub(crate) fn learn() -> Result<()> {
    run(build_command(LEARN)?.args(["--bin", "learn"]))?;
    run(tadpool(["audit"])?.arg(program_path("learn")))?;
    let (said, holds) = emulate("learn")?;
    let is_cost = |line: &&str| line.contains("instructions") || line.starts_with("of ");
    let (costs, learned): (Vec<&str>, Vec<&str>) = said.lines().partition(is_cost);
    let learned: String = learned.iter().map(|line| format!("{line}\n")).collect();
    compare(&learned, LEARNED, "learn")?;
    println!("{}", costs.join("\n"));
    ensure!(
        holds && costs.len() == 4,
        "a step of `learn` costs too much"
    );
    Ok(())
}

/// Cargo building an example.
fn build_command(manifest: &str) -> Result<Command> {
    let Some(toolchain) = tadpool_toolchain::for_target(TARGET) else {
        bail!("no toolchain builds for {TARGET}; run `cargo xtask setup`");
    };
    let mut command = toolchain.command("build", TARGET);
    command
        .args(["--release", "--locked", "--manifest-path", manifest])
        .args(["--target-dir", "firmware/target"])
        .current_dir(root());
    Ok(command)
}

fn program_path(program: &str) -> PathBuf {
    let folder: PathBuf = ["firmware/target", TARGET, "release"].iter().collect();
    root().join(folder).join(program)
}

/// Runs a program until it ends, and returns what it said and whether it went well.
fn emulate(program: &str) -> Result<(String, bool)> {
    let mut qemu = qemu();
    qemu.args(["-machine", "mps2-an386", "-icount", "shift=6"])
        .args(["-display", "none", "-monitor", "none", "-serial", "none"])
        .args(["-semihosting-config", "enable=on,target=native"])
        .args(["-nic", "none", "-kernel"])
        .arg(program_path(program))
        .stdin(Stdio::null());
    let output = qemu.output().context("cannot run qemu-system-arm")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((said, output.status.success()))
}

fn compare(said: &str, file: &str, program: &str) -> Result<()> {
    let path = root().join(Path::new(file));
    let expected = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    ensure!(
        said == expected,
        "`{program}` on {EMULATED} said:\n{said}instead of what {file} has"
    );
    println!(
        "{program} on {EMULATED}: as on the host, {} lines",
        expected.lines().count()
    );
    Ok(())
}
