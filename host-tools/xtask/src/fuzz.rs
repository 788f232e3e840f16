//! Feeds every door with damaged input, a process for each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::run::{built, root, target};

/// The result of one door.
struct Fed {
    name: String,
    executions: u64,
    failures: u64,
}

/// Feeds all doors for so long together, spread evenly, and prints executions and failures.
pub(crate) fn fuzz(minutes: f64, seed: u64) -> Result<()> {
    let mut list = built("tadpool-fuzz", ["list"])?;
    let program = PathBuf::from(list.get_program());
    let list = list.output()?;
    let names = String::from_utf8(list.stdout)?;
    let names: Vec<&str> = names.lines().collect();
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let turns = names.len().div_ceil(at_once).max(1);
    let time = Duration::from_secs_f64(minutes * 60.0 / turns as f64);

    let mut fed = Vec::new();
    for names in names.chunks(at_once) {
        let started: Vec<_> = names
            .iter()
            .map(|name| {
                let folder = target().join("fuzz").join(name);
                std::thread::spawn({
                    let (program, name) = (program.clone(), (*name).to_owned());
                    move || feed(&program, name, &folder, time, seed)
                })
            })
            .collect();
        for thread in started {
            let result = thread.join();
            fed.push(result.map_err(|_| anyhow::anyhow!("a thread panicked"))??);
        }
    }
    for Fed {
        name,
        executions,
        failures,
    } in &fed
    {
        println!("{name:12} {executions:>10} executions  {failures:>3} failures");
    }
    let executions: u64 = fed.iter().map(|fed| fed.executions).sum();
    let failures: u64 = fed.iter().map(|fed| fed.failures).sum();
    println!(
        "{:12} {executions:>10} executions  {failures:>3} failures",
        "all"
    );
    ensure!(
        failures == 0,
        "inputs that failed lie in {}",
        target().join("fuzz").display()
    );
    Ok(())
}

/// Feeds one door, with a new process whenever one ends before its time.
fn feed(program: &Path, name: String, folder: &Path, time: Duration, seed: u64) -> Result<Fed> {
    const MOST_PROCESSES: u64 = 20;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let end = Instant::now() + time;
    let mut fed = Fed {
        name,
        executions: 0,
        failures: 0,
    };
    for turn in 0..MOST_PROCESSES {
        let left = end.saturating_duration_since(Instant::now());
        if left.as_secs() == 0 && turn > 0 {
            break;
        }
        let child: Child = Command::new(program)
            .arg(&fed.name)
            .args(["--seconds", &left.as_secs().max(1).to_string()])
            .args(["--seed", &(seed + turn).to_string()])
            .arg("--save")
            .arg(folder)
            .current_dir(root())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut counts = text.split_whitespace().map(str::parse::<u64>);
        let (executions, failures) = match (counts.next(), counts.next()) {
            (Some(Ok(executions)), Some(Ok(failures))) => (executions, failures),
            // It crashed without a word.
            _ => (0, 1),
        };
        fed.executions += executions;
        fed.failures += failures;
        let is_own_end = matches!(output.status.code(), Some(0 | 1));
        if !is_own_end {
            let input = folder.join(format!("failure-of-process-{turn}"));
            fs::copy(folder.join("current"), &input)?;
            eprintln!("{}: {} ({})", fed.name, output.status, input.display());
        }
    }
    Ok(fed)
}
