//! One door, fed until its time is up; `cargo xtask fuzz` runs one process for each.

#![expect(clippy::print_stdout, reason = "a command prints")]

use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use tadpool_fuzz::mutate::Mutator;
use tadpool_fuzz::{Door, doors};

/// Longest time of one execution.
const MAX_TIME: Duration = Duration::from_secs(10);
/// Most memory of the process.
const MAX_BYTES: u64 = 2 << 30;
/// Failures after which a door is given up.
const MAX_FAILURES: u64 = 20;
/// The exit status of a process whose execution takes too much time or memory.
const STOPPED: i32 = 3;

/// Feeds one door with damaged input.
#[derive(Debug, Parser)]
struct Arguments {
    /// The door, or `list` to list them all.
    door: String,
    /// How long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Chooses the inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the input of a failure is saved; also the current one, as `current`.
    #[arg(long, default_value = "target/fuzz")]
    save: PathBuf,
    /// Runs this file's bytes only, and fails as they do.
    #[arg(long)]
    input: Option<PathBuf>,
}

/// Executions so far; the watching thread sees whether they go on.
static EXECUTIONS: AtomicU64 = AtomicU64::new(0);

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.door == "list" {
        doors().iter().for_each(|door| println!("{}", door.name));
        return Ok(ExitCode::SUCCESS);
    }
    let door = doors()
        .into_iter()
        .find(|door| door.name == arguments.door)
        .with_context(|| format!("there is no door `{}`", arguments.door))?;
    if let Some(path) = &arguments.input {
        (door.check)(&fs::read(path).with_context(|| path.display().to_string())?);
        return Ok(ExitCode::SUCCESS);
    }
    fs::create_dir_all(&arguments.save)?;
    let failures = feed(&door, &arguments)?;
    let executions = EXECUTIONS.load(Ordering::Relaxed);
    println!("{executions} {failures}");
    Ok(match failures {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Feeds a door until the time is up; the number of failures.
fn feed(door: &Door, arguments: &Arguments) -> Result<u64> {
    let mut current = File::create(arguments.save.join("current"))?;
    // The first panic of each place is worth a line, not its backtrace.
    std::panic::set_hook(Box::new(|_| {}));
    thread::spawn(watch);
    let mut mutator = Mutator::new((door.seeds)(), arguments.seed);
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut failures = 0;
    while Instant::now() < end && failures < MAX_FAILURES {
        let input = mutator.next_input();
        // Should the process end here, this is what it ended with.
        current.rewind()?;
        current.set_len(0)?;
        current.write_all(input)?;
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (door.check)(input))) {
            failures += 1;
            let text = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied());
            let place = save(&arguments.save, input)?;
            eprintln!(
                "{}: {} ({})",
                door.name,
                text.unwrap_or("a panic"),
                place.display()
            );
        }
        EXECUTIONS.fetch_add(1, Ordering::Relaxed);
    }
    Ok(failures)
}

/// Saves the input of a failure.
fn save(folder: &Path, input: &[u8]) -> Result<PathBuf> {
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let path = folder.join(format!("failure-{hash:016x}"));
    fs::write(&path, input)?;
    Ok(path)
}

/// Ends the process when an execution takes too much time or memory.
fn watch() {
    let (mut seen, mut since) = (u64::MAX, Instant::now());
    loop {
        thread::sleep(Duration::from_millis(50));
        let executions = EXECUTIONS.load(Ordering::Relaxed);
        if executions != seen {
            (seen, since) = (executions, Instant::now());
        }
        let why = if since.elapsed() > MAX_TIME {
            "an execution takes too long"
        } else if memory() > MAX_BYTES {
            "an execution takes too much memory"
        } else {
            continue;
        };
        eprintln!("after {executions} executions: {why}");
        println!("{executions} 1");
        std::process::exit(STOPPED);
    }
}

/// Bytes of memory that the process takes; nothing where the system does not say.
fn memory() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1);
    pages
        .and_then(|pages| pages.parse::<u64>().ok())
        .unwrap_or(0)
        * PAGE_BYTES
}
