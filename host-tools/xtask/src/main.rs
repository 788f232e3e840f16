//! `cargo xtask`: sets up, checks and shows the workspace.
#![expect(clippy::print_stdout, reason = "a command prints")]

mod chips;
mod ci;
mod demo;
mod dependencies;
#[cfg(test)]
mod documents;
mod examples;
mod fuzz;
mod generate;
#[cfg(test)]
mod graph;
mod load;
mod msrv;
mod packages;
mod python;
mod quick;
mod run;
mod setup;
mod wheel;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Sets up, checks and shows tadpool's workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what is missing: Rust targets, the emulator.
    Setup,
    /// Compiles a trained PoolFormer, builds its firmware and classifies a
    /// picture on an emulated board.
    Demo,
    /// Format, lints and unit tests of the host's workspace: what to run before each
    /// commit. Needs no emulator.
    Quick,
    /// All checks and tests; stops at the first that fails.
    Ci,
    /// Checks the dependencies against the RustSec advisories. Needs a network, so it is
    /// no part of ci.
    Advisories,
    /// Checks the kernels on every kind of core and counts their instructions, in the
    /// emulator, next to the counts that were saved.
    #[command(disable_help_flag = true)]
    Bench(Forwarded),
    /// Rehearses the start of every chip's image on a model of the chip, and compares the
    /// registers that it writes with the saved traces, as ci does.
    Chips {
        /// Only this board.
        #[arg(long)]
        board: Vec<String>,
        /// Saves the traces.
        #[arg(long)]
        save: bool,
    },
    /// Packs the public packages, installs `tadpool` from them, and compiles and runs a
    /// model with it in an empty folder, as ci does.
    Packages,
    /// Feeds every door (ONNX, TOML, images, CSV, protocol, ELF) with damaged input, and
    /// prints executions and failures.
    Fuzz {
        /// How long, all doors together.
        #[arg(long, default_value_t = 5.0)]
        minutes: f64,
        /// Chooses the inputs.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Sends images to two emulated boards at once while emulators are killed and links cut,
    /// and fails if one is not answered exactly once as on the host, or something is left
    /// behind.
    Load {
        /// How many.
        #[arg(long, default_value_t = 1000)]
        images: u32,
        /// How often an emulator is killed or a link cut, at most.
        #[arg(long, default_value_t = 50)]
        interruptions: u32,
        /// Chooses when.
        #[arg(long, default_value_t = 1)]
        seed: u32,
    },
    /// Fits the costs of the kernels, from which `tadpool fit` predicts latency, to executions.
    #[command(disable_help_flag = true)]
    Costs(Forwarded),
    /// Builds the examples of applications, and runs them in the emulator.
    Examples,
    /// Writes the generated crate in `firmware/model` anew.
    Generate {
        /// Writes nothing, and fails if the crate is not what it would write.
        #[arg(long)]
        check: bool,
    },
    /// Checks each public package with the least version of Rust that it declares. Fetches
    /// toolchains, so it is no part of ci, whose lints know the standard library's versions.
    Msrv,
    /// Builds the wheel for Python, installs it in a new environment, and runs its tests there.
    Wheel {
        /// Checks its types and runs its tests on the workspace's own build instead, as ci does.
        #[arg(long)]
        check: bool,
    },
    /// Writes `RESULTS.md` from committed figures.
    #[command(disable_help_flag = true)]
    Results(Forwarded),
}

/// Options that the program for figures knows.
#[derive(Args)]
struct Forwarded {
    /// Folders and options; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<OsString>,
}

impl Forwarded {
    fn figures(self, subcommand: &str) -> Result<()> {
        let mut arguments = self.options;
        arguments.insert(0, subcommand.into());
        run::figures(arguments)
    }
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Setup => setup::setup(),
        Command::Demo => demo::demo(),
        Command::Quick => quick::quick(),
        Command::Advisories => dependencies::advisories(),
        Command::Chips { board, save } => chips::rehearse(&board, save),
        Command::Packages => packages::check(),
        Command::Ci => return ci::ci(),
        Command::Bench(options) => options.figures("bench"),
        Command::Fuzz { minutes, seed } => fuzz::fuzz(minutes, seed),
        Command::Load {
            images,
            interruptions,
            seed,
        } => load::load(images, interruptions, seed),
        Command::Costs(options) => options.figures("costs"),
        Command::Examples => examples::camera()
            .and_then(|()| examples::pieces())
            .and_then(|()| examples::learn()),
        Command::Generate { check: false } => generate::generate(),
        Command::Generate { check: true } => generate::check(),
        Command::Msrv => msrv::check(),
        Command::Wheel { check: false } => wheel::build(),
        Command::Wheel { check: true } => wheel::check(),
        Command::Results(options) => options.figures("results"),
    };
    report(done)
}

fn report(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
