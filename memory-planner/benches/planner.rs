//! Prints what the planner reaches on hard and random problems, then times it.
//!
//! `MINIMAL_HEIGHT_SECONDS` sets how long the lowest height of each hard instance is
//! looked for (default 60; 0 leaves that table out).
#![allow(clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use divan::Bencher;
use memory_planner::{Budget, Problem, Solution, checker, lower_bound, solve};
use support::{HARD, NETWORKS, SHAPES, Shape, hard, median, network, random};

fn main() {
    println!("Eleven hard instances, capacity 1048576: the first plan that fits");
    println!("name  buffers   height     steps        ms");
    let mut total_ms = 0.0;
    for name in HARD {
        let problem = hard(name);
        let (solution, elapsed_ms) = timed(&problem, &Budget::default().until_it_fits());
        total_ms += elapsed_ms;
        println!(
            "{name:4}  {:7}  {:7}  {:8}  {elapsed_ms:8.1}",
            problem.buffers.len(),
            solution.height(),
            solution.steps
        );
    }
    println!("total {total_ms:.1} ms\n");

    println!("Models: the buffers of this repository's networks");
    println!("name                         buffers   height  proof       steps        ms");
    for name in NETWORKS {
        let problem = network(name);
        let (solution, elapsed_ms) = timed(&problem, &Budget::default());
        println!(
            "{name:27}  {:7}  {:7}  {:8}  {:7}  {elapsed_ms:8.3}",
            problem.buffers.len(),
            solution.height(),
            format!("{:?}", solution.proof),
            solution.steps
        );
    }
    println!();

    println!("Random instances, `Budget::quick()`: medians of 11");
    println!("shape    buffers   above the lower bound        ms");
    for shape in SHAPES {
        for count in [30, 100, 300, 1000, 3000] {
            let (gap_percent, elapsed_ms) = quick_medians(shape, count);
            println!("{shape:<8?} {count:7}  {gap_percent:21.2} %  {elapsed_ms:8.1}");
        }
    }
    println!();

    let seconds = std::env::var("MINIMAL_HEIGHT_SECONDS").ok();
    let seconds = seconds
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(60);
    if seconds > 0 {
        minimal_heights(Duration::from_secs(seconds));
    }
    divan::main();
}

/// The lowest plan of each hard instance.
fn minimal_heights(time: Duration) {
    println!("Minimal heights, at most {} s each", time.as_secs());
    println!("name   height  lower bound  gap (bytes)  proof          s");
    for name in HARD {
        let budget = Budget::steps(u64::MAX).with_time(time);
        let (solution, elapsed_ms) = timed(&hard(name), &budget);
        println!(
            "{name:4}  {:7}  {:11}  {:11}  {:8}  {:7.2}",
            solution.height(),
            solution.lower_bound(),
            solution.gap(),
            format!("{:?}", solution.proof),
            elapsed_ms / 1e3
        );
    }
    println!();
}

/// A checked solution and the time that it took.
fn timed(problem: &Problem, budget: &Budget) -> (Solution, f64) {
    let start = Instant::now();
    let solution = solve(problem, budget).expect("there is a plan");
    let elapsed_ms = start.elapsed().as_secs_f64() * 1e3;
    checker::check(problem, &solution.plan).expect("a valid plan");
    (solution, elapsed_ms)
}

fn quick_medians(shape: Shape, count: u32) -> (f64, f64) {
    let runs: Vec<(f64, f64)> = (0..11)
        .map(|seed| {
            let problem = random(shape, count, seed);
            let (solution, elapsed_ms) = timed(&problem, &Budget::quick(problem.buffers.len()));
            let bound = lower_bound(&problem).expect("a sensible problem")[0] as f64;
            ((solution.height() as f64 / bound - 1.0) * 100.0, elapsed_ms)
        })
        .collect();
    (
        median(runs.iter().map(|run| run.0)),
        median(runs.iter().map(|run| run.1)),
    )
}

#[divan::bench(args = HARD, sample_count = 5, sample_size = 1)]
fn fit_hard_instance(bencher: Bencher<'_, '_>, name: &str) {
    let problem = hard(name);
    bencher.bench_local(|| solve(&problem, &Budget::default().until_it_fits()));
}

#[divan::bench(args = [100, 1000], sample_count = 11, sample_size = 1)]
fn quick_plan_of_a_network(bencher: Bencher<'_, '_>, count: u32) {
    let problem = random(Shape::Network, count, 0);
    bencher.bench_local(|| solve(&problem, &Budget::quick(problem.buffers.len())));
}

#[divan::bench(sample_count = 11)]
fn check_a_plan_of_1000_buffers(bencher: Bencher<'_, '_>) {
    let problem = random(Shape::Network, 1000, 0);
    let plan = solve(&problem, &Budget::steps(0))
        .expect("there is a plan")
        .plan;
    bencher.bench_local(|| checker::check(&problem, &plan));
}
