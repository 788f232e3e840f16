//! `tadpool cycles`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use tadpool_cycles::pipeline::Core;
use tadpool_image::cache::Cache;
use tadpool_latency::measure::{Spent, Split};
use tadpool_latency::predict::{Prediction, Request, predict};

use super::report::{Rows, grouped, percent, table};
use super::user_program;
use crate::print;

#[derive(Debug, Args)]
pub(crate) struct CyclesArgs {
    /// The linked program, with its symbols.
    #[arg(value_name = "ELF")]
    program: PathBuf,
    /// The core, such as cortex-m4; the board's if not given.
    #[arg(long, value_name = "CORE", value_parser = core)]
    core: Option<Core>,
    /// The board whose memories and clock it is predicted for, by name or as a board file;
    /// without it memories answer at once.
    #[arg(long, value_name = "BOARD")]
    board: Option<String>,
    /// The function whose calls are measured, by its symbol, its name in the source, or its
    /// address; all of the program if not given.
    #[arg(long, value_name = "SYMBOL")]
    from: Option<String>,
    /// The function at which each measurement ends, instead of the return of `--from`.
    #[arg(long, value_name = "SYMBOL", requires = "from")]
    to: Option<String>,
    /// Stop after so many calls; by default all are measured until the program ends.
    #[arg(long, value_name = "N", requires = "from", value_parser = clap::value_parser!(u64).range(1..))]
    calls: Option<u64>,
    /// Longest time that the emulator may run, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Functions and lines of source that are shown.
    #[arg(long, value_name = "N", default_value_t = 10)]
    rows: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct CyclesReport {
    program: PathBuf,
    from: Option<String>,
    to: Option<String>,
    #[serde(skip)]
    rows: usize,
    #[serde(flatten)]
    prediction: Prediction,
}

fn core(name: &str) -> Result<Core, String> {
    let known = || Core::ALL.map(Core::name).join(", ");
    Core::by_name(name).ok_or_else(|| format!("there is no model of it; there are {}", known()))
}

impl CyclesArgs {
    pub(crate) fn run(self) -> anyhow::Result<CyclesReport> {
        let bytes = user_program::read(&self.program)?;
        let board = self.board.as_deref().map(tadpool_probe::find_board);
        let board = board.transpose()?;
        let cache = Cache::find()?;
        // The emulator reads it too, from another folder perhaps.
        let path = std::path::absolute(&self.program).context("the current folder")?;
        let prediction = predict(&Request {
            path: &path,
            bytes: &bytes,
            core: self.core,
            board: board.as_ref(),
            from: self.from.as_deref(),
            to: self.to.as_deref(),
            calls: self.calls,
            limit: Duration::from_secs(self.limit),
            prints: print::note,
            cache: cache.folder(),
        })?;
        Ok(CyclesReport {
            program: self.program,
            from: self.from,
            to: self.to,
            rows: self.rows,
            prediction,
        })
    }
}

impl fmt::Display for CyclesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.prediction;
        let calls = &it.profile.calls;
        write!(f, "{} on a {}", self.program.display(), it.core)?;
        match (&it.board, it.clock_hz) {
            (Some(board), Some(hz)) => write!(f, " at {} MHz ({board})", f64::from(hz) / 1e6)?,
            (Some(board), None) => write!(f, " ({board}, whose clock is not known)")?,
            (None, _) => {}
        }
        writeln!(f, ", predicted from its execution by {}", it.machine.name)?;
        writeln!(f, "memories: {}; {}", it.memories, it.bound)?;
        if it.is_moved {
            let problem =
                "linked for other addresses than the board's: the machine's memory stands";
            writeln!(f, "{problem} for it")?;
        }
        match it.ended {
            "late" => writeln!(f, "the program had not ended when the emulator was stopped")?,
            "failure" => writeln!(
                f,
                "the program failed: not all of it may have been executed"
            )?,
            _ => {}
        }
        match &self.from {
            Some(from) => {
                let to = self.to.as_deref().map(|to| format!(" to `{to}`"));
                let to = to.unwrap_or_else(|| " to its return".to_owned());
                let mean = calls.cycles / calls.count.max(1);
                write!(
                    f,
                    "`{from}`{to}: {} calls, mean {} cycles",
                    grouped(calls.count),
                    grouped(mean)
                )?;
                if let Some(ms) = it.ms {
                    write!(f, ", {ms:.3} ms")?;
                }
                writeln!(
                    f,
                    " (min {}, max {})",
                    grouped(calls.min),
                    grouped(calls.max)
                )?;
            }
            None => {
                write!(f, "all of it: {} cycles", grouped(it.profile.split.cycles))?;
                match it.ms {
                    Some(ms) => writeln!(f, ", {ms:.3} ms")?,
                    None => writeln!(f)?,
                }
            }
        }
        let split = &it.profile.split;
        let share = |cycles: u64| percent(cycles as f64 / split.cycles.max(1) as f64);
        let mut rows = table(["where they go", "cycles", "share"], 1);
        for (name, cycles) in [
            ("instructions", split.issue),
            ("loads and stores", split.accesses),
            ("branches", split.branches),
            ("waits for memory, code", split.code),
            ("waits for memory, data", split.data),
            ("total", split.cycles),
        ] {
            rows.add_row([name.to_owned(), grouped(cycles), share(cycles)]);
        }
        writeln!(f, "\n{rows}")?;
        for (kind, spent) in [
            ("function", &it.profile.functions),
            ("line", &it.profile.lines),
        ] {
            if !spent.is_empty() {
                writeln!(
                    f,
                    "\n{}",
                    hottest(kind, &spent[..spent.len().min(self.rows)], split)
                )?;
            }
        }
        Ok(())
    }
}

fn hottest(kind: &str, spent: &[Spent], all: &Split) -> Rows {
    let mut rows = table(
        [
            kind,
            "cycles",
            "share",
            "code",
            "data",
            "instructions",
            "per\ninstr.",
        ],
        1,
    );
    for Spent {
        name,
        instructions,
        split,
    } in spent
    {
        rows.add_row([
            name.clone(),
            grouped(split.cycles),
            percent(split.cycles as f64 / all.cycles.max(1) as f64),
            grouped(split.code),
            grouped(split.data),
            grouped(*instructions),
            format!("{:.2}", split.cycles as f64 / (*instructions).max(1) as f64),
        ]);
    }
    rows
}
