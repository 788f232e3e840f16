//! The figures that are committed: counts the kernels' instructions on every core, and writes
//! `RESULTS.md`. `cargo xtask bench` and `cargo xtask results` build and call it.
#![expect(clippy::print_stdout, reason = "a command prints")]

mod bench;
mod costs;
mod repository;
mod results;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Counts the kernels' instructions, and writes what is measured to RESULTS.md.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Checks the kernels on every kind of core and counts their instructions, in the
    /// emulator, next to the counts that were saved.
    Bench {
        /// Only this core, such as `Cortex-M4`.
        #[arg(long)]
        core: Option<String>,
        /// Saves the counts.
        #[arg(long)]
        save: bool,
        /// Checks bytes and counts of all cores, as ci does.
        #[arg(long, conflicts_with_all = ["core", "save"])]
        check: bool,
        /// Checks format and style of the benchmark's image, as ci does.
        #[arg(long, conflicts_with_all = ["core", "save"])]
        lint: bool,
    },
    /// Fits the costs of the kernels, from which `tadpool fit` predicts latency, to executions
    /// of the networks that `models/export/cost_grid.py` wrote; takes about an hour.
    Costs {
        /// The folder with the networks, in which executions are kept.
        folder: PathBuf,
    },
    /// Writes `RESULTS.md` from committed figures.
    Results {
        /// Writes nothing, and fails if `RESULTS.md` is not what it would write.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Bench {
            core,
            save,
            check: false,
            lint: false,
        } => bench::bench(core.as_deref(), save),
        Command::Bench { check, lint, .. } => {
            let style = if lint { bench::lint() } else { Ok(()) };
            style.and_then(|()| if check { bench::check() } else { Ok(()) })
        }
        Command::Costs { folder } => costs::costs(&folder),
        Command::Results { check: false } => results::results(),
        Command::Results { check: true } => results::check(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
