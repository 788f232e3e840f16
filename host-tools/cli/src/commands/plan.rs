//! `tadpool plan`.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use memory_planner::checker::check;
use memory_planner::csv::{self, Offsets};
use memory_planner::{Budget, Problem, Proof, Region, solve_reporting, svg};
use serde::Serialize;
use tadpool_compiler::output;
use tadpool_input::Kind;

use super::report::grouped;
use crate::print;

const CSV: Kind = Kind {
    name: "a CSV file of buffers",
    max_bytes: 64 << 20,
};

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Buffers, a row each.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Bytes of the arena, if there is one region.
    #[arg(long, value_name = "BYTES", required_unless_present = "region")]
    capacity: Option<u64>,
    /// A memory region, the most wanted first; may be given several times.
    #[arg(long, value_name = "NAME=BYTES", value_parser = region, conflicts_with = "capacity")]
    region: Vec<Region>,
    /// Ignore the file's `offset` column; by default, a buffer with an offset stays there.
    #[arg(long)]
    replan: bool,
    /// Where to write the plan: the input with an `offset` column.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Where to draw the plan.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Stop at the first plan that fits; by default, the lowest one is looked for.
    #[arg(long)]
    first_fit: bool,
    /// Most search steps; the same number gives the same plan everywhere [default: 500000 up
    /// to 1000 buffers, fewer beyond: some seconds]
    #[arg(long, value_name = "STEPS")]
    steps: Option<u64>,
    /// Longest search, in seconds; the plan then depends on the machine.
    #[arg(long, value_name = "SECONDS")]
    time: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PlanReport {
    file: PathBuf,
    buffers: usize,
    capacity: u64,
    height: u64,
    lower_bound: u64,
    gap: u64,
    optimal: bool,
    steps: u64,
    seconds: f64,
    first_fit: FirstFit,
    #[serde(skip)]
    csv: Option<String>,
}

/// The first plan that fits.
#[derive(Debug, Default, Serialize)]
struct FirstFit {
    height: u64,
    seconds: f64,
}

impl Plan {
    pub(crate) fn run(self) -> anyhow::Result<PlanReport> {
        let name = self.file.display();
        let regions = match self.capacity {
            Some(capacity) => Problem::with_capacity(capacity).regions,
            None => self.region,
        };
        for (index, region) in regions.iter().enumerate() {
            if regions[..index]
                .iter()
                .any(|other| other.name == region.name)
            {
                bail!("`--region`: `{}` is given twice", region.name);
            }
        }
        let capacity = regions
            .iter()
            .fold(0, |sum: u64, region| sum.saturating_add(region.capacity));
        let offsets = match self.replan {
            true => Offsets::Ignored,
            false => Offsets::Fixed,
        };
        // What is no file is refused before reading it blocks.
        tadpool_input::open(&self.file, CSV)?;
        let problem = csv::read(&self.file, regions, offsets)?;
        let thorough = Budget::thorough(problem.buffers.len());
        let mut budget = self.steps.map_or(thorough, Budget::steps);
        if let Some(seconds) = self.time {
            let time = Duration::try_from_secs_f64(seconds).context("`--time`")?;
            budget = budget.with_time(time);
        }
        if self.first_fit {
            budget = budget.until_it_fits();
        }
        let start = Instant::now();
        let mut first_fit = FirstFit::default();
        let solution = solve_reporting(&problem, &budget, &mut |first| {
            first_fit = FirstFit {
                height: first.height(),
                seconds: start.elapsed().as_secs_f64(),
            };
            // The search for a lower plan takes a while.
            if !self.first_fit && first.gap() > 0 {
                print::note(&format!("{first_fit}; looking for a lower plan"));
            }
        })
        .with_context(|| format!("`{name}`"))?;
        let seconds = start.elapsed().as_secs_f64();
        if let Err(violation) = check(&problem, &solution.plan) {
            bail!("`{name}`: the plan breaks a rule ({violation:?}); please report this file");
        }
        if let Some(path) = &self.svg {
            let drawing = svg::draw(&problem, &solution.plan);
            output::write(path, drawing.as_bytes())?;
        }
        let csv = csv::write(&problem, &solution.plan);
        if let Some(path) = &self.output {
            output::write(path, csv.as_bytes())?;
        }
        Ok(PlanReport {
            file: self.file,
            buffers: problem.buffers.len(),
            capacity,
            height: solution.height(),
            lower_bound: solution.lower_bound(),
            gap: solution.gap(),
            optimal: solution.proof == Proof::Optimal,
            steps: solution.steps,
            seconds,
            first_fit,
            csv: self.output.is_none().then_some(csv),
        })
    }
}

/// The argument of `--region`.
fn region(text: &str) -> Result<Region, String> {
    let (name, bytes) = text.split_once('=').ok_or("not of the form NAME=BYTES")?;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("a name is needed, without spaces".into());
    }
    let capacity = bytes
        .parse()
        .map_err(|error| format!("`{bytes}` is no number of bytes: {error}"))?;
    Ok(Region {
        name: name.into(),
        capacity,
    })
}

impl fmt::Display for FirstFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (height, seconds) = (grouped(self.height), self.seconds);
        write!(
            f,
            "first plan that fits: {height} bytes, after {seconds:.3} s"
        )
    }
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(csv) = &self.csv {
            writeln!(f, "{csv}")?;
        }
        let proof = if self.optimal {
            "proved smallest".to_owned()
        } else {
            format!("at most {} bytes above the smallest", grouped(self.gap))
        };
        writeln!(
            f,
            "{}: {} buffers in {} of {} bytes ({proof}; lower bound {}; {} steps, {:.3} s)",
            self.file.display(),
            self.buffers,
            grouped(self.height),
            grouped(self.capacity),
            grouped(self.lower_bound),
            grouped(self.steps),
            self.seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_names_and_bytes() {
        let dtcm = region("dtcm=65536").unwrap();
        assert_eq!((&*dtcm.name, dtcm.capacity), ("dtcm", 65536));
        for text in [
            "dtcm", "=1", "a b=1", "dtcm=", "dtcm=-1", "dtcm=64K", "a=b=1",
        ] {
            assert!(region(text).is_err(), "{text}");
        }
    }
}
