//! Programs for microcontrollers that no command of `tadpool` runs: the example of
//! an application, and the firmware that speaks MLPerf Tiny's commands. Built for
//! their boards, and run on the emulated one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::run::{root, run};
use crate::toolchain;

const TARGET: &str = "thumbv7em-none-eabihf";
const FIRMWARE: &str = "firmware/Cargo.toml";
const CAMERA: &str = "firmware/examples/camera/Cargo.toml";
/// What the camera's tests expect on the host.
const FRAMES: &str = "firmware/examples/camera/expected.txt";
/// The conversation that the firmware's tests have on the host.
const COMMANDS: &str = "firmware/src/mlperf/commands.txt";
const ANSWERS: &str = "firmware/src/mlperf/answers.txt";
const EMULATED: &str = "qemu-mps2-an386";
const PROGRAMS: [&str; 2] = ["camera", "async-camera"];
/// Boards, and the programs that each can run: the HAL of one blocks.
const BOARDS: [(&str, &[&str]); 2] = [(EMULATED, &PROGRAMS), ("nucleo-l4r5zi", &["camera"])];

/// Builds and runs the camera's programs; they must say on the emulated board what
/// they say on the host.
pub(crate) fn camera() -> Result<()> {
    for (board, programs) in BOARDS {
        let mut build = cargo(CAMERA)?;
        build.args(["--features", board]);
        run(build.args(programs.iter().flat_map(|program| ["--bin", program])))?;
        if board == EMULATED {
            for program in programs {
                let said = emulate(program, Stdio::null())?;
                compare(&said, FRAMES, program)?;
            }
        }
    }
    Ok(())
}

/// Builds the firmware with MLPerf Tiny's commands and has a conversation with it.
pub(crate) fn mlperf() -> Result<()> {
    let mut build = cargo(FIRMWARE)?;
    build
        .args(["--bin", "tadpool-firmware", "--no-default-features"])
        .args(["--features", "qemu-mps2,dsp,mlperf"])
        .env(
            "TADPOOL_BOARD_FILE",
            root().join("firmware/boards/qemu-mps2-an386.toml"),
        );
    run(&mut build)?;
    let commands = root().join(COMMANDS);
    let commands = File::open(&commands).with_context(|| commands.display().to_string())?;
    let said = emulate("tadpool-firmware", commands.into())?;
    // Times depend on the build.
    let lines = said.lines().filter(|line| !line.starts_with("m-lap-us-"));
    let said: String = lines.map(|line| format!("{line}\n")).collect();
    compare(&said, ANSWERS, "tadpool-firmware")
}

/// Cargo building from one manifest.
fn cargo(manifest: &str) -> Result<Command> {
    let Some(toolchain) = toolchain::for_target(TARGET) else {
        bail!("no toolchain builds for {TARGET}; run `cargo xtask setup`");
    };
    let mut command = toolchain.command("build", TARGET);
    command
        .args(["--release", "--locked", "--manifest-path", manifest])
        .args(["--target-dir", "firmware/target"])
        .current_dir(root());
    Ok(command)
}

/// Runs a program with `input` until it ends, and returns what it said.
fn emulate(program: &str, input: Stdio) -> Result<String> {
    let folder: PathBuf = ["firmware/target", TARGET, "release"].iter().collect();
    let mut qemu = Command::new("qemu-system-arm");
    qemu.args(["-machine", "mps2-an386", "-icount", "shift=6"])
        .args(["-display", "none", "-monitor", "none", "-serial", "none"])
        .args(["-semihosting-config", "enable=on,target=native"])
        .args(["-nic", "none", "-kernel"])
        .arg(root().join(folder).join(program))
        .stdin(input);
    let output = qemu.output().context("cannot run qemu-system-arm")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
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
