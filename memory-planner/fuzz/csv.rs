//! Turns a failing input into a file that `tadpool plan` reads.
//!
//! In `memory-planner/fuzz`: `cargo run --bin csv artifacts/plan/crash-... failing.csv`.

use std::process::ExitCode;

use memory_planner::fuzzing::{problem, to_csv};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        eprintln!("usage: csv INPUT OUTPUT.csv");
        return ExitCode::FAILURE;
    };
    let done = std::fs::read(input).and_then(|bytes| {
        let problem = problem(&bytes);
        std::fs::write(output, to_csv(&problem))?;
        print!("tadpool plan {output}");
        for region in &problem.regions {
            print!(" --region {}={}", region.name, region.capacity);
        }
        println!();
        Ok(())
    });
    if let Err(error) = done {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
