//! Steps, buffers and their places.

use crate::support;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::support::integer::{quantized, quantized_file};
use memory_planner::{Budget, Problem, Proof, checker, solve};
use tadpool_compiler::network::MetaFormer;
use tadpool_compiler::place::memory::MemoryPlan;
use tadpool_compiler::place::schedule::{Schedule, ScheduleConfig};
use tadpool_compiler::quantize::precision::Precision;
use tadpool_compiler::quantize::quant_model::WeightBits;
use tadpool_kernels::Buffer;

#[test]
fn every_plan_is_proved_smallest() {
    for fixture in support::manifest().model {
        let quantized = quantized(&fixture, &ScheduleConfig::default());
        assert!(quantized.memory.optimal, "{}", fixture.file);
        let highest = quantized
            .memory
            .height_by_step(&quantized.schedule.problem, quantized.schedule.steps.len())
            .into_iter()
            .max()
            .unwrap();
        assert_eq!(quantized.memory.arena_size, highest.next_multiple_of(8));
    }
}

/// Far below a tenth of a second; steps are counted, as time depends on what else a machine
/// does.
const MOST_STEPS: u64 = 1000;

fn assert_proved_fast(name: &str, problem: &Problem) {
    let solution = solve(problem, &Budget::default()).unwrap();
    assert_eq!(checker::check(problem, &solution.plan), Ok(()), "{name}");
    assert_eq!(solution.proof, Proof::Optimal, "{name}");
    assert!(solution.steps < MOST_STEPS, "{name}: {}", solution.steps);
}

type Choose = fn(&MetaFormer) -> Precision;

/// Int8 in every layer, and int4 in the channel MLPs.
const PRECISIONS: [(&str, Choose); 2] = [
    ("int8", Precision::int8),
    ("int4", |network| {
        Precision::int8(network).with_channel_mlps(network, WeightBits::Int4)
    }),
];

#[test]
fn every_fixture_that_is_quantized_is_planned_fast() {
    let family = support::fixtures().join("../family");
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in [support::fixtures(), family] {
        let entries = std::fs::read_dir(folder).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.retain(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".onnx") && !name.starts_with("refuse_")
    });
    let mut planned = 0;
    for file in files {
        for (precision, choose) in PRECISIONS {
            let Ok(quantized) = quantized_file(&file, &ScheduleConfig::default(), choose) else {
                continue;
            };
            let name = format!("{} {precision}", file.display());
            assert_proved_fast(&name, &quantized.schedule.problem);
            planned += 1;
        }
    }
    assert!(planned >= 40, "only {planned} fixtures were quantized");
}

/// The networks in `models` too; their buffers are committed for the planner's own tests and
/// benchmark.
#[test]
fn every_model_is_planned_fast() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for model in [
        "identityformer-cifar10",
        "poolformer-cifar10",
        "poolformer-cifar10-qat",
    ] {
        for (precision, choose) in PRECISIONS {
            let file = root.join(format!("models/{model}/model.onnx"));
            let quantized = quantized_file(&file, &ScheduleConfig::default(), choose).unwrap();
            let problem = &quantized.schedule.problem;
            let name = format!("{model}-{precision}");
            assert_proved_fast(&name, problem);
            if !model.ends_with("-qat") {
                let text = memory_planner::csv::write(problem, &quantized.memory.plan);
                assert_committed(
                    &root.join(format!("memory-planner/tests/networks/{name}.csv")),
                    &text,
                );
            }
        }
    }
}

/// Compares a generated file with the committed one; writes it if `WRITE_NETWORKS` is set.
fn assert_committed(file: &Path, text: &str) {
    if std::env::var_os("WRITE_NETWORKS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == text,
        "`{}` is not what the schedule is now; run `WRITE_NETWORKS=1 cargo test --workspace \
         --test schedule every_model`",
        file.display()
    );
}

#[test]
fn scratch_never_overlaps_what_its_step_uses() {
    let overlap =
        |a: Buffer, b: Buffer| a.offset < b.offset + b.size && b.offset < a.offset + a.size;
    for fixture in support::manifest().model {
        let quantized = quantized(&fixture, &ScheduleConfig::default());
        for step in &quantized.schedule.steps {
            let Some(scratch) = step.scratch.map(|id| quantized.memory.place(id)) else {
                continue;
            };
            for id in [step.input, step.output] {
                assert!(
                    !overlap(scratch, quantized.memory.place(id)),
                    "{}",
                    fixture.file
                );
            }
        }
    }
}

#[test]
fn memory_map() {
    let manifest = support::manifest();
    let fixture = manifest
        .model
        .iter()
        .find(|fixture| fixture.file == "pool_script17.onnx")
        .unwrap();
    let quantized = quantized(fixture, &ScheduleConfig::default());
    insta::assert_snapshot!(map(&quantized.schedule, &quantized.memory));
}

/// One line a buffer.
fn map(schedule: &Schedule, memory: &MemoryPlan) -> String {
    let mut text = format!("arena {} bytes\n", memory.arena_size);
    for (buffer, place) in schedule.problem.buffers.iter().zip(&memory.places) {
        writeln!(
            text,
            "{:5}..{:5}  steps {:2}..{:2}  {}",
            place.offset,
            place.offset + place.size,
            buffer.live.start,
            buffer.live.end,
            buffer.name
        )
        .unwrap();
    }
    text
}
