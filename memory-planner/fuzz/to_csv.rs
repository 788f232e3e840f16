//! Turns a failing input into a file that `tadpool plan` reads.
//!
//! In `memory-planner/fuzz`: `cargo run --bin to_csv artifacts/plan/crash-... failing.csv`.

use std::process::ExitCode;

use memory_planner::csv::write_problem;
use memory_planner::fuzzing::problem;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        eprintln!("usage: to_csv INPUT OUTPUT.csv");
        return ExitCode::FAILURE;
    };
    let done = std::fs::read(input).and_then(|bytes| {
        let problem = problem(&bytes);
        std::fs::write(output, write_problem(&problem))?;
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
